"""The one tree of errors that a client can be told about.

Each class has the HTTP status that clients get (``docs/api`` of the Git LFS specification,
"Response Errors") and the cause that operators get: a word that tells apart what one status
mixes.  Every front (HTTP now) has one place that renders errors; nothing below a front knows
about HTTP responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class LFSError(Exception):
    """A refusal or failure that a client is told about.

    :param message: what went wrong and what to do about it, in words for the person who reads
        git's output.  Never empty: clients crash on errors without a message.
    :raises ValueError: if ``message`` is empty.
    :cvar code: the HTTP status.
    :cvar cause: why, in one lower-case word, or several joined by hyphens.  Every class has
        its own, which never changes: operators count refusals by it.
    """

    code = 500
    cause = "failed"

    def __init__(self, message: str) -> None:
        if not message:
            raise ValueError("an error that is shown to a client needs a message")
        super().__init__(message)
        self.message = message

    @property
    def headers(self) -> dict[str, str]:
        """Extra HTTP response headers that belong to this error."""
        return {}

    @property
    def members(self) -> Mapping[str, object]:
        """What the error's JSON body has beside its message."""
        return {}


class BadRequest(LFSError):
    """The request is malformed."""

    code = 400
    cause = "malformed"


class WrongBody(BadRequest):
    """An uploaded body has another length or digest than was announced."""

    cause = "wrong-body"


class Unauthorized(LFSError):
    """The credential is not accepted.

    :param message: what is wrong with the credential.
    """

    code = 401
    cause = "bad-credential"


class UnfitCredential(Unauthorized):
    """The credential is genuine, but is not good here and now: it has expired, for instance.

    Who has one is not guessing, and is not slowed down for it.
    """

    cause = "unfit-credential"


class CredentialNeeded(Unauthorized):
    """There is no credential, and one is needed."""

    cause = "unauthenticated"


class Forbidden(LFSError):
    """The credential is good but does not allow this."""

    code = 403
    cause = "forbidden"


class BadAction(Forbidden):
    """The token of a batch reply's action is not genuine, or not for this."""

    cause = "bad-action"


class ExpiredAction(Forbidden):
    """The token of a batch reply's action has expired."""

    cause = "expired-action"


class NotFound(LFSError):
    """There is no such object, lock or repository."""

    code = 404
    cause = "not-found"


class NoEndpoint(NotFound):
    """There is no such endpoint."""

    cause = "no-endpoint"


class MethodNotAllowed(LFSError):
    """The endpoint exists and does not support the request's method.

    :param allowed: the methods that it does support.
    """

    code = 405
    cause = "method-not-allowed"

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        """``Allow``, as RFC 9110 section 15.5.6 demands."""
        return {"Allow": ", ".join(self.allowed)}


class RequestTimeout(LFSError):
    """The client took too long to send its request."""

    code = 408
    cause = "timeout"


class Conflict(LFSError):
    """What is stored contradicts what the client says."""

    code = 409
    cause = "conflict"


class Gone(LFSError):
    """The object was here, and cannot be had now."""

    code = 410
    cause = "gone"


class ObjectDamaged(Gone):
    """The stored object is not to be trusted, until it is uploaded again."""

    cause = "damaged"

    @classmethod
    def because(cls, reason: str) -> Self:
        """Make the error.

        :param reason: what was found, in words.
        """
        return cls(
            f"the object is damaged on this server ({reason}); whoever has it can push it again"
        )


class ObjectCorrupt(ObjectDamaged):
    """What is stored of the object has turned out to be wrong; nobody has marked it yet."""

    cause = "corrupt"


class ObjectTrashed(Gone):
    """The object was deleted, and is in the trash for a while."""

    cause = "trashed"

    @classmethod
    def because(cls, reason: str) -> ObjectTrashed:
        """Make the error.

        :param reason: why it was deleted, in words; empty if that is not known.
        """
        words = f" ({reason})" if reason else ""
        return cls(
            f"the object was deleted{words}; whoever may write to this repository brings it"
            " back by fetching or pushing it, or its owner by 'giftless trash restore'"
        )


class LengthRequired(LFSError):
    """The body's length must be known before it is sent."""

    code = 411
    cause = "length-required"


