"""Objects as files on a local disk.

An object lies at ``{path}/{prefix}/{org}/{repo}/{oid}``.  An upload goes to a
temporary file under ``{path}/.giftless/tmp`` and becomes visible by a rename,
after its bytes are on disk; the directory is synced before the upload is
acknowledged.  Nothing half-written is ever visible, and what a crash leaves
behind is swept when the store is next built.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from typing import Final

import msgspec
from zope.interface import implementer

from giftless.errors import ConfigError, InsufficientStorage
from giftless.interfaces import (
    Environment,
    IBlocking,
    IBody,
    ICapacity,
    IStoredFile,
    IStreamingStore,
)
from giftless.lfs.objects import RESERVED_PREFIX, Extras, ObjectKey, Repo

#: How much a download that the kernel cannot send reads at a time, in bytes.
READ_SIZE: Final = 256 * 1024

#: The errno values that mean "no room", whatever the reason.
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: The errno values that mean "no such object": nothing is there, or a link
#: (``ELOOP``), or a socket (``ENXIO``).
_ABSENT: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENXIO,
}


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: local}``.

    :ivar path: the directory that holds the objects; made if it is missing.
        All of it must be on one file system.
    :ivar prefix: a path below it, in front of ``{org}/{repo}/{oid}``.
    """

    path: str = "giftless-data"
    prefix: str = ""


@implementer(IStreamingStore, ICapacity)
class LocalStore:
    """A store in a directory.  See the module for its layout.

    :param path: the root directory.
    :param prefix: a relative path below it, or an empty string.
    :param blocking: does everything that touches the disk.
    """

    def __init__(self, path: str, prefix: str, blocking: IBlocking) -> None:
        self._top = os.fsencode(os.path.abspath(path))
        self._root = os.path.join(self._top, prefix.encode()) if prefix else self._top
        own = os.path.join(self._top, RESERVED_PREFIX.encode())
        self._tmp = os.path.join(own, b"tmp")
        self._extras = os.path.join(own, b"extras", prefix.encode())
        self._blocking = blocking

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: one thread job."""
        paths = [self._path(key) for key in keys]
        return await self._blocking.run(_sizes, paths)

    async def available_bytes(self) -> int:
        """See :meth:`giftless.interfaces.ICapacity.available_bytes`."""
        return await self._blocking.run(_available, self._top)

    async def put(self, key: ObjectKey, size: int | None, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IStreamingStore.put`."""
        run = self._blocking.run
        upload = _Upload(self._tmp, size or 0)
        try:
            # The first chunks are waited for before anything is made, so a
            # client that never sends a body costs no file.
            while chunks := await body.read():
                await run(upload.write, chunks)
            await run(self._commit, upload, key, extras)
        except OSError as error:
            if error.errno in _FULL:
                raise InsufficientStorage(
                    "the server's storage is full; nothing was stored"
                ) from error
            raise
        finally:
            await run(upload.close)

    async def open(self, key: ObjectKey) -> LocalObject | None:
        """See :meth:`giftless.interfaces.IStreamingStore.open`."""
        return await self._blocking.run(self._open, key)

    def sweep(self) -> int:
        """Remove what killed uploads left behind.  Blocks.

        Files of uploads that run now, in this process or another, are locked
        by it and stay.

        :returns: how many files were removed.
        """
        try:
            names = os.listdir(self._tmp)
        except FileNotFoundError:
            return 0
        return sum(_remove_if_stale(os.path.join(self._tmp, name)) for name in names)

    def _path(self, key: ObjectKey) -> bytes:
        return os.path.join(self._root, key.path.encode())

    def _extras_path(self, key: ObjectKey) -> bytes:
        return os.path.join(self._extras, key.path.encode())

    def _commit(self, upload: _Upload, key: ObjectKey, extras: Extras) -> None:
        if extras:
            note = _Upload(self._tmp, 0)
            try:
                note.write([msgspec.json.encode(extras)])
                note.rename(self._extras_path(key), self._top)
            finally:
                note.close()
        upload.rename(self._path(key), self._top)

    def _open(self, key: ObjectKey) -> LocalObject | None:
        try:
            fd = os.open(
                self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            )
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                os.close(fd)
                return None
            return LocalObject(fd, status.st_size, self._read_extras(key), self._blocking)
        except BaseException:
            os.close(fd)
            raise

    def _read_extras(self, key: ObjectKey) -> Extras:
        try:
            with open(self._extras_path(key), "rb") as file:
                return msgspec.json.decode(file.read(), type=dict)
        except (OSError, msgspec.DecodeError):
            return {}


