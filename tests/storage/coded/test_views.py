"""Parts of what is stored, and bodies that are cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from giftless.storage.coded.views import Cutter
from tests.support.bodies import ListBody, read_all
from tests.support.run import CoroutineTestCase


class CutterTests(CoroutineTestCase):
    @given(
        st.lists(st.binary(min_size=1, max_size=9), max_size=9),
        st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=9),
    )
    def test_pieces_are_what_the_body_has(
        self, chunks: Sequence[bytes], steps: Sequence[tuple[bool, int]]
    ) -> None:
        """However its chunks are cut, and whatever was looked at before."""
        left = b"".join(chunks)
        cutter = Cutter(ListBody(chunks))
        for takes, length in steps:
            look = cutter.take_most if takes else cutter.peek
            self.assertEqual(self.run_now(look(length)), left[:length])
            left = left[length:] if takes else left
        self.assertEqual(self.run_now(read_all(cutter.rest())), left)

    def test_what_was_only_looked_at_goes_on_as_it_came(self) -> None:
        """Copies of megabytes would cost as much as the rest of an upload."""
        chunks = [b"a" * 100, b"b" * 100, b"c" * 100]
        body = ListBody(chunks)
        cutter = Cutter(body)
        self.assertEqual(self.run_now(cutter.peek(150)), b"a" * 100 + b"b" * 50)
        rest = cutter.rest()
        (first, second), (third,) = self.run_now(rest.read()), self.run_now(rest.read())
        for sent, passed in zip(chunks, (first, second, third), strict=True):
            self.assertIs(passed, sent)

    def test_a_body_that_has_ended_is_not_read_again(self) -> None:
        body = ListBody([b"abc"])
        cutter = Cutter(body)
        self.run_now(cutter.peek(10))
        self.assertEqual(self.run_now(read_all(cutter.rest())), b"abc")
        self.assertEqual(body.reads, 2)
