"""A store in memory that takes objects bit by bit."""

from __future__ import annotations

import hashlib

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.errors import Conflict, InsufficientStorage, WrongBody
from giftless.interfaces import IBody, IClaimedUpload, IResumableStore, Payload
from giftless.lfs.objects import Extras, ObjectKey
from tests.support.memory import MemoryStore


class Upload:
    """What has come of an upload.

    :ivar data: its bytes; ``None`` if it has not begun.
    :ivar changed: when bytes came last.
    """

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.changed = 0.0
        self.claimed: MemoryClaim | None = None
        self.waiting: list[Deferred[None]] = []


@implementer(IResumableStore)
class ResumableMemoryStore(MemoryStore):
    """A streaming store in memory whose uploads go on where they broke off.

    :ivar now: the time of day, in seconds since the epoch.
    :ivar room: how many bytes an upload may have.
    :ivar commits: whether each object that was made was verified by the caller.
    :ivar committing: what is awaited before an object is made, if it is set.
    """

    resumable_expiry = 1000

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000.0
        self.room = 10**9
        self.commits: list[bool] = []
        self.committing: Deferred[None] | None = None
        self.uploads: dict[tuple[ObjectKey, int], Upload] = {}

    def came(self, key: ObjectKey, size: int) -> bytes | None:
        """Return what has come of an upload; ``None`` if it has not begun."""
        upload = self.uploads.get((key, size))
        return None if upload is None else upload.data

    async def claim(self, key: ObjectKey, size: int) -> MemoryClaim:
        """See :meth:`giftless.interfaces.IResumableStore.claim`."""
        self._misbehave()
        upload = self.uploads.setdefault((key, size), Upload())
        while upload.claimed is not None:
            released: Deferred[None] = Deferred()
            upload.waiting.append(released)
            upload.claimed.want()
            await released
        upload.claimed = MemoryClaim(self, key, upload)
        return upload.claimed


@implementer(IClaimedUpload)
class MemoryClaim:
    """An upload that is claimed."""

    def __init__(self, store: ResumableMemoryStore, key: ObjectKey, upload: Upload) -> None:
        self._store = store
        self._key = key
        self._upload = upload
        self.wanted: Deferred[None] = Deferred()

    @property
    def offset(self) -> int | None:
        """See :class:`giftless.interfaces.IClaimedUpload`."""
        data = self._upload.data
        return None if data is None else len(data)

    @property
    def changed(self) -> float:
        """See :class:`giftless.interfaces.IClaimedUpload`."""
        return self._upload.changed

    def want(self) -> None:
        """Ask for the upload."""
        if not self.wanted.called:
            self.wanted.callback(None)

    async def begin(self, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.begin`."""
        if self._upload.data is None:
            self._upload.data = b""
            self._upload.changed = self._store.now

    async def append(self, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.append`."""
        if self._upload.claimed is not self:
            raise Conflict("somebody has taken it over")
        assert self._upload.data is not None, "it has begun"
        while chunks := await body.read():
            for chunk in chunks:
                if len(self._upload.data) + len(chunk) > self._store.room:
                    raise InsufficientStorage("the store is full")
                self._upload.data += chunk
            self._upload.changed = self._store.now

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`."""
        if self._store.committing is not None:
            await self._store.committing
        data = self._upload.data
        assert data is not None and len(data) == payload.length, "all of it has come"
        self._store.commits.append(verified)
        self._upload.data = None
        if hashlib.sha256(data).hexdigest() != payload.sha256:
            assert not verified, "the caller has seen the digest"
            raise WrongBody("these bytes are not the object; they were thrown away")
        self._store.add(self._key, data, extras)

    async def discard(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.discard`."""
        self._upload.data = None

    async def release(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.release`."""
        if self._upload.claimed is self:
            self._upload.claimed = None
            waiting, self._upload.waiting = self._upload.waiting, []
            for released in waiting:
                released.callback(None)
