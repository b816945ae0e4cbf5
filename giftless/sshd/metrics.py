"""Metrics of the SSH listener."""

from __future__ import annotations

from enum import StrEnum

from giftless.base.metrics.counts import Counts


class LoginResult(StrEnum):
    """How a client's attempt to log in has ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    TURNED_AWAY = "turned_away"
    LEFT = "left"


class ListenerMetrics:
    """The families of a process that serves SSH.

    :param counts: where they are counted.
    """

    def __init__(self, counts: Counts) -> None:
        connections = counts.gauge(
            "giftless_ssh_connections", "Connections of SSH that the listener has open."
        )
        self._logins = counts.counter(
            "giftless_ssh_logins_total",
            "Connections of SSH by the result of the login: 'succeeded', 'refused' (keys or"
            " messages that are no good), 'turned_away' (too slow, or too many), or 'left'.",
            "result",
        )
        self._open, self._values = connections.place(()), connections.values

    def opened(self) -> None:
        """Count a connection that begins."""
        self._values[self._open] += 1

    def closed(self) -> None:
        """Count a connection that has ended."""
        self._values[self._open] -= 1

    def ended(self, result: LoginResult) -> None:
        """Count an attempt to log in by its result."""
        self._logins.add((result.value,))
