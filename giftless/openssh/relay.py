"""Pass bytes on between a client and the daemon, in constant memory.

Each direction waits in a thread of its own for whoever is slow, and reads nothing
meanwhile: so either side holds up the other.  The kernel's splice(2) would save copies,
but it keeps sshd's end of a pipe locked while the daemon takes nothing, and sshd serves
all sessions of a connection in one thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
from typing import Final

#: How much is read at once, in bytes: a Unix socket and a pipe hold no more.
_BUFFER: Final = 256 * 1024


def relay(server: socket.socket, begun: bytes, stdin: int = 0, stdout: int = 1) -> None:
    """Pass on what comes, until the daemon has sent all that it has.

    The end of ``stdin`` is told to the daemon, which may go on sending.  If nobody reads
    ``stdout`` any more, the client has gone, and this ends at once.

    :param begun: what the daemon has sent already.
    :raises OSError: if the client or the daemon is lost.
    """
    write(stdout, begun)
    threading.Thread(target=_send, args=(stdin, server), daemon=True).start()
    waiting = select.poll()
    waiting.register(server, select.POLLIN)
    # Errors are told without being asked for.
    waiting.register(stdout, 0)
    buffer = memoryview(bytearray(_BUFFER))
    while True:
        if any(descriptor == stdout for descriptor, _ in waiting.poll()):
            raise BrokenPipeError(errno.EPIPE, "the client is gone")
        size = server.recv_into(buffer)
        if not size:
            return
        write(stdout, buffer[:size])


def _send(stdin: int, server: socket.socket) -> None:
    """Send what the client says, and tell the daemon where it ends."""
    buffer = memoryview(bytearray(_BUFFER))
    # If the daemon takes nothing more, its side of the session tells how that ends.
    with contextlib.suppress(OSError):
        while size := os.readv(stdin, [buffer]):
            server.sendall(buffer[:size])
        server.shutdown(socket.SHUT_WR)


def write(target: int, data: bytes | memoryview) -> None:
    """Write all of some bytes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
