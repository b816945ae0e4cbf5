"""What every store promises that copies objects itself (``ICopying``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from giftless.base.concurrency import settle
from giftless.interfaces import ICopying, IMarking
from giftless.lfs.objects import Extras, ObjectKey, Oid, in_trash
from tests.contracts.listing import NESTED, PECULIAR, StoreContract
from tests.support.making import key_of, oid_of, repo_of

if TYPE_CHECKING:
    _Mixin = StoreContract
else:
    _Mixin = object

DATA = bytes(range(256)) * 1031
KEY = key_of(DATA)
OTHER = key_of(DATA, "other/place")


class CopyingContract(_Mixin):
    """Tests of an ``ICopying`` that lists and deletes, too."""

    def can_mark(self) -> bool:
        """Return whether the store can mark objects as damaged."""
        return IMarking.providedBy(self.store)

    async def test_it_can_copy(self) -> None:
        await self.prepare()
        verifyObject(ICopying, self.store)

    async def test_a_copy_has_the_bytes_and_the_extras(self) -> None:
        await self.prepare()
        objects: list[tuple[bytes, Extras]] = [
            (DATA, {"filename": "\u00fcber \u2764 'quoted\".bin", "n": 1}),
            (b"abc", {}),
            (b"", {"filename": "empty"}),
        ]
        for data, extras in objects:
            key, other = key_of(data), key_of(data, "other/place")
            await self.add(key, data, extras)
            self.assertIs(await self.store.copy(key, other), True)
            self.assertEqual(await self.sizes(key, other), [len(data)] * 2)
            self.assertEqual(await self.bytes_of(other), data)
            self.assertEqual(await self.extras_of(other), extras)
            self.assertEqual(await self.extras_of(key), extras)

    async def test_a_copy_and_its_source_are_deleted_one_by_one(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        for gone, kept in ((KEY, OTHER), (OTHER, KEY)):
            self.assertIs(await self.store.copy(gone, kept), True)
            await self.store.delete(gone)
            self.assertEqual(await self.sizes(gone, kept), [None, len(DATA)])
            self.assertEqual(await self.bytes_of(kept), DATA)
            self.assertEqual(await self.extras_of(kept), {"n": 1})

    async def test_what_is_absent_is_not_copied(self) -> None:
        await self.prepare()
        self.assertIs(await self.store.copy(KEY, OTHER), False)
        self.assertEqual(await self.sizes(KEY, OTHER), [None, None])
        # Even if it is where it was to go.
        await self.add(OTHER, DATA)
        self.assertIs(await self.store.copy(KEY, OTHER), False)
        self.assertEqual(await self.bytes_of(OTHER), DATA)

    async def test_what_is_there_already_stays(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        await self.add(OTHER, DATA, {"n": 2})
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(await self.extras_of(OTHER), {"n": 2})

    async def test_what_comes_to_the_trash_again_is_dated_anew(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        self.assertIs(await self.store.copy(KEY, in_trash(KEY)), True)
        before = time.time() - 0.02
        self.assertIs(await self.store.copy(KEY, in_trash(KEY)), True)
        (entry,) = await self.listed(trash=True)
        self.assertEqual(entry.size, len(DATA))
        if self.tells_time:
            self.assertGreaterEqual(entry.modified, before)
        self.assertEqual(await self.bytes_of(in_trash(KEY)), DATA)
        self.assertEqual(await self.extras_of(in_trash(KEY)), {"n": 1})

    async def test_what_has_another_size_is_replaced(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        await self.add_wrong(OTHER, b"cut off")
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(await self.sizes(KEY, OTHER), [len(DATA)] * 2)
        self.assertEqual(await self.bytes_of(OTHER), DATA)
        self.assertEqual(await self.extras_of(OTHER), {"n": 1})

    async def test_a_damaged_object_is_not_copied(self) -> None:
        await self.prepare()
        if not self.can_mark():
            return
        await self.add(KEY, DATA)
        await self.store.mark(KEY, "bad bytes")
        self.assertIs(await self.store.copy(KEY, OTHER), False)
        self.assertEqual(await self.sizes(OTHER), [None])

    async def test_a_copy_ends_the_mark_of_what_was_damaged(self) -> None:
        await self.prepare()
        if not self.can_mark():
            return
        await self.add(KEY, DATA)
        await self.add(OTHER, DATA)
        await self.store.mark(OTHER, "bad bytes")
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(await self.sizes(OTHER), [len(DATA)])
        self.assertEqual(await self.bytes_of(OTHER), DATA)

    async def test_objects_go_to_the_trash_and_come_back(self) -> None:
        await self.prepare()
        data = b"abc"
        repos = [repo_of(f"{path}.git") for path in (*NESTED, *PECULIAR)]
        keys = [ObjectKey(repo, oid_of(data)) for repo in repos]
        for key in keys:
            await self.add(key, data, {"n": 1})
            self.assertIs(await self.store.copy(key, in_trash(key)), True)
            await self.store.delete(key)
        self.assertEqual(await self.sizes(*keys), [None] * len(keys))
        self.assertEqual(await self.sizes(*map(in_trash, keys)), [len(data)] * len(keys))
        for key in keys:
            self.assertIs(await self.store.copy(in_trash(key), key), True)
            await self.store.delete(in_trash(key))
            self.assertEqual(await self.bytes_of(key), data)
            self.assertEqual(await self.extras_of(key), {"n": 1})
        self.assertEqual(await self.sizes(*map(in_trash, keys)), [None] * len(keys))

    async def test_many_copies_are_made_at_once(self) -> None:
        await self.prepare()
        keys = [*await self.fill(12), *await self.fill(12, "org/repo/sub")]
        absent = [ObjectKey(repo_of(), Oid(f"{n:064x}")) for n in range(3)]
        # Each of them twice: two may have the same idea.
        twice = [*keys, *absent] * 2
        copied = await settle(self.store.copy(key, in_trash(key)) for key in twice)
        self.assertEqual(copied, [*[True] * 24, *[False] * 3] * 2)
        self.assert_listed(await self.listed(trash=True), map(in_trash, keys))
        self.assert_listed(await self.listed(), keys)
