"""Folders that the daemon writes to: may it, is there room, and does their clock go right?

Everything here blocks.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from giftless.app.config import Config
from giftless.commands.findings import Finding, failed, ok, warning
from giftless.commands.units import size, span
from giftless.storage.local import DEFAULT_PATH

#: Options that name something that is written to.
_WRITTEN: Final = {"path", "file"}

#: Below which part of the file system a warning is due, in bytes if that is less.
_LITTLE_SHARE: Final = 0.1
_LITTLE_BYTES: Final = 20_000_000_000

#: Below how many bytes the next uploads are refused.
_NO_BYTES: Final = 1_000_000_000

#: Below which part of all files a warning is due.
_LITTLE_FILES: Final = 0.05

#: By how much the clock of a server of files may differ, in seconds.
_SKEW: Final = 5.0

_CLOCKS: Final = "let both machines take the time from the same place (chrony, systemd-timesyncd)"


def written_folders(config: Config) -> list[str]:
    """Return the folders that a configuration has written to, which exist."""
    named = [config.state_dir]
    for name in ("storage", "locks", "catalogue", "observers"):
        named += _named(getattr(config, name))
    folders = (path if os.path.isdir(path) else os.path.dirname(path) for path in named)
    found = dict.fromkeys(os.path.abspath(folder) for folder in folders)
    return [folder for folder in found if os.path.isdir(folder)]


def _named(section: Any) -> Iterator[str]:
    """Yield what sections, at any depth, say that is written to."""
    if isinstance(section, Mapping):
        if section.get("type") == "local" and "path" not in section:
            yield DEFAULT_PATH
        for name, value in section.items():
            if name in _WRITTEN and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(section, list):
        for each in section:
            yield from _named(each)


def look_at_folder(folder: str, disks: set[int]) -> Iterator[Finding]:
    """Look at one of the folders, as the user that this process runs as.

    :param disks: those that were looked at with other folders, by device number; the
        folder's own is added.
    """
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield failed(
            "folders",
            f"user {os.geteuid()} may not read and write {folder}",
            operator="give it to the daemon's user (chown -R), or mount it for writing",
        )
        return
    yield ok("folders", f"{folder} can be read and written")
    disk = os.stat(folder).st_dev
    if disk in disks:
        return
    disks.add(disk)
    yield _room(folder)
    files = _files(folder)
    if files is not None:
        yield files
    yield _clock(folder)


def _room(folder: str) -> Finding:
    facts = os.statvfs(folder)
    free, total = facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
    found = f"{folder} has {size(free)} free of {size(total)}"
    advice = "make room (giftless usage, giftless gc, giftless trash), or take a larger disk"
    if free < _NO_BYTES:
        return failed("disk", f"{found}: uploads that do not fit are refused", operator=advice)
    if free < min(_LITTLE_BYTES, total * _LITTLE_SHARE):
        return warning("disk", found, operator=advice)
    return ok("disk", found)


def _files(folder: str) -> Finding | None:
    """Tell how many files there may still be; ``None`` where the file system has no bound."""
    facts = os.statvfs(folder)
    if not facts.f_files:
        return None
    found = f"{folder} has room for {facts.f_favail:,} of {facts.f_files:,} files"
    advice = "make a file system with more inodes, since each object is a file"
    if not facts.f_favail:
        return failed("inodes", f"{found}: every upload is refused", operator=advice)
    if facts.f_favail < facts.f_files * _LITTLE_FILES:
        return warning("inodes", found, operator=advice)
    return ok("inodes", found)


def _clock(folder: str) -> Finding:
    """Compare the time that a new file gets with this machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.time()
            file.write(b"x")
            file.flush()
            written = os.fstat(file.fileno()).st_mtime
            ended = time.time()
    except OSError as error:
        return failed(
            "folders",
            f"no file can be made in {folder}: {error.strerror}",
            operator="make room or give the folder to the daemon's user",
        )
    ahead = max(written - ended, began - written, 0.0)
    if ahead > _SKEW:
        which = "ahead of" if written > ended else "behind"
        return warning(
            "time",
            f"the clock of {folder} is {span(ahead)} {which} this machine's: the trash is emptied"
            " and unfinished uploads are removed at wrong times",
            operator=_CLOCKS,
        )
    return ok("time", f"the clock of {folder} agrees with this machine's")
