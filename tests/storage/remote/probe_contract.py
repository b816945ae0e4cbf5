"""A bucket or container is tried, and nothing of that stays or is seen."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from giftless.errors import StorageUnavailable
from giftless.interfaces import IProbing, Payload
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.probe import SWEEP_INTERVAL

if TYPE_CHECKING:
    from tests.support.spinning import SpinningTestCase as _Mixin
else:
    _Mixin = object

#: Where probes lie.
FOLDER = Repo((".giftless", "probe"))


class ProbeContract(_Mixin):
    """Tests of a store over a real server; mixed in before a test case with ``build``."""

    def build(self, **options: Any) -> Any:
        """Build a store over the test's bucket."""
        raise NotImplementedError

    def names(self, store: Any) -> set[str]:
        """Return the names of all probes that are there."""
        folder = store.container.layout.below(f"{FOLDER.path}/")
        page = self.run_now(store.container.list_entries(folder, False, None, 100))
        return {entry.name for entry in page.entries}

    def leave(self, store: Any, data: bytes) -> None:
        """Leave a probe behind, as a killed process does."""
        key = ObjectKey(FOLDER, Oid(sha256(data).hexdigest()))

        async def prepare() -> Request:
            request = await store.container.put_request(key, Payload(len(data), key.oid), {})
            changed: Request = replace(request, body=data)
            return changed

        self.assertLess(self.run_now(store.container.client.ask(prepare)).status, 300)

    def test_it_provides_the_interface_in_both_modes(self) -> None:
        for mode in ("direct", "proxy"):
            verifyObject(IProbing, self.build(mode=mode))

    def test_nothing_stays_of_a_probe(self) -> None:
        for mode in ("direct", "proxy"):
            store = self.build(mode=mode, prefix="team/a")
            store._probe._sweep_at = float("inf")
            self.run_now(store.probe())
            self.assertEqual(self.names(store), set())
            self.assertEqual(list(self.run_now(store.list(None)).objects), [])

    def test_what_was_left_is_no_object_and_is_deleted_later(self) -> None:
        store = self.build()
        store._probe._sweep_at = float("inf")
        self.leave(store, b"left")
        self.assertEqual(len(self.names(store)), 1)
        self.assertEqual(list(self.run_now(store.list(None)).objects), [])
        self.run_now(store._probe._sweep())
        # It may be another process's, which is about to delete it.
        self.assertEqual(len(self.names(store)), 1)
        self.leave(store, b"another's")
        self.run_now(store._probe._sweep())
        self.assertEqual(len(self.names(store)), 1)

    def test_a_sweep_comes_with_a_probe_now_and_then(self) -> None:
        store = self.build()
        sweep, swept = store._probe._sweep, []

        async def record() -> None:
            swept.append(await sweep())

        self.patch(store._probe, "_sweep", record)
        self.run_now(store.probe())
        self.spin(lambda: swept)
        self.assertGreater(store._probe._sweep_at, store.container.client.clock.seconds())
        self.assertLessEqual(
            store._probe._sweep_at, store.container.client.clock.seconds() + SWEEP_INTERVAL
        )

    def test_other_bytes_are_a_problem_and_are_deleted(self) -> None:
        store = self.build()

        async def other(_: ObjectKey) -> bytes:
            return b"other"

        self.patch(store._probe, "_read", other)
        error = self.assert_fails(StorageUnavailable, store.probe())
        self.assertIn("other bytes", error.message)
        self.assertEqual(self.names(store), set())

    def test_a_store_that_refuses_to_delete_is_not_well(self) -> None:
        store = self.build()

        async def refuse(_: ObjectKey) -> None:
            raise StoreError("deleting is not permitted")

        self.patch(store.container, "delete", refuse)
        error = self.assert_fails(StorageUnavailable, store.probe())
        self.assertEqual(error.message, "deleting is not permitted")
