"""What is in a local store that is not as it should be, without reading it."""

from __future__ import annotations

import errno
import os
from typing import Any

from zope.interface.verify import verifyObject

from giftless.base.identities import remembered_in
from giftless.interfaces import ISurveying, ListedObject, Oddity
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local.reader import Reader
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object, repo_of
from tests.support.run import CoroutineTestCase

DATA = [b"%d" % number for number in range(6)]

OLD = 1_000_000.0


class SurveyTestCase(CoroutineTestCase):
    """A store with some objects."""

    prefix = ""

    def setUp(self) -> None:
        os.makedirs(path := self.mktemp())
        os.makedirs(state := self.mktemp())
        self.root = os.path.abspath(path)
        self.top = os.path.join(self.root, self.prefix)
        remembered = remembered_in(state, path)
        self.store = LocalStore(path, self.prefix, InlineBlocking(), 10, remembered)
        self.store.open_disks()
        self.keys = [self.add(data, f"acme/r{n % 2}") for n, data in enumerate(DATA)]

    def add(self, data: bytes, repo: str, extras: Any = None) -> ObjectKey:
        """Store an object."""
        key = key_of(data, repo)
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), extras or {}))
        return key

    def path(self, name: str) -> str:
        """Return where something of a repository is, as the store calls it."""
        return os.path.join(self.top, name)

    def survey(
        self, limit: int = 1000, trash: bool = False, repo: str | None = None
    ) -> tuple[set[ListedObject], dict[str, Oddity]]:
        """Return all objects, and what is odd by its path."""
        objects: set[ListedObject] = set()
        odd: dict[str, Oddity] = {}
        cursor = None
        where = None if repo is None else repo_of(repo)
        while True:
            page = self.run_now(self.store.survey(where, cursor, limit, trash))
            self.assertFalse(objects & set(page.objects))
            objects.update(page.objects)
            odd.update((each.path, each) for each in page.oddities)
            cursor = page.next_cursor
            if cursor is None:
                return objects, odd


class SurveyTests(SurveyTestCase):
    def test_the_store_provides_it(self) -> None:
        verifyObject(ISurveying, self.store)

    def test_a_good_store_has_nothing_odd(self) -> None:
        self.run_now(self.store.copy(self.keys[0], in_trash(self.keys[0])))
        for limit in (1, 2, 1000):
            objects, odd = self.survey(limit)
            self.assertEqual(({each.key for each in objects}, odd), (set(self.keys), {}))
        objects, odd = self.survey(trash=True)
        self.assertEqual(({each.key for each in objects}, odd), ({in_trash(self.keys[0])}, {}))

    def test_stray_things_are_found(self) -> None:
        stray = {
            "notes.txt": "no object",
            f"acme/{self.keys[0].oid}.part": "no object",
            "acme/r0/README": "no object",
            f"acme/r0/{'a' * 64}": "a link",
            f"acme/{'b' * 64}": "no repository can have",
            "acme/r1/socket": "neither",
        }
        for name in ("notes.txt", f"acme/{self.keys[0].oid}.part", "acme/r0/README"):
            with open(self.path(name), "w"):
                pass
        os.symlink("/etc/passwd", self.path(f"acme/r0/{'a' * 64}"))
        os.mkdir(self.path(f"acme/{'b' * 64}"))
        os.mkfifo(self.path("acme/r1/socket"))
        for limit in (1, 3, 1000):
            objects, odd = self.survey(limit)
            self.assertEqual({each.key for each in objects}, set(self.keys))
            self.assertEqual(set(odd), {self.path(name) for name in stray})
            for name, problem in stray.items():
                self.assertIn(problem, odd[self.path(name)].problem)
                self.assertEqual(odd[self.path(name)].kind, "odd")

    def test_wrong_modes_are_found(self) -> None:
        wrong = {
            self.keys[0].path: (0o000, "unreadable"),
            self.keys[1].path: (0o646, "odd"),
            "acme": (0o777, "odd"),
        }
        for name, (mode, _) in wrong.items():
            os.chmod(self.path(name), mode)
        for repo, names in ((None, set(wrong)), ("acme/r0", {"acme", self.keys[0].path})):
            _, odd = self.survey(repo=repo)
            self.assertEqual(set(odd), {self.path(name) for name in names})
            for name in names:
                found, (mode, kind) = odd[self.path(name)], wrong[name]
                self.assertEqual((found.kind, f"{mode:03o}" in found.problem), (kind, True))
        self.assertEqual(odd[self.path(self.keys[0].path)].key, self.keys[0])

    def test_a_directory_that_cannot_be_entered_hides_no_other(self) -> None:
        scan = os.scandir

        def refused(path: Any) -> Any:
            if os.fsdecode(path).endswith("acme/r0"):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return scan(path)

        self.patch(os, "scandir", refused)
        objects, odd = self.survey()
        self.assertEqual({each.key for each in objects}, set(self.keys[1::2]))
        self.assertEqual(odd[self.path("acme/r0")].kind, "unreadable")

    def test_what_a_file_system_keeps_for_itself_is_left_alone(self) -> None:
        os.mkdir(self.path("lost+found"), 0)
        self.assertEqual(self.survey()[1], {})


class PrefixedSurveyTests(SurveyTests):
    prefix = "lfs/here"


