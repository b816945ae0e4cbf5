"""Make files in the directory below a store's root that the server keeps for itself."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from giftless.lfs.objects import RESERVED_PREFIX

#: The most that files and directories may have: nothing for others.
FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750

#: The directory of the server's own, below the root.
OWN: Final = RESERVED_PREFIX.encode()


def open_new(path: bytes, root: int, access: int = os.O_WRONLY) -> int:
    """Make a file in a directory of the server's own, which is made if it is missing.

    :param path: where, below the root: ``.giftless/tmp/name``.
    :param root: the root's descriptor.
    :param access: what the descriptor is for, as for :func:`os.open`.
    :returns: the file's descriptor.
    :raises OSError: if that is impossible, or the file is there.
    """
    flags = access | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags, FILE_MODE, dir_fd=root)
        except FileNotFoundError:
            for directory in (OWN, os.path.dirname(path)):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory, DIRECTORY_MODE, dir_fd=root)
