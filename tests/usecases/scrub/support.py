"""A store on a disk that is scrubbed, by workers of one machine."""

from __future__ import annotations

import os
from typing import Any

from giftless.base.metrics.counts import Counts
from giftless.base.units import Duration, Size
from giftless.interfaces import State
from giftless.lfs.objects import ObjectKey
from giftless.monitoring.metrics import Metrics
from giftless.monitoring.scrubbing import ScrubFacts
from giftless.usecases.scrub.context import Context
from giftless.usecases.scrub.journal import Journal
from giftless.usecases.scrub.options import ScrubOptions
from giftless.usecases.scrub.scrubbing import LOOKED, Scrubbing
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, put_object
from tests.usecases.moving import MovingTestCase

#: How long a pass takes, in seconds.
PERIOD = 10_000.0


class ScrubTestCase(MovingTestCase):
    """A test case with a store of some objects.

    :ivar opened: which objects were opened, and when, in seconds since the first look.
    """

    def setUp(self) -> None:
        super().setUp()
        self.state_dir = os.path.join(os.path.dirname(self.top), "scrubbed")
        os.makedirs(self.state_dir)
        self.journal = Journal(self.state_dir)
        self.recorder = Recorder()
        self.metrics = Metrics(Counts())
        self.opened: list[tuple[float, ObjectKey]] = []
        self.began = self.clock.seconds() + LOOKED
        open_object = self.store.open

        async def opening(key: ObjectKey) -> Any:
            self.opened.append((self.clock.seconds() - self.began, key))
            return await open_object(key)

        self.patch(self.store, "open", opening)

    def worker(self, quarantine: bool = False, **changed: Any) -> Scrubbing:
        """Start a worker, until the test ends.

        :param changed: of :class:`Context`.
        """
        context: dict[str, Any] = {
            "store": self.store,
            "catalogue": self.catalogue,
            "events": events_to(self.recorder),
            "metrics": self.metrics,
            "blocking": InlineBlocking(),
            "quiet": InlineBlocking(),
            "clock": self.clock,
            "wall_clock": self.wall_clock,
            "identity": "this store",
        }
        period, rate = Duration(PERIOD), Size(1_000_000)
        options = ScrubOptions(period=period, rate=rate, quarantine=quarantine)
        service = Scrubbing(options, self.journal, Context(**context | changed))
        service.startService()

        def stop() -> None:
            if service.running:
                service.stopService()

        self.addCleanup(stop)
        return service

    def add(self, number: int, size: int = 100_000) -> list[ObjectKey]:
        """Store objects of one size, which the catalogue knows."""
        keys = []
        for index in range(number):
            data = (b"%06d" % index).ljust(size, b".")
            key = key_of(data)
            self.run_now(put_object(self.store, key, size, ListBody([data]), {}))
            self.know(State.STORED, key, size)
            keys.append(key)
        return keys

    def path_of(self, key: ObjectKey) -> str:
        """Return where an object lies."""
        return os.path.join(self.top, key.path)

    def flip(self, key: ObjectKey) -> None:
        """Change one bit of an object."""
        with open(self.path_of(key), "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))

    def go(self, seconds: float, step: float = 5.0) -> None:
        """Let time pass."""
        self.clock.pump([step] * round(seconds / step))

    def facts(self) -> ScrubFacts:
        """Return what is written down."""
        state = self.journal.read()
        assert state is not None
        return state.facts

    def found(self) -> list[tuple[str, str]]:
        """Return the oids and outcomes of what was found, the newest first."""
        return [(each.oid, each.outcome) for each in self.facts().findings]
