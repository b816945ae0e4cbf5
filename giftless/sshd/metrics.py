"""What the listener counts."""

from __future__ import annotations

from enum import StrEnum

from giftless.base.metrics.counts import Counts


class LoginResult(StrEnum):
    """What has come of a client's attempt to log in."""

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
            "Connections of SSH by what came of the login: 'succeeded', 'refused' (keys or"
            " messages that are no good), 'turned_away' (too slow, or too many), or 'left'.",
            "result",
        )
        self._open, self._values = connections.place(()), connections.values

    def opened(self) -> None:
        """Count a connection."""
        self._values[self._open] += 1

    def closed(self) -> None:
        """Count a connection no longer."""
        self._values[self._open] -= 1

    def ended(self, result: LoginResult) -> None:
        """Count what has come of an attempt to log in."""
        self._logins.add((result.value,))
