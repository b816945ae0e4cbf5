"""Compressing what was stored before: what is done, counted and left alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.errors import ObjectUnreadable
from giftless.interfaces import IStorageFactory
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.coded.compressing import START_BYTES
from giftless.storage.local.store import LocalStore
from giftless.usecases.fsck.places import Places
from giftless.usecases.migration.copier import Copier
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.compressing import Compressing
from giftless.usecases.recoding.walking import Left, Report, Sum, Walk
from tests.contracts.compressing import PACKABLE, UNPACKABLE
from tests.storage.coded.test_store import compressed
from tests.storage.encrypted.support import encrypted
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, part_builder, payload_of
from tests.support.run import CoroutineTestCase


class CompressingTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        os.makedirs(top := self.mktemp())
        self.top = Path(top)
        self.inner: Any = LocalStore(top, "", InlineBlocking())
        self.store: Any = compressed(self, self.inner)
        self.left: list[Left] = []

    def add(self, store: Any, data: bytes, path: str = "org/repo") -> ObjectKey:
        """Store an object."""
        key = key_of(data, path)
        self.run_now(store.put(key, payload_of(data), ListBody([data]), {"n": 1}))
        return key

    def walk(self, *patterns: str, dry: bool = False) -> Report:
        """Go through the store once."""
        pace = Pace(None, self.clock)
        around = (InlineBlocking(), self.clock, pace, lambda _: None)
        anew = None if dry else Anew(self.store, Copier(self.store, self.store, *around))
        report = Report()
        places = Places(self.store, patterns)
        walk = Walk(places, self.clock, 3, lambda _: None, self.left.append)
        running = self.start(walk.run(Compressing(self.store, pace, anew), report, once=True))
        for _ in range(10):
            self.clock.advance(10)
        self.successResultOf(running)
        return report

    def get(self, key: ObjectKey) -> bytes:
        """Return what clients get."""
        opened: Any = self.run_now(self.store.open(key))
        self.assertEqual(opened.extras, {"n": 1})
        data = self.run_now(read_all(opened.read(0, opened.size)))
        opened.close()
        return data

    def encodings(self, *keys: ObjectKey) -> list[Any]:
        """Return what has compressed objects."""
        return list(self.run_now(self.store.compressions(keys)))

    def test_what_pays_is_compressed_and_counted_once(self) -> None:
        texts = [PACKABLE[:size] for size in range(20_000, 30_000, 1000)]
        plain = [self.add(self.inner, data) for data in texts]
        useless = [self.add(self.inner, data) for data in (UNPACKABLE, b"tiny", b"")]
        before = self.add(self.store, PACKABLE)
        deleted = in_trash(plain[0])
        self.run_now(self.inner.copy(plain[0], deleted))
        dry = self.walk(dry=True)
        self.assertEqual(dry.done, Sum(11, 20_000 + sum(map(len, texts))))
        self.assertEqual(dry.before, Sum(1, len(PACKABLE)))
        self.assertEqual(dry.other, Sum(3, len(UNPACKABLE) + 4))
        self.assertEqual(self.encodings(*plain), [""] * 10)
        report = self.walk()
        self.assertEqual((report.done, report.other), (dry.done, dry.other))
        self.assertEqual((report.complete, report.left, self.left), (True, {}, []))
        self.assertEqual(self.encodings(*plain, before, deleted), ["zstd"] * 12)
        self.assertEqual(self.encodings(*useless), [""] * 3)
        self.assertEqual([self.get(key) for key in plain], texts)
        again = self.walk()
        self.assertEqual((again.done, again.before.objects, again.other), (Sum(), 12, dry.other))

    def test_only_the_beginning_of_what_does_not_pay_is_read(self) -> None:
        data = UNPACKABLE * 3
        self.add(self.inner, data)
        taken: list[int] = []

        class Counting:
            async def take(self, count: int) -> None:
                taken.append(count)

        pace: Any = Counting()
        walk = Walk(Places(self.store, ()), self.clock, 1, lambda _: None, self.left.append)
        copier: Any = None  # to use it would fail
        report = Report()
        work = Compressing(self.store, pace, Anew(self.store, copier))
        self.run_now(walk.run(work, report, once=True))
        self.assertEqual((taken, report.other.objects), ([START_BYTES], 1))
        self.assertGreater(len(data), START_BYTES)

    def test_only_the_repositories_that_are_named(self) -> None:
        mine, other = (self.add(self.inner, PACKABLE, path) for path in ("acme/a", "b/b"))
        self.walk("acme/*")
        self.assertEqual(self.encodings(mine, other), ["zstd", ""])

    def test_equal_objects_share_one_file_again(self) -> None:
        keys = [self.add(self.inner, PACKABLE, f"org/repo{n}") for n in range(3)]
        self.run_now(self.inner.share(keys[0], keys[1:]))
        self.walk()
        files = {(self.top / key.path).stat().st_ino for key in keys}
        self.assertEqual(len(files), 1)
        self.assertEqual(self.encodings(*keys), ["zstd"] * 3)

    def test_wrong_bytes_stay_as_they_are(self) -> None:
        key = self.add(self.inner, PACKABLE)
        wrong = b"X" + PACKABLE[1:]
        path = self.top / key.path
        path.write_bytes(wrong)
        report = self.walk()
        self.assertEqual((report.left, report.complete), ({"damaged": 1}, False))
        self.assertEqual([left.key for left in self.left], [key])
        self.assertEqual(path.read_bytes(), wrong)

    def test_copies_in_a_cache_inside_are_dropped_and_none_are_made(self) -> None:
        self.check_copies(lambda inside: inside)

    def test_so_are_copies_inside_of_an_encryption(self) -> None:
        self.check_copies(lambda inside: encrypted(self, inside))

    def check_copies(self, wrap: Callable[[Any], Any]) -> None:
        """Check what becomes of the copies of a cache.

        :param wrap: puts something between the cache and what compresses.
        """
        cache = Path(self.mktemp())
        local = {"type": "local", "path": str(self.top)}
        section = {"type": "cache", "path": str(cache), "limit": "10M", "store": local}
        inside = wrap(part_builder(self.mktemp()).build(IStorageFactory, section, "storage"))
        self.store = compressed(self, inside)
        key = self.add(inside, PACKABLE)
        self.add(inside, UNPACKABLE)
        self.assertEqual(self.get(key), PACKABLE)
        self.assertNotEqual([*cache.glob("entries/*/*")], [])
        self.assertEqual(self.walk().done.objects, 1)
        self.assertEqual(self.encodings(key), ["zstd"])
        self.assertEqual([*cache.glob("entries/*/*")], [])
        self.assertEqual(self.get(key), PACKABLE)

    def test_plaintext_that_is_not_served_is_not_compressed(self) -> None:
        self.store = encrypted(self, self.inner, compression="zstd", refuses=True)
        key = self.add(self.inner, PACKABLE)
        self.assertEqual(self.walk().left, {"unreadable": 1})
        self.assertEqual(self.encodings(key), [""])

    def test_what_cannot_be_read_is_told(self) -> None:
        self.add(self.inner, PACKABLE)
        good = self.add(self.inner, PACKABLE[:20_000])
        pays = self.store.compression_pays

        async def failing(key: ObjectKey) -> Any:
            if key != good:
                raise ObjectUnreadable("the disk has lost it", 30)
            return await pays(key)

        self.patch(self.store, "compression_pays", failing)
        report = self.walk()
        self.assertEqual((report.left, report.done.objects), ({"unreadable": 1}, 1))
        self.assertEqual([left.problem for left in self.left], ["the disk has lost it"])
