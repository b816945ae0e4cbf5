"""A storage wrapper in one file: a cache on a local disk in front of any store.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    storage:
      type: lru-cache
      path: /var/cache/giftless
      max_bytes: 50000000000
      store: {type: s3, bucket: my-bucket, mode: proxy}

The first whole download of an object fills the cache beside its client; later
ones come from the disk.  When the cache is full, the objects that nobody has asked
for longest make room.

Whether an object exists is asked of the store each time, so a deleted object is
gone at once.  Bytes enter the cache only if their SHA-256 is the oid.  Workers
share the directory: a file appears there whole, by a rename, and who has it open
reads on after its removal.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Sequence
from io import FileIO
from typing import Annotated, Any

import msgspec
from zope.interface import implementer

from giftless.errors import ConfigError, LFSError
from giftless.interfaces import (
    Environment,
    IBlocking,
    IBody,
    ICopying,
    IDeleting,
    IListing,
    IMarking,
    IResumableStore,
    ISharing,
    IStorageFactory,
    IStoredFile,
    IStoredObject,
    IStreamingStore,
    Payload,
    Section,
)
from giftless.lfs.objects import Extras, ObjectKey, Oid
from giftless.storage.wrapping import pass_on

#: How much of a file is read at once where the kernel cannot send it, in bytes.
READ_SIZE = 256 * 1024

#: What the names of unfinished files end with.
UNFINISHED = ".part"

#: How those names look as a whole.
_UNFINISHED = re.compile(r"[0-9a-f]{32}" + re.escape(UNFINISHED))

#: After how many seconds without a byte an unfinished file belongs to nobody.
ABANDONED = 24 * 3600


class LRUCacheOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: lru-cache``.

    :ivar store: where objects are kept: ``type`` and that plugin's options.
    :ivar path: the directory of the cache; made if it is missing.
    :ivar max_bytes: the most that all files in it may have together.
    """

    store: Section
    path: str
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 10 * 1024**3