@implementer(IStoredFile)
class LocalObject:
    """An open object file."""

    def __init__(self, fd: int, size: int, extras: Extras, blocking: IBlocking) -> None:
        self._fd = fd
        self.size = size
        self.extras = extras
        self._blocking = blocking

    def fileno(self) -> int:
        """See :meth:`giftless.interfaces.IStoredFile.fileno`."""
        return self._fd

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return _FileBody(self._fd, start, end, self._blocking)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@implementer(IBody)
class _FileBody:
    """Part of a file, read in a thread a piece at a time."""

    def __init__(self, fd: int, start: int, end: int, blocking: IBlocking) -> None:
        self._fd = fd
        self._offset = start
        self._end = end
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        wanted = min(READ_SIZE, self._end - self._offset)
        if wanted == 0:
            return []
        chunk = await self._blocking.run(os.pread, self._fd, wanted, self._offset)
        if not chunk:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        self._offset += len(chunk)
        return [chunk]


class _Upload:
    """A temporary file that may become an object.  Every method blocks.

    :param directory: where it is made, at the first write.
    :param size: how many bytes are announced, 0 if that is not known.
    """

    def __init__(self, directory: bytes, size: int) -> None:
        self._directory = directory
        self._size = size
        self._written = 0
        self._path: bytes | None = None
        self._fd = -1

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks.

        :raises OSError: from the file system, for instance when it is full.
        """
        if self._fd < 0:
            self._create()
        pending = [memoryview(chunk) for chunk in chunks]
        start = self._written
        while pending:
            count = os.writev(self._fd, pending[:_IOV_MAX])
            self._written += count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]
        # Starts writing to the disk now, so that little is left for the fsync
        # at the end.  What is being written is not dropped from memory.
        os.posix_fadvise(self._fd, start, self._written - start, os.POSIX_FADV_DONTNEED)

    def rename(self, target: bytes, top: bytes) -> None:
        """Make the bytes durable and visible as ``target``, below ``top``."""
        if self._fd < 0:
            self._create()
        assert self._path is not None
        os.fsync(self._fd)
        parent = os.path.dirname(target)
        _make_directories(parent, top)
        os.rename(self._path, target)
        self._path = None
        _sync_directory(parent)

    def close(self) -> None:
        """Free the file; remove it unless it was renamed."""
        if self._path is not None:
            os.unlink(self._path)
            self._path = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _create(self) -> None:
        os.makedirs(self._directory, exist_ok=True)
        # Refuse before the client has sent gigabytes for nothing.
        if self._size and self._size > _available(self._directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        while not self._lock_new():
            pass

    def _lock_new(self) -> bool:
        """Make and lock a file; return whether it is there."""
        path = os.path.join(self._directory, os.urandom(16).hex().encode())
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            # Held for as long as this process lives: tells sweepers to keep off.
            fcntl.flock(fd, fcntl.LOCK_EX)
            # One that starts now may have locked, and then removed, it before.
            if os.fstat(fd).st_nlink == 0:
                os.close(fd)
                return False
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._path = fd, path
        return True


#: The most buffers that one ``writev`` takes.
_IOV_MAX: Final = os.sysconf("SC_IOV_MAX")


def _sizes(paths: Sequence[bytes]) -> list[int | None]:
    return [_size(path) for path in paths]


def _size(path: bytes) -> int | None:
    try:
        status = os.lstat(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _available(path: bytes) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _make_directories(path: bytes, top: bytes) -> None:
    """Make ``path``, each new directory durable, down from ``top``."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if path != top:
        _make_directories(parent, top)
    # Another upload may be faster; it need not have synced yet.
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    _sync_directory(parent)


def _sync_directory(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_if_stale(path: bytes) -> int:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 1


class LocalFactory:
    """Builds :class:`LocalStore` from :class:`LocalOptions`."""

    Options = LocalOptions

    def build(self, options: LocalOptions, environment: Environment) -> LocalStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the prefix is not a plain relative path, or the
            directory cannot be made or read.
        """
        prefix = options.prefix.strip("/")
        if prefix:
            try:
                Repo.parse(prefix.split("/"))
            except Exception as error:
                raise ConfigError(
                    "prefix", f"{options.prefix!r} is not a plain relative path: {error}"
                ) from None
        try:
            os.makedirs(options.path, exist_ok=True)
            os.listdir(options.path)
        except OSError as error:
            raise ConfigError(
                "path",
                f"{options.path!r} cannot be used: {error.strerror};"
                " give a directory that the daemon may write to",
            ) from None
        store = LocalStore(options.path, prefix, environment.blocking)
        store.sweep()
        return store
