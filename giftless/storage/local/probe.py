"""Try whether disks take, give back and remove a file.  Everything here blocks.

The file is a temporary one like those of uploads: what a killed process has left of it
is swept with theirs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import closing
from typing import Final

from giftless.errors import StorageUnavailable
from giftless.storage.local.failures import RETRY_AFTER
from giftless.storage.local.files import Upload
from giftless.storage.local.root import Root

#: How many bytes are written.
_BYTES: Final = 64


def probe(roots: Iterable[Root]) -> None:
    """Write a file below each root, read it back and remove it.

    :raises StorageUnavailable: if that fails, in words for operators.
    """
    for root in roots:
        try:
            _probe(root)
        except OSError as error:
            if error.errno == errno.ESTALE:
                # A server of files knows the descriptor no more; the path may work again.
                root.drop()
            problem = error.strerror or str(error)
            raise StorageUnavailable(
                f"cannot keep files in {os.fsdecode(root.path)!r}: {problem}", RETRY_AFTER
            ) from error


def _probe(root: Root) -> None:
    data = os.urandom(_BYTES)
    with closing(Upload(root.enter, len(data), early=False)) as file:
        file.write([data])
        if b"".join(file.read_back()) != data:
            raise OSError(errno.EIO, "other bytes are read than were written")
        file.remove()
