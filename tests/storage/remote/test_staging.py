"""How uploads that come bit by bit are called, and which of their pieces count."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.lfs.objects import MAX_SIZE, ObjectKey, Oid
from giftless.storage.remote.container import Layout
from giftless.storage.remote.leftovers import is_stray
from giftless.storage.remote.resumable.found import row_of
from giftless.storage.remote.resumable.staging import BEGUN, Piece, Staging
from tests.support.making import key_of
from tests.support.strategies import oids, repos

sizes = st.integers(0, MAX_SIZE)


def pieces(most: int) -> st.SearchStrategy[Piece]:
    """Make pieces whose offsets are small."""
    return st.builds(Piece, st.integers(0, most), st.integers(0, most))


class StagingTests(SynchronousTestCase):
    """Names."""

    @given(sizes, sizes)
    def test_the_name_of_a_piece_tells_which_bytes_it_has(self, start: int, length: int) -> None:
        piece = Piece(start, length)
        self.assertRegex(piece.name, Oid.PATTERN)
        self.assertEqual(Piece.of_name(piece.name), piece)

    @given(st.one_of(oids, st.text(max_size=70)))
    def test_no_other_name_is_one_of_a_piece(self, name: str) -> None:
        found = Piece.of_name(name)
        if found is not None:
            self.assertEqual(found.name, name)

    @given(repos, oids, sizes)
    def test_what_is_staged_is_no_object(self, repo: object, oid: Oid, size: int) -> None:
        staging = Staging.of(ObjectKey(repo, oid), size)  # type: ignore[arg-type]
        layout = Layout("pre")
        for key in (staging.whole, staging.key(BEGUN.name), staging.key(Piece(size, 7).name)):
            self.assertEqual(Staging.of_path(key.path), (staging, key.oid))
            self.assertLess(len(key.path), 160)
            for trash in (False, True):
                self.assertIsNone(layout.key_of(layout.name(key), trash))
            self.assertFalse(is_stray(layout, layout.name(key)))

    def test_uploads_of_other_objects_and_sizes_are_apart(self) -> None:
        first = key_of(b"x", "org/repo")
        found = {
            Staging.of(key, size).name
            for key in (first, key_of(b"y", "org/repo"), key_of(b"x", "org/repo/sub"))
            for size in (1, 11, 111)
        }
        self.assertEqual(len(found), 9)
        self.assertEqual(Staging.of(first, 1), Staging.of(first, 1))

    def test_nothing_else_lies_in_a_folder_of_an_upload(self) -> None:
        name, top = "a" * 64, ".giftless/resumable"
        self.assertIsNotNone(Staging.of_path(f"{top}/{name}/{name}"))
        for path in (
            f"{top}/{name}",
            f"{top}/{name}/",
            f"{top}/{name}/x",
            f"{top}/x/{name}",
            f"{top}/{name}/{name}/{name}",
            f"x/{top}/{name}/{name}",
            f"{top}/{name.upper()}/{name}",
            f".giftless/probe/{name}",
            "",
        ):
            self.assertIsNone(Staging.of_path(path), path)


class RowTests(SynchronousTestCase):
    """Which pieces count."""

    @given(st.sets(pieces(8), max_size=12), st.integers(0, 8))
    def test_those_that_lead_farthest(self, found: set[Piece], start: int) -> None:
        row = row_of(found, start)
        position = start
        for piece in row:
            self.assertIn(piece, found)
            self.assertGreater(piece.length, 0)
            self.assertEqual(piece.start, position)
            position = piece.end
        self.assertEqual(position, _farthest(found, start))

    def test_few_rather_than_many(self) -> None:
        whole = Piece(0, 3)
        found = {Piece(at, 1) for at in range(3)} | {whole, BEGUN, Piece(3, 0)}
        self.assertEqual(row_of(found, 0), (whole,))

    def test_what_two_daemons_have_written_over_each_other(self) -> None:
        """The longer piece is a dead end."""
        short, long, behind = Piece(0, 5), Piece(0, 8), Piece(5, 10)
        self.assertEqual(row_of({short, long, behind}, 0), (short, behind))


def _farthest(found: Iterable[Piece], start: int) -> int:
    reached = {start}
    for _ in range(20):
        reached |= {piece.end for piece in found if piece.start in reached}
    return max(reached)
