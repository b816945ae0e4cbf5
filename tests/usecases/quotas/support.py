"""A server with quotas, over a catalogue in a real database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from giftless.base.schema import convert
from giftless.base.shared_table import SharedTable
from giftless.errors import CatalogueUnavailable
from giftless.interfaces import Entry, IExternalStore, Level, State
from giftless.lfs.batch import parse_batch
from giftless.usecases.quotas.budgets import Budgets
from giftless.usecases.quotas.keeping import QuotaKeeping
from giftless.usecases.quotas.levels import QuotaLevels
from giftless.usecases.quotas.promises import Lifetimes, Quotas
from giftless.usecases.quotas.rules import QuotaOptions, QuotaRules
from giftless.usecases.quotas.warnings import QuotaWarnings
from tests.catalogue.support import SQLiteTestCase
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, links_of, repo_of, server_of, uploader, writer
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

#: For how many seconds actions are good here, those of parts included.
LIFETIME = 3600.0
PARTS_LIFETIME = 40_000.0


def data_of(name: str, size: int) -> bytes:
    """Return bytes that no other object has."""
    digest = hashlib.sha256(name.encode()).digest()
    return (digest * (size // 32 + 1))[:size]


class QuotaTestCase(SQLiteTestCase, CoroutineTestCase):
    """Tests with a server over a store in memory, where each repository may have 100 bytes."""

    section: dict[str, Any] = {"repositories": [{"match": "**", "limit": 100}], "contact": "ada"}

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1_700_000_000.0)
        self.recorder = Recorder()
        self.table = SharedTable()
        self.store: Any = MemoryStore()
        self.catalogue = self.build()
        self.configure(**self.section)

    def configure(self, **section: Any) -> None:
        """Let other rules hold, as after a reload."""
        self.options = options = convert(section, QuotaOptions, "quotas")
        self.rules = QuotaRules(options)
        clock, now = self.clock, self.clock.seconds
        events = events_to(self.recorder)
        warnings = QuotaWarnings(self.table, events, clock)
        direct = IExternalStore.providedBy(self.store)
        lifetimes = Lifetimes(LIFETIME, PARTS_LIFETIME, direct)
        self.quotas = Quotas(
            self.rules, options.contact, self.catalogue, self.store, warnings, lifetimes, now
        )
        self.budgets = Budgets(
            self.rules, options.period, options.contact, self.catalogue, clock, now
        )
        self.levels = QuotaLevels(self.rules, self.catalogue, self.budgets)
        self.keeping = QuotaKeeping(self.quotas, self.catalogue, self.store, self.table, clock, now)
        observers = events_to(self.recorder, self.budgets)
        self.server = server_of(
            self.store, events=observers, quotas=self.quotas, budgets=self.budgets
        )

    def batch(
        self, *objects: bytes, operation: str = "upload", path: str = "org/repo"
    ) -> list[Any]:
        """Ask for a batch; return the entries of the reply, as JSON."""
        members = [{"oid": key_of(data).oid, "size": len(data)} for data in objects]
        return self.batch_of(*members, operation=operation, path=path)

    def batch_of(
        self,
        *members: Any,
        operation: str = "upload",
        path: str = "org/repo",
        transfers: Sequence[str] = ("basic",),
    ) -> list[Any]:
        """Ask for a batch of these members."""
        asked = {"operation": operation, "objects": members, "transfers": transfers}
        request = parse_batch(json.dumps(asked).encode(), 1000, 2**62)
        reply = self.server.batch(writer(), repo_of(path), request, links_of(path))
        return list(self.run_now(reply).objects)

    def codes(self, *objects: bytes, **options: Any) -> list[int]:
        """Ask for a batch; return each object's error, else 0 with actions and 1 without."""
        return [
            entry.error.code if entry.error is not None else 0 if entry.actions else 1
            for entry in self.batch(*objects, **options)
        ]

    def put(self, data: bytes, path: str = "org/repo", ticket: bool = True) -> None:
        """Upload an object, with the token of a batch or without, and let it be recorded."""
        who = uploader(len(data)) if ticket else writer()
        key = key_of(data, path)
        self.run_now(self.server.receive(who, key, len(data), ListBody([data])))
        self.record(data, path)

    def record(self, data: bytes, path: str = "org/repo") -> None:
        """Let the catalogue know that an object is stored."""
        now = self.clock.seconds()
        self.run_now(self.catalogue.record([Entry(key_of(data, path), len(data), now, now)]))

    def have(self, data: bytes, path: str = "org/repo") -> None:
        """Put an object in place that everybody knows of."""
        self.store.add(key_of(data, path), data)
        self.record(data, path)

    def forget(self, data: bytes) -> None:
        """Delete an object for good."""
        key = key_of(data)
        self.run_now(self.store.delete(key))
        self.run_now(self.catalogue.forget([key], frozenset(State)))

    def level(self, path: str = "org/repo") -> tuple[int, int]:
        """Return what is used and reserved."""
        bounds = self.rules.terms(repo_of(path)).bounds
        found: Sequence[Level] = self.run_now(self.catalogue.levels(bounds))
        return found[-1].used, found[-1].reserved

    def break_catalogue(self) -> None:
        """Let the database fail."""

        async def fail(*args: Any) -> Any:
            raise CatalogueUnavailable("the catalogue cannot be reached now", 5)

        for name in ("reserve", "release", "expired", "levels", "count", "record"):
            self.patch(self.catalogue, name, fail)