class ReaderTests(CoroutineTestCase):
    def test_owner_group_and_others_have_bits_of_their_own(self) -> None:
        for uid, gid, mode, may in (
            (5, 7, 0o400, True),
            (5, 7, 0o044, False),
            (6, 7, 0o040, True),
            (6, 7, 0o404, False),
            (6, 8, 0o004, True),
            (6, 8, 0o440, False),
        ):
            status = os.stat_result((0o100000 | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
            reader = Reader(5, frozenset({7}))
            self.assertEqual(reader.may(status, os.R_OK), may, (uid, gid, oct(mode)))


class LeftoverTests(SurveyTestCase):
    def leftovers(self, before: float = OLD + 1) -> dict[str, Oddity]:
        """Return what is left over, by its path below the root."""
        found = self.run_now(self.store.leftovers(before))
        return {os.path.relpath(each.path, self.root): each for each in found}

    def write(self, name: str, data: bytes = b"", at: float = OLD) -> str:
        """Write a file of the server's own, and date it."""
        path = os.path.join(self.root, ".giftless", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (at, at))
        return os.path.join(".giftless", name)

    def below(self, path: str) -> str:
        """Return a path below the prefix."""
        return os.path.join(self.prefix, path)

    def test_a_good_store_has_none(self) -> None:
        self.add(b"named", "acme/r0", {"filename": "x"})
        self.run_now(self.store.copy(self.keys[0], in_trash(self.keys[0])))
        self.assertEqual(self.leftovers(), {})

    def test_an_object_that_is_marked_is_told(self) -> None:
        for key in (self.keys[0], in_trash(self.keys[0])):
            self.run_now(self.store.copy(self.keys[0], key))
        for key in (in_trash(self.keys[0]), self.keys[0]):
            self.run_now(self.store.mark(key, "a bit has flipped"))
            found = self.leftovers()[f".giftless/damaged/{self.below(key.path)}"]
            self.assertEqual((found.kind, found.key), ("wrong", key))
            self.assertIn("a bit has flipped", found.problem)

    def test_a_mark_of_an_object_that_is_there_again_is_of_no_use(self) -> None:
        place = self.below(self.keys[0].path)
        self.write(f"damaged/{place}/reason", b"old")
        found = self.leftovers()[f".giftless/damaged/{place}"]
        self.assertEqual((found.kind, "there again" in found.problem), ("odd", True))

    def test_missing_and_wrong_parts_are_found(self) -> None:
        key = key_of(b"absent", "acme/r0")
        place = f"parts/{self.below(key.path)}"
        for number in (1, 2, 4, 7):
            self.write(f"{place}/10/{number}", bytes(10))
        self.write(f"{place}/20/1", bytes(20))
        self.write(f"{place}/20/2", bytes(25))
        self.write(f"{place}/30/1", bytes(7))
        self.write(f"{place}/30/2", bytes(30))
        self.write(f"{place}/40/1", bytes(40))
        self.write(f"{place}/50/x", bytes(40))
        found = self.leftovers()
        for size, problem in {
            10: "of the first 7 parts, these are missing: 3, 5, 6",
            20: "part 2 has another size than 20 bytes",
            30: "part 1 has another size than 30 bytes",
            40: "an upload in 1 parts that nobody has gone on with",
            50: "something there is no part",
        }.items():
            each = found[f".giftless/{place}/{size}"]
            self.assertEqual((each.kind, each.key), ("odd", key))
            self.assertIn(problem, each.problem)
        self.assertEqual(self.leftovers(OLD), {})

    def test_parts_of_an_object_that_is_there_are_of_no_use(self) -> None:
        name = self.write(f"parts/{self.below(self.keys[0].path)}/10/1", bytes(10))
        self.assertIn("the object is there", self.leftovers()[os.path.dirname(name)].problem)

    def test_names_of_objects_that_are_gone_are_found(self) -> None:
        gone = self.write(f"extras/{self.below(key_of(b'gone', 'acme/r0').path)}", b"{}")
        self.write(f"extras/{self.below(key_of(b'new', 'acme/r0').path)}", b"{}", OLD + 5)
        self.write(f"extras/{self.below(self.keys[0].path)}", b"{}")
        self.run_now(self.store.mark(self.keys[1], "x"))
        self.write(f"extras/{self.below(self.keys[1].path)}", b"{}")
        found = {name for name, each in self.leftovers().items() if each.kind == "odd"}
        self.assertEqual(found, {gone})

    def test_what_the_server_does_not_know_is_found(self) -> None:
        names = {
            self.write("what"),
            os.path.dirname(self.write("parts/elsewhere/10/1")),
            self.write("extras/x"),
            os.path.dirname(self.write("damaged/x/reason")),
        }
        self.assertEqual(set(self.leftovers()), names)

    def test_modes_of_the_servers_own_are_looked_at(self) -> None:
        os.chmod(os.path.join(self.root, ".giftless", "tmp"), 0o777)
        os.chmod(self.root, 0o500)
        found = self.leftovers()
        self.assertEqual(set(found), {".", ".giftless/tmp"})
        os.chmod(self.root, 0o755)


class PrefixedLeftoverTests(LeftoverTests):
    prefix = "lfs/here"
