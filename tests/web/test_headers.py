"""Headers hold any bytes; none of them may upset a handler."""

from __future__ import annotations

from giftless.lfs.objects import Oid
from tests.web.support import FrontTestCase, storage_url


class HeaderBytesTests(FrontTestCase):
    def test_a_header_that_is_no_utf_8_is_like_any_other_that_says_nothing(self) -> None:
        oid = self.serve().put(b"abc")
        for name in ("Range", "If-Range", "If-None-Match", "Accept", "User-Agent", "Cookie"):
            response = self.request("GET", storage_url(oid), {name: "\xff"})
            self.assertEqual((response.status, response.body), (200, b"abc"), name)

    def test_a_coding_that_is_no_utf_8_is_refused_like_any_other(self) -> None:
        url = storage_url(Oid("0" * 64))
        for name in ("Content-Encoding", "Content-Range"):
            for value in ("\xff", "gzip"):
                self.assert_error(self.request("PUT", url, {name: value}, b"abc"), 400)
