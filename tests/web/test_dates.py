"""Dates in headers."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.web.dates import http_date


class HTTPDateTests(SynchronousTestCase):
    def test_the_date_of_the_specification(self) -> None:
        self.assertEqual(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT")

    @given(st.integers(0, 4_102_444_800))
    def test_any_date_is_written_as_the_standard_library_does(self, second: int) -> None:
        self.assertEqual(http_date(second), formatdate(second, usegmt=True))
