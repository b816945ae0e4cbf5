"""Lines that come in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.questions import MAX_LINE
from giftless.runtime.supervision.lines import Lines


class LinesTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=20) | st.just(b"a\nb") | st.just(b"\n\n")))
    def test_nothing_is_lost_however_it_comes(self, pieces: list[bytes]) -> None:
        lines = Lines()
        got = b"".join(map(lines.whole, pieces))
        self.assertTrue(not got or got.endswith(b"\n"))
        self.assertNotIn(b"\n", lines.rest)
        self.assertEqual(got + lines.rest, b"".join(pieces))

    def test_a_line_that_is_too_long_is_cut(self) -> None:
        lines = Lines()
        for _ in range(3):
            self.assertEqual(lines.whole(b"a" * (MAX_LINE // 2)), b"")
        self.assertEqual(len(lines.rest), MAX_LINE)
        self.assertEqual(lines.whole(b"a\nb\nc"), b"a" * MAX_LINE + b"\nb\n")
        self.assertEqual(lines.rest, b"c")
