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
    source, buffer = server.fileno(), memoryview(bytearray(_BUFFER))
    while True:
        if any(descriptor == stdout for descriptor, _ in waiting.poll()):
            raise BrokenPipeError(errno.EPIPE, "the client is gone")
        if not _pass_on(source, stdout, buffer):
            return


def _send(stdin: int, server: socket.socket) -> None:
    """Send what the client says, and tell the daemon where it ends."""
    target, buffer = server.fileno(), memoryview(bytearray(_BUFFER))
    # If the daemon takes nothing more, its side of the session tells how that ends.
    with contextlib.suppress(OSError):
        while _pass_on(stdin, target, buffer):
            pass
        server.shutdown(socket.SHUT_WR)


def _pass_on(source: int, target: int, buffer: memoryview) -> bool:
    """Pass on what has arrived, or wait for it.

    :returns: whether there was anything: otherwise it has ended.
    """
    size = os.readv(source, [buffer])
    write(target, buffer[:size])
    return size > 0


def write(target: int, data: bytes | memoryview) -> None:
    """Write all of some bytes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
