"""The parts of uploads, as files on a local disk.

A part lies at ``{path}/.giftless/parts/{prefix}/{org}/{repo}/{oid}/{part_size}/{number}``
as soon as it is complete.  That is all there is to know of an upload: what is
there has arrived.  The parts of abandoned uploads are removed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.interfaces import IBlocking, IBody
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import ObjectKey
from giftless.storage.local.own import OWN
from giftless.storage.local.root import Held, Root

#: The directory of all parts, below the root.
PARTS: Final = OWN + b"/parts"

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

#: How much is read from a part at once, in bytes.
READ_SIZE: Final = 1024 * 1024


class PartFiles:
    """Where parts are.  Every method but :meth:`path` blocks.

    :param root: the root of the store.
    :param prefix: a path below the directory of all parts, or empty.
    """

    def __init__(self, root: Root, prefix: bytes) -> None:
        self._root = root
        self._directory = os.path.join(PARTS, prefix)

    def path(self, key: ObjectKey, plan: PartPlan, number: int) -> bytes:
        """Return the file of a part: its path below the root."""
        return os.path.join(self._place(key, plan), b"%d" % number)

    def found(self, key: ObjectKey, plan: PartPlan) -> dict[int, int]:
        """Return the sizes of the parts that are there, in bytes, by number."""
        sizes: dict[int, int] = {}
        held = self._root.enter()
        try:
            directory = os.open(self._place(key, plan), _DIRECTORY, dir_fd=held.fd)
        except FileNotFoundError:
            return sizes
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if entry.name.isdigit() and stat.S_ISREG(status.st_mode):
                            sizes[int(entry.name)] = status.st_size
        finally:
            os.close(directory)
        return sizes

    def discard(self, key: ObjectKey, plan: PartPlan) -> None:
        """Remove the parts of an upload, if there are any.

        :raises OSError: if they are there and cannot be removed.
        """
        self._remove(self._root.enter(), self._place(key, plan))

    def sweep(self, before: float) -> int:
        """Remove the parts of abandoned uploads.

        :param before: when the last part of such an upload came at the latest,
            in seconds since the epoch.
        :returns: how many uploads were removed.
        """
        held = self._root.enter()
        stale: list[bytes] = []
        with contextlib.suppress(FileNotFoundError):
            stale += [
                directory
                for directory, _, files, fd in os.fwalk(PARTS, dir_fd=held.fd)
                if files and os.fstat(fd).st_mtime < before
            ]
        for directory in stale:
            self._remove(held, directory)
        return len(stale)

    def _place(self, key: ObjectKey, plan: PartPlan) -> bytes:
        return os.path.join(self._directory, key.path.encode(), b"%d" % plan.part_size)

    def _remove(self, held: Held, directory: bytes) -> None:
        try:
            fd = os.open(directory, _DIRECTORY, dir_fd=held.fd)
        except FileNotFoundError:
            return
        try:
            for name in os.listdir(fd):
                # Somebody else may be doing the same.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
        # Or be adding a part.
        with contextlib.suppress(OSError):
            while directory != PARTS:
                os.rmdir(directory, dir_fd=held.fd)
                directory = os.path.dirname(directory)


@implementer(IBody)
class PartsBody:
    """Files, one after the other, as one body.

    :param root: the root that the files are below.
    :param paths: the files, from there.
    :param blocking: reads them.
    """

    def __init__(self, root: Root, paths: Sequence[bytes], blocking: IBlocking) -> None:
        self._root = root
        self._paths = list(reversed(paths))
        self._blocking = blocking
        self._fd = -1

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises FileNotFoundError: if a file is gone.
        """
        return await self._blocking.run(self._read)

    def close(self) -> None:
        """Close what is open.  Harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> list[bytes]:
        while True:
            if self._fd < 0:
                if not self._paths:
                    return []
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
                held = self._root.enter()
                self._fd = os.open(self._paths.pop(), flags, dir_fd=held.fd)
            if data := os.read(self._fd, READ_SIZE):
                return [data]
            self.close()
