"""The geometry of charts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.admin.pages.charts import HEIGHT, PITCH, Bar, Piece, bars


def words(index: int) -> str:
    """Say which bar it is."""
    return f"bar {index}"


class BarsTests(SynchronousTestCase):
    def test_the_highest_bar_has_the_height_of_the_chart(self) -> None:
        highest, drawn = bars({"a": [1, 4, 0], "b": [1, 0, 0]}, words)
        self.assertEqual(highest, 4)
        self.assertEqual(
            drawn,
            (
                Bar(0, "bar 0", (Piece("a", 75, 25), Piece("b", 50, 25))),
                Bar(PITCH, "bar 1", (Piece("a", 0, 100),)),
            ),
        )

    def test_nothing_is_no_bar(self) -> None:
        self.assertEqual(bars({"a": [0, 0], "b": [0, 0]}, words), (0, ()))
        self.assertEqual(bars({"a": []}, words), (0, ()))

    def test_what_is_little_can_still_be_seen(self) -> None:
        _, (bar, _) = bars({"a": [1, 10**9], "b": [0, 0]}, words)
        self.assertGreaterEqual(bar.pieces[0].height, 1)

    def test_a_failure_among_a_million_requests_can_be_seen(self) -> None:
        _, (bar,) = bars({"answered": [1e6], "refused": [2], "errors": [1]}, words)
        self.assertEqual([piece.height for piece in bar.pieces], [97, 1.5, 1.5])
        self.assertEqual([piece.y for piece in bar.pieces], [3, 1.5, 0])

    def test_a_number_below_nothing_is_nothing(self) -> None:
        highest, drawn = bars({"a": [-5, 2]}, words)
        self.assertEqual((highest, [bar.x for bar in drawn]), (2, [PITCH]))

    @given(
        st.lists(st.tuples(*[st.floats(-1e3, 1e15)] * 3), max_size=20),
    )
    def test_all_of_it_is_in_the_chart(self, rows: list[tuple[float, ...]]) -> None:
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        _, drawn = bars(dict(zip("abc", columns, strict=True)), words)
        for bar in drawn:
            bottom = HEIGHT
            for piece in bar.pieces:
                self.assertGreaterEqual(piece.y, 0)
                self.assertLess(abs(piece.y + piece.height - bottom), 0.05)
                bottom = piece.y
