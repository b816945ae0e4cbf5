"""Tell systemd how the daemon is: the protocol of ``sd_notify(3)``.

Nothing is sent unless systemd (or whoever started the daemon) asked for it by
``NOTIFY_SOCKET``, and nothing that goes wrong here holds anything up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from twisted.logger import Logger

_log = Logger()


class Notifier:
    """Sends states of the service.

    :param address: a datagram socket: a path, or ``@`` and a name in the
        abstract namespace; empty to send nothing.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def send(self, **states: object) -> None:
        """Send states such as ``READY=1``, in one message.  Does not wait."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            _log.warn("systemd cannot be told {states}: {error}", states=states, error=str(error))

    def ready(self, status: str) -> None:
        """Say that the service is up, or has reloaded.

        :param status: one line for ``systemctl status``.
        """
        self.send(READY=1, STATUS=status)

    def reloading(self) -> None:
        """Say that the configuration is being read again, until :meth:`ready`."""
        # systemd 253 and newer want to know since when (Type=notify-reload).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send(RELOADING=1, MONOTONIC_USEC=now)

    def stopping(self) -> None:
        """Say that the service ends."""
        self.send(STOPPING=1)


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Return how often systemd wants to hear ``WATCHDOG=1``, in seconds.

    Twice as often as it must, as ``sd_watchdog_enabled(3)`` recommends.

    :param environ: the environment of the process ``pid``.
    :returns: ``None`` if nobody listens, or not to this process.
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        limit = int(environ["WATCHDOG_USEC"]) / 1_000_000
    except (KeyError, ValueError):
        return None
    return limit / 2 if limit > 0 else None
