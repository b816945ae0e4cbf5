"""Objects as files on a local disk.

An object lies at ``{path}/{prefix}/{org}/{repo}/{oid}``.  An upload goes to a
temporary file under ``{path}/.giftless/tmp`` and becomes visible by a rename,
after its bytes are on disk; the directory is synced before the upload is
acknowledged.  Nothing half-written is ever visible, and what a crash leaves
behind is swept when the store is next built.

The parts of an upload are files too (:mod:`giftless.storage.local.parts`); the
object is made by reading them as one body and storing that like any other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final

import msgspec
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.bodies import VerifiedBody
from giftless.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    InsufficientStorage,
    StorageUnavailable,
)
from giftless.interfaces import (
    Environment,
    IBlocking,
    IBody,
    IDeleting,
    IFusedCapacity,
    IListing,
    IStreamingMultipartStore,
    IStreamingStore,
    ObjectPage,
    PartUpload,
    Payload,
    Room,
)
from giftless.lfs.multipart import PART_SIZE, Part, PartLimits, PartPlan, parts_are_missing
from giftless.lfs.objects import RESERVED_PREFIX, Extras, ObjectKey, Repo
from giftless.storage.local.files import ABSENT, Upload, available, remove, size_of, sweep
from giftless.storage.local.listing import list_page
from giftless.storage.local.opened_object import LocalObject
from giftless.storage.local.parts import PartFiles, PartsBody, PartSweeper
from giftless.storage.local.small import SMALL_BYTES, SmallFile, SmallFiles
from giftless.storage.pages import check_limit

#: What a directory takes: as many parts as other stores.
_PART_LIMITS: Final = PartLimits(1, 2**63 - 1, 10_000)

#: The errno values that mean "no room", whatever the reason.
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: What clients are told to wait while the disk fails, in seconds.
RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: local}``.

    :ivar path: the directory that holds the objects; made if it is missing.
        All of it must be on one file system.
    :ivar prefix: a path below it, in front of ``{org}/{repo}/{oid}``.
    :ivar part_size: the size of parts, in bytes; larger for objects that would
        have more than 10,000.
    :ivar multipart_expiry: after how many seconds without a new part an upload
        in parts is given up and its parts are removed.
    """

    path: str = "giftless-data"
    prefix: str = ""
    part_size: Annotated[int, msgspec.Meta(ge=1)] = PART_SIZE
    multipart_expiry: Annotated[int, msgspec.Meta(ge=1)] = 7 * 86400


