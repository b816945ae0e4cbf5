"""The error that says why a page cannot be shown."""

from __future__ import annotations

from collections.abc import Mapping


class Problem(Exception):
    """There is no page.

    :param status: the HTTP status.
    :param message: why, and what to do, in words for an operator.
    :param headers: headers that belong to the status.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] = {}) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers)
