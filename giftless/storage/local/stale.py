"""Find and remove what has come of uploads that nobody goes on with.  Everything here blocks."""

from __future__ import annotations

import contextlib
import os

from giftless.storage.local.disks import Disks, Place
from giftless.storage.local.growing import RESUMABLE, remove_directories
from giftless.storage.staging import SEALING


def stale_uploads(disks: Disks, before: float) -> list[tuple[Place, bytes]]:
    """Find what has come of uploads that nobody goes on with.

    :param before: when the last byte of such an upload came at the latest, in seconds since
        the epoch.
    :returns: where it is, and where it would be if there were no other disks.
    :raises OSError: if a disk is not there.
    """
    found: list[tuple[Place, bytes]] = []
    for linked, root in [(b"", disks.main), *disks.linked.items()]:
        held = root.enter()
        with contextlib.suppress(FileNotFoundError):
            for directory, _, names, fd in os.fwalk(RESUMABLE, dir_fd=held.fd):
                inner = directory[len(RESUMABLE) + 1 :]
                for name in names:
                    if _is_older(name, fd, before):
                        place = Place(root, os.path.join(directory, name))
                        found.append((place, os.path.join(RESUMABLE, linked, inner, name)))
    return found


def remove_stale(place: Place, before: float) -> bool:
    """Remove what has come of an upload, unless somebody has gone on with it meanwhile.

    :returns: whether it was removed.
    :raises OSError: if it cannot be.
    """
    root, path = place
    held = root.enter()
    if not _is_older(path, held.fd, before):
        return False
    os.unlink(path, dir_fd=held.fd)
    remove_directories(held, path)
    return True


def remove_sealed(disks: Disks, before: float) -> None:
    """Remove what has come of uploads that are sealed bit by bit, beside the uploads.

    :param before: when it has changed at the latest, in seconds since the epoch.
    :raises OSError: if the disk is not there.
    """
    held = disks.main.enter()
    top = disks.path(SEALING)
    with contextlib.suppress(FileNotFoundError):
        for _, _, names, fd in os.fwalk(top, dir_fd=held.fd):
            for name in names:
                if _is_older(name, fd, before):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=fd)


def _is_older(path: bytes, fd: int, before: float) -> bool:
    try:
        return os.lstat(path, dir_fd=fd).st_mtime < before
    except FileNotFoundError:
        return False
