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
    sending = _Sending(stdin, server)
    sending.start()
    waiting = select.poll()
    waiting.register(server, select.POLLIN)
    # Errors are told without being asked for.
    waiting.register(stdout, 0)
    buffer = memoryview(bytearray(_BUFFER))
    while True:
        if any(descriptor == stdout for descriptor, _ in waiting.poll()):
            raise BrokenPipeError(errno.EPIPE, "the client is gone")
        size = server.recv_into(buffer)
        if size:
            write(stdout, buffer[:size])
        elif sending.ended or not _is_gone(server):
            return
        else:
            raise ConnectionResetError(errno.ECONNRESET, "the server has broken off")


class _Sending(threading.Thread):
    """Sends what the client says, and tells the daemon where it ends.

    :ivar ended: whether the client has said all, so that this direction is closed.
    """

    def __init__(self, stdin: int, server: socket.socket) -> None:
        super().__init__(daemon=True)
        self._stdin = stdin
        self._server = server
        self.ended = False

    def run(self) -> None:
        """Send until the end."""
        buffer = memoryview(bytearray(_BUFFER))
        # If the daemon takes nothing more, its side of the session tells how that ends.
        with contextlib.suppress(OSError):
            while size := os.readv(self._stdin, [buffer]):
                self._server.sendall(buffer[:size])
            self.ended = True
            self._server.shutdown(socket.SHUT_WR)


def _is_gone(server: socket.socket) -> bool:
    """Whether the daemon has closed both directions at once, as the kernel does for the dead."""
    looking = select.poll()
    looking.register(server, 0)
    return any(events & select.POLLHUP for _, events in looking.poll(0))


def write(target: int, data: bytes | memoryview) -> None:
    """Write all of some bytes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
