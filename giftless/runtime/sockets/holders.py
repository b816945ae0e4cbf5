"""Find out which processes listen on a port.  Linux."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: How the kernel writes that a TCP socket listens.
_LISTENS: Final = "0A"


def rows(table: str) -> Iterator[list[str]]:
    """Yield the rows of a table below ``/proc/net``, as words.  Blocks.

    :param table: its name, such as ``tcp``.
    """
    try:
        lines = Path("/proc/net", table).read_text(errors="replace").splitlines()[1:]
    except OSError:
        return
    yield from (line.split() for line in lines)


def listening(ports: set[int]) -> Iterator[str]:
    """Yield the sockets that listen on ports of TCP, as links in ``/proc/PID/fd`` name them."""
    for table in ("tcp", "tcp6"):
        for fields in rows(table):
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) in ports:
                yield f"socket:[{fields[9]}]"


def holders(port: int) -> dict[int, str]:
    """Return who listens on a port of TCP.  Blocks.

    :returns: the command lines of the processes that this user may look at, by their ids.
    """
    sockets, found = set(listening({port})), {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            links = {str(entry.readlink()) for entry in (folder / "fd").iterdir()}
            if not sockets.isdisjoint(links):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").strip()
                found[int(folder.name)] = line.decode(errors="replace") or "?"
        except OSError:
            # It has ended meanwhile, or is not to be looked at.
            continue
    return found
