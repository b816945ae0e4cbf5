"""Objects as files on a local disk.

An object lies at ``{path}/{prefix}/{org}/{repo}/{oid}``.  An upload goes to a
temporary file under ``{path}/.giftless/tmp`` and becomes visible by a rename,
after its bytes are on disk; the directory is synced before the upload is
acknowledged.  Nothing half-written is ever visible, and what a crash leaves
behind is swept when the store is next built.

The parts of an upload are files too (:mod:`giftless.storage.local.parts`); the
object is made by reading them as one body and storing that like any other.  What comes
bit by bit is kept by :mod:`giftless.storage.local.resumable`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from giftless.base.bodies import Resumed, VerifiedBody
from giftless.base.identities import Remembered
from giftless.errors import BadRequest, Conflict, LFSError
from giftless.interfaces import (
    Glimpse,
    IBlocking,
    IBody,
    ICopying,
    IDeleting,
    IFusedCapacity,
    IHeading,
    IMarking,
    IPeeking,
    IProbing,
    ISharing,
    IStreamingMultipartStore,
    IStreamingStore,
    ISurveying,
    IUnsizedStore,
    ObjectPage,
    Oddity,
    PartUpload,
    Payload,
    Room,
    SurveyPage,
)
from giftless.lfs.multipart import PART_SIZE, Part, PartLimits, PartPlan, parts_are_missing
from giftless.lfs.objects import Extras, ObjectKey, Repo
from giftless.storage.local import damage
from giftless.storage.local.attempts import Attempts
from giftless.storage.local.commits import Commits
from giftless.storage.local.copying import Copies
from giftless.storage.local.disks import Disks
from giftless.storage.local.extras import ExtrasFiles
from giftless.storage.local.failures import unreadable
from giftless.storage.local.files import Upload, remove
from giftless.storage.local.heading import replace_head
from giftless.storage.local.leftovers import Leftovers
from giftless.storage.local.listing import list_page
from giftless.storage.local.lookups import Lookups, Size
from giftless.storage.local.opened_object import LocalObject
from giftless.storage.local.parts import PartFiles, PartsBody
from giftless.storage.local.probe import probe
from giftless.storage.local.resumable import ResumableUploads
from giftless.storage.local.sharing import share_file
from giftless.storage.local.small import SMALL_BYTES, SmallFile, SmallFiles
from giftless.storage.local.survey import survey_page
from giftless.storage.local.writer import sweep
from giftless.storage.pages import check_limit

T = TypeVar("T")

#: What a directory takes: as many parts as other stores.
_PART_LIMITS: Final = PartLimits(1, 2**63 - 1, 10_000)

#: What could not be done when a lookup fails, for the log.
_NO_LOOKUP: Final = "objects could not be looked up"


@implementer(
    IStreamingStore,
    IStreamingMultipartStore,
    ISurveying,
    IDeleting,
    IHeading,
    IMarking,
    ICopying,
    ISharing,
    IFusedCapacity,
    IPeeking,
    IProbing,
    IUnsizedStore,
)
class LocalStore:
    """A store in a directory.  See the module for its layout.

    :param path: the root directory.
    :param prefix: a relative path below it, or an empty string.
    :param blocking: does everything that touches the disk.
    :param part_size: the size of parts, in bytes.
    :param remembered: which store it was; ``None`` if that is not remembered.
    """

    want_digest = "contentMD5"
    reads_back = False

    def __init__(
        self,
        path: str,
        prefix: str,
        blocking: IBlocking,
        part_size: int = PART_SIZE,
        remembered: Remembered | None = None,
    ) -> None:
        top = os.fsencode(os.path.abspath(path))
        self._prefix = prefix.encode()
        self._disks = Disks(top, self._prefix, remembered)
        self._extras = ExtrasFiles(self._disks.main, self._prefix)
        self.parts = PartFiles(self._disks.main, self._prefix)
        self._part_size = part_size
        self._blocking = blocking
        self._small = SmallFiles(blocking)
        self._lookups = Lookups(self._disks, self._extras, blocking)
        self._copies = Copies(self._disks, self._extras)
        self._commits = Commits(self._disks, self._extras)
        attempts = Attempts(self._disks, blocking)
        self._run, self._attempt, self._failed = attempts.run, attempts.wait, attempts.failed

    def open_disks(self) -> None:
        """Open what the store lies on, when the daemon starts.  Blocks.

        :raises OSError: if it is not there, or is not the store that was there before.
        :raises ConfigError: if what is remembered of it cannot be read.
        """
        self._disks.open()

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[Size]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: one thread job at most."""
        return await self._attempt(_NO_LOOKUP, self._lookups.sizes(keys), unreadable)

    async def room(self, repo: Repo) -> Room:
        """See :meth:`giftless.interfaces.ICapacity.room`: that of the repository's disk."""
        doing = "the disk's free space could not be asked for"
        return await self._attempt(doing, self._lookups.room(repo))

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[Size], Room]:
        """See :meth:`giftless.interfaces.IFusedCapacity.sizes_and_room`: one job at most."""
        return await self._attempt(_NO_LOOKUP, self._lookups.sizes_and_room(keys, repo))

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`."""
        try:
            await self._store(key, payload, body, extras)
        except OSError as error:
            raise self._failed(error, f"{key.oid} could not be stored") from error

    async def _store(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        size = payload.length
        if size is not None and size <= SMALL_BYTES and not extras:
            await self._receive_small(key, size, body)
        else:
            await self._receive_large(key, size or 0, body, extras)

    async def _receive_small(self, key: ObjectKey, size: int, body: IBody) -> None:
        """Store a small body together with others, if it is here at once."""
        whole = await body.read()
        if whole and (more := await body.read()):
            # It comes slowly, and must not wait in memory for as long as its sender likes.
            await self._receive_large(key, size, Resumed([whole, more], body), {})
            return
        try:
            await self._small.store(SmallFile(self._disks.place_of(key), whole))
        except OSError as error:
            if not await self._blocking.run(self._commits.discover, key, error):
                raise
            await self._small.store(SmallFile(self._disks.place_of(key), whole))

    async def _receive_large(self, key: ObjectKey, size: int, body: IBody, extras: Extras) -> None:
        place = self._disks.place_of(key)
        commit = self._commits.commit
        upload = Upload(place.root.enter, size)
        await self._receive(upload, body, lambda upload: commit(upload, place, key, extras))

    async def _receive(self, upload: Upload, body: IBody, keep: Callable[[Upload], None]) -> None:
        """Write a body to a temporary file, and keep that if the body ends well."""
        run = self._blocking.run
        try:
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
        try:
            return PartUpload("", plan), await self._missing(key, plan)
        except OSError as error:
            raise self._failed(error, f"parts of {key.oid} could not be looked up") from error

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IStreamingMultipartStore.put_part`."""
        target = self.parts.path(key, upload.plan, part.number)
        file = Upload(self._disks.main.enter, part.size)
        try:
            await self._receive(file, body, lambda file: file.rename(target))
        except FileNotFoundError:
            raise Conflict("this upload is aborted again and again; ask for a new batch") from None
        except OSError as error:
            raise self._failed(error, f"a part of {key.oid} could not be stored") from error

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
            except OSError as error:
                raise self._failed(error, f"{key.oid} could not be made of its parts") from error
        await self.abort(key, upload)

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.abort`."""
        await self._run(
            f"parts of {key.oid} could not be removed", self.parts.discard, key, upload.plan
        )

    async def _missing(self, key: ObjectKey, plan: PartPlan) -> Sequence[Part]:
        return plan.missing(await self._blocking.run(self.parts.found, key, plan))

    async def _is_here(self, key: ObjectKey, size: int) -> bool:
        return await self.sizes([key]) == [size]

    async def _assemble(
        self, key: ObjectKey, plan: PartPlan, payload: Payload, extras: Extras
    ) -> None:
        if missing := await self._missing(key, plan):
            raise parts_are_missing(missing)
        paths = [self.parts.path(key, plan, part.number) for part in plan]
        parts = PartsBody(self._disks.main, paths, self._blocking)
        body = VerifiedBody(parts, payload.sha256, plan.size, plan.size, self._blocking)
        try:
            await self._store(key, Payload(plan.size, payload.sha256), body, extras)
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
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        doing = f"{key.oid} could not be opened"
        return await self._attempt(doing, self._lookups.open(key), unreadable)

    async def peek(
        self, keys: Sequence[ObjectKey], count: int
    ) -> Sequence[Glimpse | LFSError | None]:
        """See :meth:`giftless.interfaces.IPeeking.peek`: one thread job at most."""
        return await self._attempt(_NO_LOOKUP, self._lookups.peek(keys, count))

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`: one thread job.

        For each page, the names in every directory that it passes are read, and
        in the one where the page before ended they are read again: all pages of
        a repository with ``n`` objects read ``n * n / limit`` names.  Keeps
        ``2 * limit`` names in memory for each directory on the way, not all.
        """
        check_limit(limit)
        doing = "objects could not be listed"
        return await self._run(doing, self._list, repo, cursor, limit, trash)

    async def survey(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> SurveyPage:
        """See :meth:`giftless.interfaces.ISurveying.survey`: one thread job, as for a list."""
        check_limit(limit)
        doing = "the store could not be surveyed"
        return await self._run(doing, survey_page, self._disks, repo, cursor, limit, trash)

    async def leftovers(self, before: float) -> Sequence[Oddity]:
        """See :meth:`giftless.interfaces.ISurveying.leftovers`: one thread job."""
        work = Leftovers(self._disks, self._prefix, before)
        return await self._run("leftovers could not be found", work.find)

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IDeleting.delete`: one thread job.

        The repository's directory stays.
        """
        await self._run(f"{key.oid} could not be deleted", self._delete, key)

    async def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICopying.copy`: one thread job."""
        doing = f"{source.oid} could not be copied"
        return await self._run(doing, self._copies.copy, source, target)

    async def share(self, key: ObjectKey, others: Sequence[ObjectKey]) -> int:
        """See :meth:`giftless.interfaces.ISharing.share`: one thread job."""
        place_of = self._disks.place_of
        equal = [place_of(other) for other in others if other.oid == key.oid]
        doing = f"bytes of {key.oid} could not be shared"
        return await self._run(doing, share_file, place_of(key), equal)

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.interfaces.IMarking.mark`: one thread job."""
        await self._run(
            f"{key.oid} could not be marked as damaged",
            damage.set_apart,
            *self._disks.place_of(key),
            reason,
        )

    async def replace_head(self, key: ObjectKey, before: bytes, after: bytes) -> bool:
        """See :meth:`giftless.interfaces.IHeading.replace_head`: one thread job."""
        doing = f"the head of {key.oid} could not be replaced"
        place = self._disks.place_of(key)
        work = self._blocking.run(replace_head, place, before, after)
        return await self._attempt(doing, work, unreadable)

    async def probe(self) -> None:
        """See :meth:`giftless.interfaces.IProbing.probe`: one thread job, on every disk."""
        await self._blocking.run(probe, self._disks.roots())

    def sweep(self) -> int:
        """Remove what killed uploads left behind.  Blocks.

        :returns: how many files were removed.
        """
        return sum(sweep(root.enter().fd) for root in self._disks.roots())

    def resumable(self, expiry: int, clock: IReactorTime) -> ResumableUploads:
        """Return what takes objects bit by bit; for :func:`giftless.storage.wrapping.lend`.

        :param expiry: after how many seconds without a new byte an upload is given up.
        :param clock: the reactor.
        """
        return ResumableUploads(self._disks, self._commits, self._blocking, expiry, clock)

    # -- what blocks

    def _list(self, repo: Repo | None, cursor: str | None, limit: int, trash: bool) -> ObjectPage:
        return self._disks.walk(
            lambda top, linked: list_page(top, repo, cursor, limit, linked, trash)
        )

    def _delete(self, key: ObjectKey) -> None:
        # The object last: if that fails, it is still listed and can be deleted again.
        self._extras.remove(key)
        root, path = self._disks.place_of(key)
        held = root.enter()
        remove(held, path)
        damage.clear([(held, path)])
