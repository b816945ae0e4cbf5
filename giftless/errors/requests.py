"""Errors of requests (status 4xx): another request may succeed, the same one fails again."""

from __future__ import annotations

from typing import Self

from giftless.errors.told import LFSError


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
