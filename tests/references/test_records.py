"""What is remembered of earlier runs, and which sets are refused for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from giftless.references.errors import NoReferences
from giftless.references.gathering import LISTS, Bounds, Gathering, ObjectList
from giftless.references.git import Git
from giftless.references.records import Record, Records
from giftless.references.sources import parse_source
from tests.references.support import GitTestCase, digest_of, pointer
from tests.support.making import repo_of
from tests.support.processes import PATIENCE

REPO = repo_of("acme/rocket")


class RecordTests(GitTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.records = Records(self.directory / "state" / "gc")

    def test_a_record_comes_back(self) -> None:
        long = repo_of("/".join(["x" * 200] * 8))
        with self.records.held():
            self.assertIsNone(self.records.load(REPO))
            for repo in (REPO, long):
                record = Record(repo=repo.path, at=1.5, objects=3, sources={"a": 2, "b": 1})
                self.records.save(record)
                self.assertEqual(self.records.load(repo), record)
            self.assertIsNone(self.records.load(repo_of("acme/other")))

    def test_a_damaged_record_refuses(self) -> None:
        with self.records.held():
            self.records.save(Record(repo=REPO.path, at=1, objects=3, sources={}))
            (path,) = (self.directory / "state" / "gc").glob("*.json")
            for data in (b"", b"{", b'{"repo": "acme/rocket"}', b"\xff"):
                path.write_bytes(data)
                with self.assertRaises(NoReferences):
                    self.records.load(REPO)

    def test_one_run_at_a_time(self) -> None:
        with self.records.held():
            with self.assertRaises(NoReferences), Records(self.directory / "state/gc").held():
                pass
            with Records(self.directory / "elsewhere").held():
                pass
        with self.records.held():
            pass

    def test_clones_are_removed_also_those_of_a_run_that_was_killed(self) -> None:
        with self.records.held() as first:
            (first / "0").mkdir()
            self.assertEqual(first.stat().st_mode & 0o777, 0o700)
            left = first.with_name("clones-killed")
            left.mkdir()
        self.assertFalse(first.exists())
        left.mkdir(exist_ok=True)
        with self.records.held() as second:
            self.assertEqual(list(second.iterdir()), [])
            self.assertFalse(left.exists())

    def test_a_directory_that_cannot_be_used_is_told(self) -> None:
        (self.directory / "state").write_text("a file")
        with self.assertRaises(NoReferences) as caught, self.records.held():
            pass
        self.assertIn("cannot be used", str(caught.exception))


class GatheringTests(GitTestCase):
    """What several sources name together, and what is refused."""

    def gather(self, *sources: str | Path, lists: dict[str, str] | None = None) -> Gathering:
        """Gather what repositories and lists name."""
        gathering = Gathering(
            Git(PATIENCE),
            [parse_source(str(source)) for source in sources],
            [
                ObjectList(name, lambda text=text: io.BytesIO(text.encode()))  # type: ignore[misc]
                for name, text in (lists or {}).items()
            ],
            self.directory / f"gathering-{next(self._numbers)}",
        )
        self.addCleanup(gathering.close)
        gathering.gather()
        return gathering

    def filled(self, name: str, *objects: str) -> Path:
        """Make a repository that names objects."""
        repo = self.make(name)
        self.commit(repo, {f"{item}.bin": pointer(item) for item in objects} | {"x.txt": "x"})
        return repo

    def assert_refused(
        self, words: str, gathering: Gathering, before: Record | None = None, **bounds: Any
    ) -> None:
        with self.assertRaises(NoReferences) as caught:
            gathering.judge(before, Bounds(**bounds))
        self.assertIn(words, str(caught.exception))

    def before(self, objects: int, **sources: int) -> Record:
        return Record(repo=REPO.path, at=1.0, objects=objects, sources=sources)

    def test_all_sources_and_lists_are_united(self) -> None:
        one, two = self.filled("one", "a", "b"), self.filled("two", "b", "c")
        listed = f"{digest_of('d').hex()}\n{digest_of('a').hex()} - a.bin\n"
        gathering = self.gather(one, two, one, lists={"keep": listed, "more": listed})
        self.assertEqual(len(gathering.keep), 4)
        self.assertEqual(gathering.counts, {str(one): 2, str(two): 2, LISTS: 4})
        gathering.judge(None, Bounds())
        self.assertFalse(gathering.look_again())
        self.commit(two, {"e.bin": pointer("e")})
        self.assertTrue(gathering.look_again())
        self.assertEqual(len(gathering.keep), 5)
        self.assertFalse(gathering.look_again())
        gathering.close()
        self.assertFalse(gathering.directory.exists())

    def test_a_source_that_cannot_be_read_refuses_all(self) -> None:
        one = self.filled("one", "a")
        with self.assertRaises(NoReferences):
            self.gather(one, self.directory)
        with self.assertRaises(NoReferences):
            self.gather(one, lists={"keep": "nonsense"})

    def test_a_source_that_names_nothing_is_refused(self) -> None:
        one, none, empty = self.filled("one", "a"), self.filled("none"), self.make("empty")
        self.assert_refused("names no object", self.gather(one, none))
        self.assert_refused("has no refs", self.gather(one, empty))
        self.assert_refused("names no object", self.gather(one, lists={"keep": "\n"}))
        self.gather(one, none, empty).judge(None, Bounds(allow_empty=True))

    def test_a_set_that_has_shrunk_is_refused(self) -> None:
        one = self.filled("one", "a", "b", "c", "d")
        gathering = self.gather(one)
        for count, shrink in ((4, 0.0), (5, 0.2), (8, 0.5), (1000, 1.0), (1, 0.0)):
            before = self.before(count, **{str(one): count})
            gathering.judge(before, Bounds(shrink=shrink))
        for count, shrink in ((5, 0.0), (5, 0.19), (9, 0.5)):
            before = self.before(count, **{str(one): count})
            self.assert_refused(str(one), gathering, before, shrink=shrink)
            gathering.judge(before, Bounds(shrink=shrink, allow_shrunken=True))
        self.assert_refused("all together", gathering, self.before(9, **{str(one): 4}))

    def test_a_source_that_is_not_asked_any_more_is_refused(self) -> None:
        one, two = self.filled("one", "a", "b", "c"), self.filled("two", "d")
        before = self.before(4, **{str(one): 3, str(two): 1})
        self.assert_refused(f"{two} was asked last time", self.gather(one), before)
        self.gather(one).judge(before, Bounds(allow_shrunken=True))
        self.gather(one, two).judge(before, Bounds())

    def test_nobody_knows_what_a_list_is_made_of(self) -> None:
        one = self.filled("one", "a", "b")
        listed = "".join(f"{digest_of(name).hex()}\n" for name in "ab")
        both = self.gather(lists={"keep": listed})
        both.judge(self.before(2, **{str(one): 2}), Bounds())
        self.gather(one).judge(self.before(2, **{LISTS: 2}), Bounds())
        self.assert_refused("all together", both, self.before(5, **{str(one): 5}))

    def test_a_disk_that_is_full_refuses(self) -> None:
        one = self.filled("one", "a")
        (self.directory / "file").write_text("")
        gathering = Gathering(Git(PATIENCE), [parse_source(str(one))], [], self.directory / "file")
        with self.assertRaises(NoReferences) as caught:
            gathering.gather()
        self.assertIn("cannot be kept", str(caught.exception))
