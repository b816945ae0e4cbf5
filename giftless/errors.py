"""The one tree of errors that a client can be told about.

Each class stands for one HTTP status of the Git LFS API (``docs/api`` of the
Git LFS specification, "Response Errors").  Every front (HTTP now) has one
place that renders them; nothing below a front knows about HTTP responses.
"""

from __future__ import annotations

from collections.abc import Mapping


class LFSError(Exception):
    """A refusal or failure that a client is told about.

    :param message: what went wrong and what to do about it, in words for the
        person who reads git's output.  Never empty: clients crash on errors
        without a message.
    :raises ValueError: if ``message`` is empty.
    """

    code = 500

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
    """The request is malformed, or an uploaded body is not what it claims."""

    code = 400


class Unauthorized(LFSError):
    """No credential where one is needed, or one that is not accepted.

    :param message: what is wrong with the credential.
    """

    code = 401


class Forbidden(LFSError):
    """The credential is good but does not allow this."""

    code = 403


class NotFound(LFSError):
    """There is no such object, repository or endpoint."""

    code = 404


class MethodNotAllowed(LFSError):
    """The endpoint exists and does not support the request's method.

    :param allowed: the methods that it does support.
    """

    code = 405

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


class Conflict(LFSError):
    """What is stored contradicts what the client says."""

    code = 409


class LengthRequired(LFSError):
    """The body's length must be known before it is sent."""

    code = 411


class PayloadTooLarge(LFSError):
    """The body, the batch or the object is larger than the limit."""

    code = 413


class UnsupportedMediaType(LFSError):
    """The body is encoded in a way that is not supported."""

    code = 415


class RangeNotSatisfiable(LFSError):
    """No byte of the object lies in the requested range.

    :param size: the object's size in bytes.
    """

    code = 416

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


class Unprocessable(LFSError):
    """A well-formed request with impossible values.

    Never raised for an upload or a verification: the stock client takes 422
    there for success and loses the object.
    """

    code = 422


class HeadersTooLarge(LFSError):
    """The request line and headers exceed the limit."""

    code = 431


class TooManyRequests(LFSError):
    """The client must wait before it asks again.

    :param retry_after: how long to wait, in whole seconds.
    """

    code = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in seconds."""
        return {"Retry-After": str(self.retry_after)}


class ServiceUnavailable(TooManyRequests):
    """Something that the server depends on does not answer."""

    code = 503


class InsufficientStorage(LFSError):
    """The storage backend is full."""

    code = 507


class Disconnected(Exception):
    """The peer went away; there is no one left to tell."""


class ConfigError(Exception):
    """The configuration cannot be used.

    :param path: the key's dotted path, e.g. ``storage.path``; empty for the
        file as a whole.
    :param problem: what was found and what is allowed, without the path.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        text = f"{self.path}: {self.problem}" if self.path else self.problem
        # One line, whatever keys and values contain.
        return " ".join(text.splitlines())
