"""Copy objects on disks: a copy is a second name of the same file.

That is safe because the bytes of a stored file never change: whoever stores an object
again puts another file in its place, and a head that is replaced
(:mod:`giftless.storage.local.heading`) is good for all names.  Where a file cannot have a
second name, on another disk above all, its bytes are copied.  Everything here blocks.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from typing import Final

from giftless.lfs.objects import ObjectKey, owner_of
from giftless.storage.local import damage
from giftless.storage.local.disks import Disks, Place
from giftless.storage.local.extras import ExtrasFiles
from giftless.storage.local.files import ABSENT, Upload, move_into, size_of, sync_names
from giftless.storage.local.root import NO_LINKS, Held

#: How much is read at once of a file whose bytes are copied, in bytes.
_READ_SIZE: Final = 1024 * 1024


class Copies:
    """Copies the objects of a store.

    :param disks: where objects are.
    :param extras: where their extras are.
    """

    def __init__(self, disks: Disks, extras: ExtrasFiles) -> None:
        self._disks = disks
        self._extras = extras

    def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICopying.copy`.

        :raises OSError: from the file system.
        """
        try:
            return self._copy(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # A link to another disk that was not known; perhaps one for each.
            found = [self._disks.discover(self._disks.path(key)) for key in (source, target)]
            if not any(found):
                raise
        return self._copy(source, target)

    def _copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        here, there = map(self._disks.place_of, (source, target))
        held = there.root.enter()
        size = size_of(here.path, here.root.enter().fd)
        if size is None:
            return False
        present = size_of(there.path, held.fd) == size
        # What is in the trash is dated by when it got its name there.
        kept = size if owner_of(target.repo) is None else None
        if present and kept is not None:
            # Whoever has put it there may not have synced it yet.
            sync_names([(held, there.path)])
            return True
        # A deletion takes the extras first: whoever was killed then has copied them before.
        self._extras.copy(source, target, clear=not present)
        if not _copy_file(here, there, kept):
            return False
        damage.clear([(held, there.path)])
        return True


def _copy_file(source: Place, target: Place, kept: int | None) -> bool:
    """Put a copy of a file in a place, durably.

    :param kept: how large something is that stays if it gets there just before.
    :returns: ``False`` if the file is gone.
    """
    here, there = source.root.enter(), target.root.enter()
    if here is there:
        try:
            _link(here, source.path, target.path, kept)
            return True
        except OSError as error:
            if error.errno in ABSENT and size_of(source.path, here.fd) is None:
                return False
            if error.errno not in NO_LINKS:
                raise
    return _copy_bytes(here, source.path, target)


def _link(held: Held, source: bytes, target: bytes, kept: int | None) -> None:
    """Give a file a second name, durably; what has that name stays if it is so large."""
    try:
        move_into(held, target, lambda: _new_link(held, source, target))
    except FileExistsError:
        if kept is None or size_of(target, held.fd) != kept:
            with temporary_link(held, source) as name:
                os.rename(name, target, src_dir_fd=held.fd, dst_dir_fd=held.fd)
    sync_names([(held, target)])


@contextlib.contextmanager
def temporary_link(held: Held, source: bytes) -> Iterator[bytes]:
    """Give a file a temporary name, and remove what has that name at the end."""
    name = held.writer.new_path()
    move_into(held, name, lambda: _new_link(held, source, name))
    try:
        yield name
    finally:
        # Renaming it to another name of the same file does not remove it.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=held.fd)


def _new_link(held: Held, source: bytes, target: bytes) -> None:
    os.link(source, target, src_dir_fd=held.fd, dst_dir_fd=held.fd, follow_symlinks=False)


def _copy_bytes(held: Held, source: bytes, target: Place) -> bool:
    """Copy a file's bytes, and compare what the disk has with what was read.

    :returns: ``False`` if the file is gone.
    :raises OSError: if they differ, too.
    """
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=held.fd)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    with open(fd, "rb", buffering=0) as file:
        copy = Upload(target.root.enter, os.fstat(fd).st_size)
        try:
            copy.write([])
            digest = hashlib.sha256()
            while data := file.read(_READ_SIZE):
                copy.write([data])
                digest.update(data)
            written = hashlib.sha256()
            for data in copy.read_back():
                written.update(data)
            if written.digest() != digest.digest():
                raise OSError(errno.EIO, "other bytes are read than were written")
            copy.rename(target.path)
        finally:
            copy.close()
    return True