class Cache:
    """A directory of objects' bytes, by oid.  All of its methods block.

    :param directory: where it is.
    :param max_bytes: the most that all files may have together.
    """

    def __init__(self, directory: str, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes

    def open(self, oid: Oid, size: int) -> int | None:
        """Open what is cached of an object, and note that it was asked for.

        :param size: the object's size in bytes; a file of another is no use.
        :returns: a descriptor; ``None`` if it is not cached.
        """
        try:
            fd = os.open(self._path(oid), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        if os.fstat(fd).st_size != size:
            os.close(fd)
            return None
        # On a disk that takes no writes any more, what is there can still be read.
        with contextlib.suppress(OSError):
            os.utime(fd)
        return fd

    def unfinished(self) -> str:
        """Return a new path for a file that is to be filled."""
        return os.path.join(self.directory, secrets.token_hex(16) + UNFINISHED)

    def keep(self, path: str, oid: Oid) -> None:
        """Let a file that is whole be found, then make room."""
        os.rename(path, self._path(oid))
        self.evict()

    def evict(self) -> None:
        """Remove what nobody has asked for longest, until the rest fits.

        Unfinished files of workers that were killed go too.  What the cache has not
        made stays, in case that the directory is not its own.
        """
        files = []
        abandoned = time.time_ns() - ABANDONED * 10**9
        with os.scandir(self.directory) as entries:
            for entry in entries:
                # Another worker may remove files at the same time.
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if Oid.PATTERN.fullmatch(entry.name):
                        files.append((status.st_mtime_ns, status.st_size, entry.path))
                    elif _UNFINISHED.fullmatch(entry.name) and status.st_mtime_ns < abandoned:
                        os.unlink(entry.path)
        excess = sum(size for _, size, _ in files) - self.max_bytes
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            excess -= size

    def _path(self, oid: Oid) -> str:
        return os.path.join(self.directory, oid)


@implementer(IStreamingStore)
class CachedStore:
    """A store in front of which a cache stands.

    :param store: keeps the objects.
    :param cache: keeps copies of some.
    :param blocking: does everything that touches the disk.
    """

    def __init__(self, store: IStreamingStore, cache: Cache, blocking: IBlocking) -> None:
        self._store = store
        self._cache = cache
        self._blocking = blocking
        # What is cached has the right bytes, whatever becomes of the store's own, and is
        # given out only while the store has the object.
        pass_on(self, store, IMarking, IListing, IDeleting, ICopying, ISharing, IResumableStore)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See ``IObjectStore.sizes``: the store knows."""
        sizes: Sequence[int | LFSError | None] = await self._store.sizes(keys)
        return sizes

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See ``IWritableStore.put``: the first download fills the cache, not the upload."""
        await self._store.put(key, payload, body, extras)

    async def open(self, key: ObjectKey) -> CachedObject | FillingObject | None:
        """See ``IReadableStore.open``."""
        stored: IStoredObject | None = await self._store.open(key)
        if stored is None:
            return None
        fd = await self._blocking.run(self._cache.open, key.oid, stored.size)
        if fd is None:
            return FillingObject(stored, key.oid, self._cache, self._blocking)
        stored.close()
        return CachedObject(fd, stored.size, stored.extras, self._blocking)


@implementer(IStoredFile)
class CachedObject:
    """An open object of which the cache has the bytes: the kernel sends them.

    :param fd: the file; closed with the object.
    """

    def __init__(self, fd: int, size: int, extras: Extras, blocking: IBlocking) -> None:
        self._fd = fd
        self._blocking = blocking
        self.size = size
        self.extras = extras

    def fileno(self) -> int:
        """See ``IStoredFile.fileno``."""
        return self._fd

    def read(self, start: int, end: int) -> FileBody:
        """See ``IStoredObject.read``."""
        return FileBody(self._fd, start, end, self._blocking)

    def close(self) -> None:
        """See ``IStoredObject.close``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@implementer(IBody)
class FileBody:
    """Part of a file, read a piece at a time."""

    def __init__(self, fd: int, start: int, end: int, blocking: IBlocking) -> None:
        self._fd = fd
        self._offset = start
        self._end = end
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        wanted = min(READ_SIZE, self._end - self._offset)
        if wanted == 0:
            return []
        data = await self._blocking.run(os.pread, self._fd, wanted, self._offset)
        if not data:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        self._offset += len(data)
        return [data]


@implementer(IStoredObject)
class FillingObject:
    """An open object of the store; reading all of it fills the cache.

    A range comes from the store and leaves the cache as it is.
    """

    def __init__(self, stored: IStoredObject, oid: Oid, cache: Cache, blocking: IBlocking) -> None:
        self._stored = stored
        self._oid = oid
        self._cache = cache
        self._blocking = blocking
        self._filling: list[FillingBody] = []
        self.size = stored.size
        self.extras = stored.extras

    def read(self, start: int, end: int) -> IBody:
        """See ``IStoredObject.read``."""
        body: IBody = self._stored.read(start, end)
        if (start, end) != (0, self.size) or self.size > self._cache.max_bytes:
            return body
        filling = FillingBody(body, self._oid, self.size, self._cache, self._blocking)
        self._filling.append(filling)
        return filling

    def close(self) -> None:
        """See ``IStoredObject.close``: what is not whole by now leaves the cache."""
        for filling in self._filling:
            filling.close()
        self._stored.close()


@implementer(IBody)
class FillingBody:
    """A body whose bytes go into a file on their way.

    The cache is a copy: what goes wrong with its disk is nothing to the client.  The
    file is whole with the last byte: whoever knows the length reads no further.

    :param oid: what the bytes must be.
    :param size: how many there are.
    """

    def __init__(self, body: IBody, oid: Oid, size: int, cache: Cache, blocking: IBlocking) -> None:
        self._body = body
        self._oid = oid
        self._left = size
        self._cache = cache
        self._blocking = blocking
        self._digest = hashlib.sha256()
        self._path = cache.unfinished()
        self._file: FileIO | None = None
        self._given_up = False

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        chunks: Sequence[bytes] = await self._body.read()
        if chunks and not self._given_up:
            try:
                await self._blocking.run(self._write, chunks)
            except OSError:
                self.close()
        return chunks

    def close(self) -> None:
        """Remove what is not whole.  Harmless when repeated."""
        self._given_up = True
        if self._file is not None:
            self._file.close()
            self._file = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _write(self, chunks: Sequence[bytes]) -> None:
        if self._file is None:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115  # until close
        for chunk in chunks:
            self._digest.update(chunk)
            self._left -= len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
        if self._left == 0:
            if self._digest.hexdigest() == self._oid:
                self._cache.keep(self._path, self._oid)
            self.close()


@implementer(IStorageFactory)
class LRUCacheFactory:
    """What giftless finds in this file: builds the cache and the store behind it."""

    name = "lru-cache"
    Options = LRUCacheOptions

    def build(self, options: LRUCacheOptions, environment: Environment) -> CachedStore:
        """See ``IStorageFactory.build``."""
        store: Any = environment.parts.build(IStorageFactory, options.store, "store")
        if not IStreamingStore.providedBy(store):
            raise ConfigError(
                "store", "clients talk to this store directly, past the cache; use mode: proxy"
            )
        cache = Cache(options.path, options.max_bytes)
        try:
            os.makedirs(options.path, mode=0o700, exist_ok=True)
            cache.evict()
        except OSError as error:
            raise ConfigError(
                "path", f"{options.path!r} cannot be used: {error.strerror}"
            ) from None
        return CachedStore(store, cache, environment.blocking)


lru_cache = LRUCacheFactory()
