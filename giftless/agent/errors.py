"""The errors of a transfer, told apart by what the agent does about them."""

from __future__ import annotations


class TransferError(Exception):
    """The transfer fails: git-lfs is told, and goes on with the next object.

    :param message: what is wrong and what to do about it, for a terminal.
    :param code: the HTTP status behind it, or 1.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Again(Exception):
    """The request failed, and may succeed when it is sent again.

    :param reason: why it did not, for a terminal.
    :param after: the seconds that the server wants to be left alone; ``None``
        if it did not say.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Outdated(Exception):
    """The server's plan is out of date: it has to be asked for another.

    :param reason: how that came out, for a terminal.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cancelled(Exception):
    """Another piece of the same object has failed, so this one is given up."""
