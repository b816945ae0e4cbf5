"""Replace the first bytes of an object's file, in place.  Everything here blocks.

They lie within one sector of the disk, so a power failure leaves the old ones or the new
ones.  A name that is given to another file meanwhile keeps that: the change goes to the file
that had it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Final

from giftless.storage.local.disks import Place
from giftless.storage.local.files import ABSENT

#: The smallest sector of a disk, in bytes.
SECTOR: Final = 512


def replace_head(place: Place, before: bytes, after: bytes) -> bool:
    """Replace a file's first bytes: see :meth:`giftless.interfaces.IHeading.replace_head`.

    :returns: ``False`` if the file is not there, or begins otherwise.
    :raises OSError: from the file system.
    """
    assert len(before) == len(after) <= SECTOR, "one sector is written"
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        fd = os.open(place.path, flags, dir_fd=place.root.enter().fd)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    try:
        # Two who would replace the same bytes come one after the other.
        fcntl.flock(fd, fcntl.LOCK_EX)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or os.pread(fd, len(before), 0) != before:
            return False
        if os.pwrite(fd, after, 0) != len(after):
            raise OSError(errno.EIO, "a head could not be written whole")
        # It is the object that was stored then, still: of its age depends what is deleted.
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(fd)
        return True
    finally:
        os.close(fd)
