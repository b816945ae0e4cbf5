"""Send bytes to a socket at once, and tell how many of them wait there."""

from __future__ import annotations

import array
import contextlib
import fcntl
import termios
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor


def descriptor_of(transport: Any) -> FileDescriptor | None:
    """Return what reads and writes the socket of a connection; ``None`` if it has none."""
    # TLS is a protocol that is another one's transport.
    while transport is not None and not isinstance(transport, FileDescriptor):
        transport = getattr(transport, "transport", None)
    return transport


def unsent(transport: Any) -> int:
    """Return how many bytes of a connection wait here for the client, in bytes.

    Those that the client's machine has not acknowledged wait in the kernel.

    :param transport: what a protocol writes to; over TLS, what is encrypted counts.
    """
    descriptor: Any = descriptor_of(transport)
    if descriptor is None:
        return 0
    waiting: int = len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen
    queued = array.array("i", [0])
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(descriptor.fileno(), termios.TIOCOUTQ, queued)
    return waiting + queued[0]


def sends_at_once(transport: Any) -> bool:
    """Whether :func:`send` can be used: the transport is a plain socket."""
    return type(transport) in (tcp.Server, unix.Server) and not getattr(transport, "TLS", False)


def is_taken(transport: Any) -> bool:
    """Whether nothing that was written to a plain socket waits for it."""
    return not (transport.dataBuffer or transport._tempDataLen)


def send(transport: Any, data: bytes) -> None:
    """Send bytes, at once if the socket takes them.

    Otherwise they wait in the transport, which asks the reactor to call it when there
    is room: that takes three system calls and a turn of the reactor.

    :param transport: a plain socket.
    """
    at_once = is_taken(transport) and not transport.disconnecting
    if at_once and len(data) <= transport.SEND_LIMIT:
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if isinstance(sent, int):  # else the transport finds the error again
            data = data[sent:]
    transport.write(data)
