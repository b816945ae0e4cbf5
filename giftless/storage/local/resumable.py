"""Uploads that are gone on with where they broke off, on a local disk.

What has come of one is a file (:mod:`giftless.storage.local.growing`).  Who goes on with it
is decided below the store's root, so daemons that share a directory agree.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from giftless.base.files import FULL
from giftless.base.holds import Hold, Holds
from giftless.errors import InsufficientStorage, LFSError, WrongBody
from giftless.interfaces import IBlocking, IBody, IClaimedUpload, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.local.attempts import Attempts
from giftless.storage.local.commits import Commits
from giftless.storage.local.disks import Disks
from giftless.storage.local.failures import failed
from giftless.storage.local.files import make_directories
from giftless.storage.local.growing import GrowingFile, path_of
from giftless.storage.local.own import OWN
from giftless.storage.local.stale import remove_sealed, remove_stale, stale_uploads

T = TypeVar("T")

#: The directory of the files that stand for claimed uploads, below the store's own root.
HOLDS: Final = OWN + b"/holds"

#: How many pieces of a file are hashed in one thread job: others wait for the thread.
_SLICE: Final = 16


@implementer(IClaimedUpload)
class LocalUpload:
    """See :class:`giftless.interfaces.IClaimedUpload`.

    :param key: which object it is of.
    :param file: what has come.
    :param hold: the claim.
    :param commits: makes objects.
    :param attempts: asks the disks.
    """

    def __init__(
        self, key: ObjectKey, file: GrowingFile, hold: Hold, commits: Commits, attempts: Attempts
    ) -> None:
        self._key = key
        self._file = file
        self._hold = hold
        self._commits = commits
        self._attempts = attempts
        #: Nothing is written by a descriptor that is being closed: it may be another file's
        #: by then.  Whoever gives up waiting for a write releases the upload at once.
        self._lock = threading.Lock()

    async def open(self) -> None:
        """Find out what has come."""
        await self._run("could not be looked up", self._file.open)

    @property
    def offset(self) -> int | None:
        """See :attr:`giftless.interfaces.IClaimedUpload.offset`."""
        return self._file.offset

    @property
    def changed(self) -> float:
        """See :attr:`giftless.interfaces.IClaimedUpload.changed`."""
        return self._file.changed

    @property
    def wanted(self) -> Deferred[None]:
        """See :attr:`giftless.interfaces.IClaimedUpload.wanted`."""
        return self._hold.wanted

    async def begin(self, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.begin`."""
        await self._run("could not be begun", self._file.begin)

    async def append(self, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.append`."""
        try:
            while chunks := await body.read():
                await self._run("could not be written", self._file.write, chunks)
        finally:
            await self._run("could not be synced", self._file.sync)

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`."""
        await self._hold.committing()
        problem = await self._problem(payload, verified)
        if problem is not None:
            await self.discard()
            raise WrongBody(f"{problem}; they were thrown away: send all again")
        commit, doing = self._file.commit, "could not be made an object"
        await self._run(doing, commit, self._commits, self._key, extras)

    async def discard(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.discard`."""
        await self._run("could not be thrown away", self._file.discard)

    async def release(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.release`."""
        try:
            await self._run("could not be closed", self._file.close)
        finally:
            await self._hold.release()

    async def _problem(self, payload: Payload, verified: bool) -> str | None:
        """Say what is wrong with the bytes that have come; ``None`` if they are right."""
        if self.offset != payload.length:
            return f"{self.offset or 0} bytes have come instead of {payload.length}"
        if verified:
            return None
        digest = hashlib.sha256()
        pieces = self._file.pieces()
        while await self._run("could not be read", _hash_some, digest, pieces):
            pass
        if digest.hexdigest() == payload.sha256:
            return None
        return f"the SHA-256 of what has come is {digest.hexdigest()}, not {payload.sha256}"

    async def _run(self, doing: str, function: Callable[..., T], *args: Any) -> T:
        what = f"what has come of {self._key.oid}"
        return await self._attempts.run(f"{what} {doing}", self._alone, function, *args)

    def _alone(self, function: Callable[..., T], *args: Any) -> T:
        with self._lock:
            return function(*args)


class ResumableUploads:
    """What a local store has of :class:`giftless.interfaces.IResumableStore`.

    :param disks: where the store is.
    :param commits: makes its objects.
    :param blocking: does everything that touches a disk.
    :param expiry: after how many seconds without a new byte an upload is given up.
    :param clock: the reactor.
    """

    def __init__(
        self,
        disks: Disks,
        commits: Commits,
        blocking: IBlocking,
        expiry: int,
        clock: IReactorTime,
    ) -> None:
        self.resumable_expiry = expiry
        self._disks = disks
        self._commits = commits
        self._blocking = blocking
        self._attempts = Attempts(disks, blocking, _failed)
        self._holds = Holds(self._open_holds, blocking, clock)

    async def claim(self, key: ObjectKey, size: int) -> LocalUpload:
        """See :meth:`giftless.interfaces.IResumableStore.claim`."""
        doing = f"the upload of {key.oid} could not be claimed"
        name = os.fsdecode(path_of(self._disks.path(key), size))
        hold = await self._attempts.wait(doing, self._holds.claim(name))
        file = GrowingFile(self._disks.place_of(key), size, hold)
        upload = LocalUpload(key, file, hold, self._commits, self._attempts)
        try:
            await upload.open()
        except BaseException:
            await upload.release()
            raise
        return upload

    async def sweep(self, before: float) -> int:
        """Remove what has come of uploads that nobody goes on with.

        :param before: when the last byte of such an upload came at the latest, in seconds
            since the epoch.
        :returns: how many were removed.
        :raises OSError: if a disk cannot be read.
        """
        count = 0
        for place, name in await self._blocking.run(stale_uploads, self._disks, before):
            hold = await self._holds.claim_unheld(os.fsdecode(name))
            if hold is not None:
                try:
                    count += await self._blocking.run(remove_stale, place, before)
                finally:
                    await hold.release()
        await self._blocking.run(remove_sealed, self._disks, before - self.resumable_expiry)
        if await self._blocking.run(self._has_holds):
            await self._holds.sweep()
        return count

    def _has_holds(self) -> bool:
        """Whether there is a directory to be swept: a store that is only read gets none."""
        try:
            os.lstat(HOLDS, dir_fd=self._disks.main.enter().fd)
        except FileNotFoundError:
            return False
        return True

    def _open_holds(self) -> int:
        held = self._disks.main.enter()
        make_directories(held, HOLDS)
        return os.open(HOLDS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held.fd)


def _failed(error: OSError, doing: str) -> LFSError:
    if error.errno in FULL:
        return InsufficientStorage(
            "the server's storage is full; what has arrived stays, and the upload goes on from"
            " there when there is room"
        )
    return failed(error, doing)


def _hash_some(digest: Any, pieces: Iterator[bytes]) -> bool:
    """Hash the next pieces; returns whether there were any."""
    some = False
    for piece in islice(pieces, _SLICE):
        digest.update(piece)
        some = True
    return some
