"""The base class of the errors that clients are told about."""

from __future__ import annotations

from collections.abc import Mapping


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