@implementer(IStreamingStore, IStreamingMultipartStore, IListing, IDeleting, IFusedCapacity)
class LocalStore:
    """A store in a directory.  See the module for its layout.

    :param path: the root directory.
    :param prefix: a relative path below it, or an empty string.
    :param blocking: does everything that touches the disk.
    :param part_size: the size of parts, in bytes.
    """

    want_digest = "contentMD5"
    reads_back = False

    def __init__(
        self, path: str, prefix: str, blocking: IBlocking, part_size: int = PART_SIZE
    ) -> None:
        self._top = os.fsencode(os.path.abspath(path))
        self._root = os.path.join(self._top, prefix.encode()) if prefix else self._top
        own = os.path.join(self._top, RESERVED_PREFIX.encode())
        self._tmp = os.path.join(own, b"tmp")
        self._extras = os.path.join(own, b"extras", prefix.encode())
        self.parts = PartFiles(os.path.join(own, b"parts"), prefix.encode())
        self._part_size = part_size
        self._blocking = blocking
        self._small = SmallFiles(self._tmp, self._top, blocking)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: one thread job."""
        return await self._blocking.run(_sizes, self._paths(keys))

    async def room(self, repo: Repo) -> Room:
        """See :meth:`giftless.interfaces.ICapacity.room`: the disk's, for every repository."""
        return Room(await self._blocking.run(available, self._top))

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[int | None], Room]:
        """See :meth:`giftless.interfaces.IFusedCapacity.sizes_and_room`: one thread job."""
        paths = self._paths(keys)
        return await self._blocking.run(lambda: (_sizes(paths), Room(available(self._top))))

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IStreamingStore.put`."""
        size = payload.length
        if size is not None and size <= SMALL_BYTES and not extras:
            await self._receive_small(self._path(key), body)
        else:
            await self._receive(size or 0, body, lambda upload: self._commit(upload, key, extras))

    async def _receive_small(self, target: bytes, body: IBody) -> None:
        """Store a body that is small enough to wait for all of it first."""
        whole: list[bytes] = []
        while chunks := await body.read():
            whole.extend(chunks)
        with _full_is_507():
            await self._small.store(SmallFile(target, whole))

    async def _receive(self, size: int, body: IBody, keep: Callable[[Upload], None]) -> None:
        """Write a body to a temporary file, and keep that if the body ends well."""
        run = self._blocking.run
        upload = Upload(self._tmp, size)
        try:
            with _full_is_507():
                # The first chunks are waited for before anything is made, so a
                # client that never sends a body costs no file.
                while chunks := await body.read():
                    await run(upload.write, chunks)
                await run(keep, upload)
        finally:
            await run(upload.close)

    def plan(self, size: int) -> PartPlan:
        """See :meth:`giftless.interfaces.IMultipartStore.plan`."""
        return _PART_LIMITS.plan(size, self._part_size)

    async def begin(
        self, key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> tuple[PartUpload, Sequence[Part]]:
        """See :meth:`giftless.interfaces.IMultipartStore.begin`."""
        return PartUpload("", plan), await self._missing(key, plan)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IStreamingMultipartStore.put_part`."""
        target = self.parts.path(key, upload.plan, part.number)
        await self._receive(part.size, body, lambda file: file.rename(target, self._top))

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.commit`."""
        plan = upload.plan
        if not await self._is_here(key, plan.size):
            try:
                await self._assemble(key, plan, payload, extras)
            except Conflict:
                # Somebody else may have committed, and have taken the parts.
                if not await self._is_here(key, plan.size):
                    raise
        await self.abort(key, upload)

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.abort`."""
        await self._blocking.run(self.parts.discard, key, upload.plan)

    async def _missing(self, key: ObjectKey, plan: PartPlan) -> Sequence[Part]:
        return plan.missing(await self._blocking.run(self.parts.found, key, plan))

    async def _is_here(self, key: ObjectKey, size: int) -> bool:
        return await self.sizes([key]) == [size]

    async def _assemble(
        self, key: ObjectKey, plan: PartPlan, payload: Payload, extras: Extras
    ) -> None:
        if missing := await self._missing(key, plan):
            raise parts_are_missing(missing)
        parts = PartsBody(
            [self.parts.path(key, plan, part.number) for part in plan], self._blocking
        )
        body = VerifiedBody(parts, payload.sha256, plan.size, plan.size, self._blocking)
        try:
            await self.put(key, Payload(plan.size, payload.sha256), body, extras)
        except BadRequest as error:
            # Which of them is wrong cannot be told.
            await self._blocking.run(self.parts.discard, key, plan)
            raise Conflict(
                f"the parts are not the object: {error.message}; send all again"
            ) from None
        except FileNotFoundError:
            raise Conflict("the parts were thrown away; ask for a new batch") from None
        finally:
            await self._blocking.run(parts.close)

    async def open(self, key: ObjectKey) -> LocalObject | None:
        """See :meth:`giftless.interfaces.IStreamingStore.open`."""
        return await self._blocking.run(self._open, key)

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`: one thread job.

        For each page, the names in every directory that it passes are read, and
        in the one where the page before ended they are read again: all pages of
        a repository with ``n`` objects read ``n * n / limit`` names.  Keeps
        ``limit`` names in memory for each directory on the way, not all.
        """
        check_limit(limit)
        try:
            return await self._blocking.run(self._list, repo, cursor, limit)
        except OSError as error:
            raise _unavailable(error, "objects could not be listed") from error

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IDeleting.delete`: one thread job.

        The repository's directory stays.
        """
        try:
            await self._blocking.run(self._delete, key)
        except OSError as error:
            raise _unavailable(error, f"{key.oid} could not be deleted") from error

    def sweep(self) -> int:
        """Remove what killed uploads left behind.  Blocks.

        :returns: how many files were removed.
        """
        return sweep(self._tmp)

    def _paths(self, keys: Sequence[ObjectKey]) -> Sequence[bytes]:
        return [self._path(key) for key in keys]

    def _path(self, key: ObjectKey) -> bytes:
        return b"%b/%b" % (self._root, key.path.encode())

    def _extras_path(self, key: ObjectKey) -> bytes:
        return os.path.join(self._extras, key.path.encode())

    def _commit(self, upload: Upload, key: ObjectKey, extras: Extras) -> None:
        if extras:
            note = Upload(self._tmp, 0)
            try:
                note.write([msgspec.json.encode(extras)])
                note.rename(self._extras_path(key), self._top)
            finally:
                note.close()
        upload.rename(self._path(key), self._top)

    def _list(self, repo: Repo | None, cursor: str | None, limit: int) -> ObjectPage:
        # A disk that is not there has no empty list.
        os.stat(self._top)
        return list_page(self._root, repo, cursor, limit)

    def _delete(self, key: ObjectKey) -> None:
        # The object last: if that fails, it is still listed and can be deleted again.
        remove(self._extras_path(key))
        remove(self._path(key))

    def _open(self, key: ObjectKey) -> LocalObject | None:
        try:
            fd = os.open(
                self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            )
        except OSError as error:
            if error.errno in ABSENT:
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
        except (OSError, msgspec.DecodeError, RecursionError):
            return {}


@contextlib.contextmanager
def _full_is_507() -> Iterator[None]:
    """Answer 507 if the file system has no room."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InsufficientStorage("the server's storage is full; nothing was stored") from error
        raise


def _unavailable(error: OSError, doing: str) -> StorageUnavailable:
    """Log what happened, and make what the client is told."""
    _log.error("{doing}: {error}", doing=doing, error=str(error))
    return StorageUnavailable("the server's storage fails; try again later", RETRY_AFTER)


def _sizes(paths: Sequence[bytes]) -> Sequence[int | None]:
    return [size_of(path) for path in paths]


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
        store = LocalStore(options.path, prefix, environment.blocking, options.part_size)
        try:
            os.makedirs(options.path, exist_ok=True)
            os.listdir(options.path)
            store.sweep()
        except OSError as error:
            raise ConfigError(
                "path",
                f"{options.path!r} cannot be used: {error.strerror};"
                " give a directory that the daemon may write to",
            ) from None
        sweeper = PartSweeper(
            store.parts,
            options.multipart_expiry,
            environment.blocking,
            environment.reactor,
            environment.wall_clock,
        )
        sweeper.setServiceParent(environment.services)
        return store