class PayloadTooLarge(LFSError):
    """The body, the batch or the object is larger than the limit."""

    code = 413
    cause = "too-large"


class RangeNotSatisfiable(LFSError):
    """No byte of the object lies in the requested range.

    :param size: the object's size in bytes.
    """

    code = 416
    cause = "bad-range"

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        """``Content-Range`` with the actual size (RFC 9110 section 14.4)."""
        return {"Content-Range": f"bytes */{self.size}"}


class ExpectationFailed(LFSError):
    """The request expects something other than ``100-continue``."""

    code = 417
    cause = "bad-expectation"


class Unprocessable(LFSError):
    """A well-formed request with impossible values.

    Never raised for an upload or a verification: the stock client takes 422
    there for success and loses the object.
    """

    code = 422
    cause = "impossible"


class HeadersTooLarge(LFSError):
    """The request line and headers exceed the limit."""

    code = 431
    cause = "headers-too-large"


class TooManyRequests(LFSError):
    """The client must wait before it asks again.

    :param retry_after: how long to wait, in whole seconds.
    """

    code = 429
    cause = "rate-limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in seconds."""
        return {"Retry-After": str(self.retry_after)}


class TooManyFailures(TooManyRequests):
    """The client's address has sent too many bad credentials."""

    cause = "too-many-failures"


class LogInsBusy(TooManyRequests):
    """Too many passwords are waiting to be checked."""

    cause = "log-ins-busy"


class TooManyConnections(TooManyRequests):
    """The client's address has too many connections."""

    cause = "too-many-connections"


class ForgeLimit(TooManyRequests):
    """The forge that knows the client wants to be asked less often."""

    cause = "forge-limit"


class TooManyDownloads(TooManyRequests):
    """What may be downloaded within a period has been downloaded."""

    cause = "over-budget"


class ServiceUnavailable(TooManyRequests):
    """Something that the server depends on does not answer."""

    code = 503
    cause = "unavailable"


class Overloaded(ServiceUnavailable):
    """The server has no memory left for what the client wants."""

    cause = "overloaded"


class StorageUnavailable(ServiceUnavailable):
    """The storage does not answer as it should."""

    cause = "storage-unavailable"


class ObjectUnreadable(StorageUnavailable):
    """The storage works, but does not give this object: its disk or its mode does not let it."""

    cause = "unreadable"


class ObjectSealed(StorageUnavailable):
    """The object may be good: what opens or unpacks it here (key, library, section) is missing."""

    cause = "sealed"


class ObjectReplaced(StorageUnavailable):
    """Another form of the object has taken its place while it was read: open it again."""

    cause = "replaced"


class LocksUnavailable(ServiceUnavailable):
    """The database of locks does not answer."""

    cause = "locks-unavailable"


class CatalogueUnavailable(ServiceUnavailable):
    """The database of the catalogue does not answer."""

    cause = "catalogue-unavailable"


class IdentityUnavailable(ServiceUnavailable):
    """Who the client is cannot be checked: a forge or an issuer of keys does not answer."""

    cause = "identity-unavailable"


class TokenRefused(IdentityUnavailable):
    """A forge does not tell who the client is, because of the token that the server has."""

    cause = "server-token-refused"


class InsufficientStorage(LFSError):
    """The storage backend is full."""

    code = 507
    cause = "no-room"


class OverQuota(InsufficientStorage):
    """A repository or an organisation has as much as it may have."""

    cause = "over-quota"


class Disconnected(Exception):
    """The peer went away; there is no one left to tell."""


class ConfigError(Exception):
    """The configuration cannot be used.

    :param path: the key's dotted path, e.g. ``storage.path``; empty for the whole file.
    :param problem: what was found and what is allowed, without the path, and without
        any value: it may be a secret.
    :param key: a key below the path that nobody knows.  It is where the problem is, and
        is not shown, because it may be a secret as well.
    """

    def __init__(self, path: str, problem: str, key: str | None = None) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem
        self.key = key

    def __str__(self) -> str:
        text = f"{self.path}: {self.problem}" if self.path else self.problem
        # One line, whatever keys and values contain.
        return " ".join(text.splitlines())
