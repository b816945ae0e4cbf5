"""Count sessions of SSH, and each request in them when its reply has ended."""

from __future__ import annotations

from typing import Final

from giftless.monitoring.metrics import Metrics

#: What a command is called that is none: clients may send any word.
OTHER_COMMAND: Final = "other"


class SSHCounter:
    """Counts sessions, and requests by command and status.

    :param metrics: where they are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._open = metrics.ssh_sessions.place(())
        self._values = metrics.ssh_sessions.values
        self._requests, self._seconds = metrics.ssh_requests, metrics.ssh_seconds

    def opened(self) -> None:
        """Count a session that begins."""
        self._values[self._open] += 1.0

    def closed(self) -> None:
        """Count a session that has ended."""
        self._values[self._open] -= 1.0

    def finished(self, command: str, status: int, seconds: float) -> None:
        """Count a request.

        :param command: what was asked for, if it is one that there is; empty otherwise.
        :param status: of its reply; 499 if the client left before that was complete.
        :param seconds: how long it took.
        """
        name = command or OTHER_COMMAND
        self._requests.add((name, str(status)))
        self._seconds.observe((name,), seconds)
