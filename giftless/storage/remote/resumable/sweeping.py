"""Remove the uploads that nobody goes on with."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from twisted.logger import Logger

from giftless.base.concurrency import settle
from giftless.base.exclusive import Exclusive, Held
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.resumable.context import Context
from giftless.storage.remote.resumable.found import list_all
from giftless.storage.remote.resumable.staging import UPLOADS, Staging
from giftless.storage.staging import SEALING

#: The longest time from one sweep to when another one is due, in seconds.
INTERVAL: Final = 3600

#: How often a worker looks in that time whether one is due.
LOOKS: Final = 4

#: What the workers of a machine take turns at.
_TURN: Final = "sweep"

#: Aborts an upload; its sizes do not matter for that.
_ANY_PLAN: Final = PartPlan(0, 1)

_log = Logger(namespace="giftless.storage")


class Sweeper:
    """Removes what has not changed for as long as uploads are kept.

    :param container: where uploads are staged.
    :param context: the parts that uploads share.
    :param identity: recognises the container.
    :ivar interval: from one sweep to when another one is due, in seconds.
    """

    def __init__(self, container: Container, context: Context, identity: StoreIdentity) -> None:
        self.interval = min(INTERVAL, max(1, context.expiry // 4))
        self._container = container
        self._identity = identity
        self._context = context
        self._turns = Exclusive(os.path.join(context.directory, "turns"))
        self._problem = ""

    async def sweep(self) -> None:
        """Sweep, if no other worker does, or has done so lately.

        :raises OSError: from the file system.
        """
        blocking = self._context.blocking
        turn = await blocking.run(self._take_turn)
        if turn is None:
            return
        try:
            if self._is_due(turn.before):
                await self._sweep()
                await blocking.run(turn.note, b"%d" % self._context.wall_clock())
            else:
                await blocking.run(turn.note, turn.before)
        finally:
            await blocking.run(turn.release, True)

    def _take_turn(self) -> Held | None:
        """Return what keeps other workers from sweeping; blocks for a moment."""
        try:
            owner = os.stat(self._context.directory).st_uid
        except FileNotFoundError:
            # No daemon has taken an upload here.
            return None
        if owner != os.geteuid():
            # This is a command, and what it left here the daemon could not open.
            return None
        turn = self._turns.take([_TURN], b"")
        return turn if isinstance(turn, Held) else None

    def _is_due(self, note: bytes) -> bool:
        last = int(note) if note.isdigit() else 0
        return not 0 <= self._context.wall_clock() - last < self.interval

    async def _sweep(self) -> None:
        try:
            await self._identity.confirm()
            # By the clock that dates what is stored.
            before = await self._container.time() - self._context.expiry
            old = [each for each, when in (await self._find_all()).items() if when < before]
            removed = sum([await self._remove(each, before) for each in old])
            await self._remove_sealed(before - self._context.expiry)
            self._problem = ""
        except StoreError as error:
            if error.problem != self._problem:
                self._problem = error.problem
                _log.warn(
                    "uploads that nobody goes on with could not be removed: {problem}",
                    problem=error.problem,
                )
            return
        await self._context.holds.sweep()
        if removed:
            _log.info("{count} uploads that nobody goes on with were removed", count=removed)

    async def _find_all(self) -> Mapping[Staging, float]:
        """Find all uploads, and when each has changed last, in seconds since the epoch."""
        container, path = self._container, f"{UPLOADS.path}/"
        changed: defaultdict[Staging, float] = defaultdict(float)

        def note(name: str, when: float) -> None:
            found = Staging.of_path(name.removeprefix(container.layout.below("")))
            if found is not None:
                changed[found[0]] = max(changed[found[0]], when)

        # Parts may be all that a killed process has left.
        for upload in await container.running_uploads(path):
            note(upload.name, upload.began)
        for entry in await list_all(container, path, nested=True):
            note(entry.name, entry.modified)
        return changed

    async def _remove(self, staging: Staging, before: float) -> bool:
        """Remove an upload, unless somebody goes on with it, or has done so meanwhile."""
        hold = await self._context.holds.claim_unheld(staging.name)
        if hold is None:
            return False
        container = self._container
        try:
            entries = await list_all(container, f"{staging.folder.path}/")
            if any(entry.modified >= before for entry in entries):
                return False
            top = container.layout.below("")
            found = [Staging.of_path(entry.name.removeprefix(top)) for entry in entries]
            names = [each[1] for each in found if each is not None]
            await settle(container.delete(staging.key(name)) for name in names)
            for upload in await container.find_uploads(staging.whole):
                await container.abort_upload(staging.whole, PartUpload(upload, _ANY_PLAN))
            return True
        finally:
            await hold.release()

    async def _remove_sealed(self, before: float) -> None:
        """Remove what has come of uploads that are sealed bit by bit, beside the uploads."""
        container = self._container
        top = container.layout.below("")
        old = [
            entry.name.removeprefix(top).split("/")
            for entry in await list_all(container, f"{SEALING.path}/", nested=True)
            if entry.modified < before
        ]
        keys = [
            ObjectKey(Repo(tuple(segments)), Oid(name))
            for *segments, name in old
            if Oid.PATTERN.fullmatch(name)
        ]
        await settle(container.delete(key) for key in keys)
