"""A deadline that several blocking calls share."""

from __future__ import annotations

import time


class Deadline:
    """A moment, after which nothing more is waited for.

    :param seconds: how long from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return how many seconds are left.

        :raises TimeoutError: if none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left
