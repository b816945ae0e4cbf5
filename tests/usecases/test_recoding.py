"""Going through a store whose objects are coded: what is done, counted and told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.errors import StorageUnavailable
from giftless.interfaces import IStorageFactory
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local.store import LocalStore
from giftless.usecases.fsck.places import Places
from giftless.usecases.migration.copier import Copier
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.encrypting import Encrypting
from giftless.usecases.recoding.rotation import Rotation
from giftless.usecases.recoding.walking import (
    BETWEEN_PASSES,
    MOST_FAILURES,
    CannotGoOn,
    Left,
    Report,
    Sum,
    Walk,
    Work,
)
from tests.storage.encrypted.support import encrypted, key_file, keys_in
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import environment, key_of, part_builder, payload_of
from tests.support.run import CoroutineTestCase


class EncryptingTests(CoroutineTestCase):
    def setUp(self) -> None:
        os.makedirs(top := self.mktemp())
        self.top = Path(top)
        self.clock = Clock()
        self.inner = LocalStore(top, "", InlineBlocking())
        self.file = key_file(Path(self.mktemp()), "one")
        self.keys = keys_in(self.file, environment(reactor=self.clock))
        self.store = encrypted(self, self.inner, self.keys)
        self.left: list[Left] = []
        self.seen = 0

    def add(self, store: Any, data: bytes, path: str = "org/repo") -> ObjectKey:
        """Store an object."""
        key = key_of(data, path)
        self.run_now(store.put(key, payload_of(data), ListBody([data]), {}))
        return key

    def walk(self, work: Work, *patterns: str, once: bool = False) -> Report:
        """Go through the store."""

        def passed(_: object) -> None:
            self.seen += 1

        report = Report()
        places = Places(self.store, patterns)
        walk = Walk(places, self.clock, 3, passed, self.left.append)
        running = self.start(walk.run(work, report, once))
        while not running.called:
            self.clock.advance(BETWEEN_PASSES)
        self.successResultOf(running)
        return report

    def encrypting(self, dry: bool = False) -> Encrypting:
        """Return the work of ``giftless encrypt``."""
        if dry:
            return Encrypting(self.store, None)
        pace = Pace(None, self.clock)
        copier = Copier(
            self.store.anyhow, self.store, InlineBlocking(), self.clock, pace, lambda _: None
        )
        return Encrypting(self.store, Anew(self.store, copier))

    def seals(self, *keys: ObjectKey) -> list[Any]:
        """Return which keys have sealed objects."""
        return list(self.run_now(self.store.seals(keys)))

    def test_all_is_encrypted_and_counted_once(self) -> None:
        plain = [self.add(self.inner, b"x" * size) for size in range(1, 50)]
        sealed = self.add(self.store, b"sealed before")
        deleted = in_trash(plain[0])
        self.run_now(self.inner.copy(plain[0], deleted))
        dry = self.walk(self.encrypting(dry=True), once=True)
        self.assertEqual((dry.done, dry.before), (Sum(50, sum(range(50)) + 1), Sum(1, 13)))
        self.assertEqual(self.seals(*plain), [""] * 49)
        report = self.walk(self.encrypting())
        self.assertEqual((report.done, report.before), (dry.done, dry.before))
        self.assertEqual((report.complete, report.left, self.left), (True, {}, []))
        self.assertEqual(self.seals(*plain, sealed, deleted), ["one"] * 51)
        self.assertEqual(self.walk(self.encrypting()).done, Sum())

    def test_only_the_repositories_that_are_named(self) -> None:
        mine, other = self.add(self.inner, b"x", "acme/a"), self.add(self.inner, b"x", "b/b")
        self.walk(self.encrypting(), "acme/*")
        self.assertEqual(self.seals(mine, other), ["one", ""])

    def test_equal_objects_share_one_file_again(self) -> None:
        keys = [self.add(self.inner, b"shared" * 1000, f"org/repo{n}") for n in range(3)]
        self.run_now(self.inner.share(keys[0], keys[1:]))
        self.walk(self.encrypting())
        files = {(self.top / key.path).stat().st_ino for key in keys}
        self.assertEqual(len(files), 1)
        self.assertEqual(self.seals(*keys), ["one"] * 3)

    def test_no_plaintext_stays_in_a_cache_inside(self) -> None:
        path = Path(self.mktemp())
        cache = {"type": "local", "path": str(self.top)}
        section = {"type": "cache", "path": str(path), "limit": "1M", "store": cache}
        inside = part_builder(self.mktemp()).build(IStorageFactory, section, "storage")
        self.store = encrypted(self, inside, self.keys)
        key = self.add(self.inner, b"in the clear")
        opened: Any = self.run_now(self.store.open(key))
        self.assertEqual(self.run_now(read_all(opened.read(0, opened.size))), b"in the clear")
        opened.close()
        self.assertEqual(len([*path.glob("entries/*/*")]), 1)
        self.walk(self.encrypting())
        self.assertEqual(self.seals(key), ["one"])
        self.assertEqual([*path.glob("entries/*/*")], [])

    def test_wrong_bytes_stay_as_they_are(self) -> None:
        key = self.add(self.inner, b"good")
        (self.top / key.path).write_bytes(b"evil")
        report = self.walk(self.encrypting())
        self.assertEqual((report.left, report.complete), ({"damaged": 1}, False))
        self.assertEqual([left.key for left in self.left], [key])
        self.assertEqual((self.top / key.path).read_bytes(), b"evil")

    def test_rotation_goes_on_until_nothing_is_left(self) -> None:
        keys = [self.add(self.store, bytes([n])) for n in range(20)]
        plain = self.add(self.inner, b"not encrypted")
        with self.file.open("ab") as file:
            file.write(key_file(Path(self.mktemp()), "two").read_bytes())
        self.clock.advance(1)
        late = self.store.seals

        async def seals(asked: Any) -> Any:
            """Somebody who has not seen the new key stores another object meanwhile."""
            found = await late(asked)
            self.patch(self.store, "seals", late)
            self.add(old, b"late", "late/repo")
            return found

        single = Path(self.mktemp())
        single.write_bytes(self.file.read_bytes().splitlines(keepends=True)[0])
        single.chmod(0o600)
        old = encrypted(self, self.inner, keys_in(single, environment()))
        self.patch(self.store, "seals", seals)
        report = self.walk(Rotation(self.store, Pace(None, self.clock)))
        self.assertEqual((report.done.objects, report.complete), (21, True))
        self.assertEqual(report.other, Sum(1, 13))
        self.assertEqual(self.seals(*keys, key_of(b"late", "late/repo")), ["two"] * 21)
        self.assertEqual(self.seals(plain), [""])

    def test_a_missing_key_is_told_of_each_object(self) -> None:
        for number in range(30):
            self.add(self.store, bytes([number]))
        key_file(self.file, "two")
        self.clock.advance(1)
        report = self.walk(Rotation(self.store, Pace(None, self.clock)))
        self.assertEqual((report.left, report.done), ({"unreadable": 30}, Sum()))
        self.assertIn("'one'", self.left[0].problem)

    def test_a_store_that_fails_ends_it(self) -> None:
        for number in range(MOST_FAILURES + 5):
            self.add(self.inner, bytes([number]))

        class Failing:
            async def look(self, keys: Any) -> list[str]:
                return [""] * len(keys)

            async def judge(self, listed: object, seen: str) -> None:
                return None

            async def do(self, listed: object) -> bool:
                raise StorageUnavailable("the disk is on fire", 1)

        places = Places(self.store, ())
        walk = Walk(places, self.clock, 3, lambda _: None, self.left.append)
        self.assert_fails(CannotGoOn, walk.run(Failing(), Report()))
