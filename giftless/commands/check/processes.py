"""Find the daemon that runs with a configuration, by the sockets that it listens on.  Linux."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giftless.runtime.sockets.holders import listening, rows

#: A TCP port, or a socket's path, in a Twisted server endpoint.
_TCP: Final = re.compile(r"(?:^|:)(?:tcp6?|ssl):(?:port=)?([0-9]{1,5})(?::|$)")
_UNIX: Final = re.compile(r"(?:^|:)unix:(?:address=)?((?:[^:\\]|\\.)+)")

_SOFT_LIMIT: Final = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the daemon.

    :ivar uid: the user that it runs as.
    :ivar descriptors: how many files and sockets it has open.
    :ivar limit: how many it may have open.
    """

    pid: int
    uid: int
    descriptors: int
    limit: int


def find_daemon(endpoints: Sequence[str]) -> list[Process]:
    """Find the processes that listen on endpoints of a configuration.  Blocks.

    :param endpoints: Twisted server endpoint strings.
    :returns: those that this user may look at; empty if none runs, or if its sockets are
        not told by the configuration (``systemd:``).
    """
    sockets = set(_sockets(endpoints))
    if not sockets:
        return []
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (process := _look(folder, sockets)):
            found.append(process)
    return found


def _look(folder: Path, sockets: set[str]) -> Process | None:
    """Look at a process, which may end meanwhile.

    :param sockets: as links in ``/proc/PID/fd`` name them.
    :returns: ``None`` if it has none of the sockets.
    """
    try:
        targets = [_target(entry) for entry in (folder / "fd").iterdir()]
        if sockets.isdisjoint(targets):
            return None
        limit = _SOFT_LIMIT.search((folder / "limits").read_text())
        uid = (folder / "fd").stat().st_uid
    except OSError:
        return None
    return Process(int(folder.name), uid, len(targets), int(limit[1]) if limit else 0)


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""


def _sockets(endpoints: Sequence[str]) -> Iterator[str]:
    ports = {int(match[1]) for each in endpoints for match in _TCP.finditer(each)} - {0}
    # The kernel keeps a path as it was bound: relative to the folder of the daemon.
    paths = {match[1].replace("\\", "") for each in endpoints for match in _UNIX.finditer(each)}
    yield from listening(ports)
    for fields in rows("unix"):
        if len(fields) > 7 and fields[7] in paths:
            yield f"socket:[{fields[6]}]"
