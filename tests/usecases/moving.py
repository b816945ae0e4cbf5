"""A store, a catalogue and all that moves objects, stepped through in any order."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from twisted.internet.task import Clock

from giftless.auth.aliases import Moved
from giftless.base.concurrency import settle
from giftless.base.database.sqlite import SQLiteOptions
from giftless.catalogue.sqlite import SQLiteFactory
from giftless.interfaces import Entry, Identity, State
from giftless.lfs.batch import BatchReply, parse_batch
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local.store import LocalStore
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.locks import By
from giftless.usecases.presence import Presence
from giftless.usecases.trash import Trash
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import environment, key_of, links_of, put_object, server_of
from tests.support.run import CoroutineTestCase
from tests.support.steps import Side

#: A file system without a disk.
MEMORY = "/dev/shm"

#: An object, and where it is.
DATA = b"an object that is wanted and is not"
KEY = key_of(DATA)

#: When tests begin, in seconds since the epoch.
NOW = 1_800_000_000.0

#: When the object was stored, and offered last.
LONG_AGO = NOW - 10_000_000.0

#: Who moves objects.
OPERATOR = By("giftless gc (root)")


class Place:
    """What one process has to move objects with.

    :param store: where they are.
    :param catalogue: what is known of them.
    :param clock: measures and waits.
    :param wall_clock: tells the time of day.
    """

    def __init__(
        self, store: Any, catalogue: Any, clock: Any, wall_clock: Any, events: Events = NO_EVENTS
    ) -> None:
        self.store = store
        self.catalogue = catalogue
        self.moved = Moved()
        self.trash = Trash(store, catalogue, events, clock, wall_clock, 86_400.0)
        self.presence = Presence(self.trash, self.moved, clock, wall_clock)
        self.server = server_of(store, events=events, presence=self.presence)

    async def batch(
        self, identity: Identity, operation: str, data: bytes = DATA, size: int | None = None
    ) -> BatchReply:
        """Ask for a batch of one object.

        :param size: what is said of its size; ``None`` for the truth.
        """
        key = key_of(data)
        body = b'{"operation": "%s", "objects": [{"oid": "%s", "size": %d}]}' % (
            operation.encode(),
            key.oid.encode(),
            len(data) if size is None else size,
        )
        request = parse_batch(body, 10, 10**9)
        return await self.server.batch(identity, key.repo, request, links_of())


class MovingTestCase(CoroutineTestCase):
    """A test case with a store on a disk, and a catalogue in SQLite.

    :ivar top: the store's directory.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = 1000.0
        # In memory where that is possible: nothing is lost here but time.
        top = tempfile.mkdtemp(dir=MEMORY if os.path.isdir(MEMORY) else None)
        self.addCleanup(shutil.rmtree, top)
        self.top = os.path.join(top, "objects")
        os.makedirs(self.top)
        self.store = LocalStore(self.top, "", InlineBlocking())
        lent = environment(os.path.join(top, "state"), self.clock)
        self.catalogue = SQLiteFactory().build(SQLiteOptions(), lent)
        lent.services.startService()
        self.addCleanup(lambda: self.run_now(settle([_stopped(lent.services)])))

    def wall_clock(self) -> float:
        """Return the time of day."""
        return NOW + self.clock.seconds() - 1000.0

    def place(self, side: Side | None = None, events: Events = NO_EVENTS) -> Place:
        """Return what a process has.

        :param side: whose turns its calls wait for; ``None`` not to wait.
        """
        if side is None:
            return Place(self.store, self.catalogue, self.clock, self.wall_clock, events)
        store, catalogue = side.gated(self.store), side.gated(self.catalogue)
        return Place(store, catalogue, side.clock, self.wall_clock, events)

    def put(self, key: ObjectKey = KEY, data: bytes = DATA) -> None:
        """Store an object, as the catalogue does not know."""
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), {}))

    def know(self, state: State, key: ObjectKey = KEY, size: int = len(DATA), **more: Any) -> None:
        """Let the catalogue know an object that was stored long ago."""
        self.run_now(self.catalogue.forget([key], frozenset(State)))
        entry = Entry(key, size, LONG_AGO, LONG_AGO, "olga", "basic#olga", "a.bin", state, **more)
        self.run_now(self.catalogue.merge([entry]))

    def arrange(self, state: State, stored: bool, trashed: bool) -> None:
        """Put the object where it is to be."""
        for key, there in ((KEY, stored), (in_trash(KEY), trashed)):
            self.run_now(self.store.delete(key))
            if there:
                self.put(key)
        self.know(state, moved_at=0.0 if state is State.STORED else LONG_AGO)

    def is_there(self, key: ObjectKey = KEY) -> bool:
        """Whether the store has an object."""
        return self.run_now(self.store.sizes([key])) == [len(DATA)]

    def entry(self, key: ObjectKey = KEY) -> Entry | None:
        """Return what the catalogue knows of an object."""
        (entry,) = self.run_now(self.catalogue.look([key]))
        return entry


async def _stopped(services: Any) -> None:
    await services.stopService()
