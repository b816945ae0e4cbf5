"""Tests for :mod:`giftless.base.urls`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.urls import check_url
from giftless.errors import ConfigError


class CheckURLTests(SynchronousTestCase):
    def refusal(self, url: str, *, query: bool = False) -> ConfigError:
        """Return the error that a URL is refused with."""
        with self.assertRaises(ConfigError) as caught:
            check_url("endpoint_url", url, query=query)
        self.assertEqual(caught.exception.path, "endpoint_url", url)
        return caught.exception

    def test_a_url_is_returned_without_slashes_at_its_end(self) -> None:
        for url, expected in (
            ("https://s3.example", "https://s3.example"),
            ("HTTP://127.0.0.1:9000/", "HTTP://127.0.0.1:9000"),
            ("https://h/deep/er//", "https://h/deep/er"),
            ("http://[::1]:80", "http://[::1]:80"),
        ):
            self.assertEqual(check_url("endpoint_url", url), expected)

    def test_other_urls_are_refused(self) -> None:
        for url in (
            "", "s3.example", "//s3.example", "ftp://h", "https://", "https:///path", "https://h?x",
            "https://h/?", "https://h#x", "https://u@h", "https://h/@", "https://h:0",
            "https://h:99999", "https://h:x", "https://h x", "https://h\u00e4", "http://[::1",
            "https://]", "https://h\n", "\thttps://h", "https://h/\x00", "https://h/\x7f",
        ):  # fmt: skip
            problem = self.refusal(url).problem
            allowed = "allowed is http(s)://host[:port][/path] without query or user"
            self.assertRegex(problem, rf"^found (text|a URL) .*, {re.escape(allowed)}$")

    def test_a_query_is_allowed_where_it_is_asked_for(self) -> None:
        url = "https://issuer.example/keys?tenant=a"
        self.assertEqual(check_url("jwks_url", url, query=True), url)
        error = self.refusal("https://issuer.example/keys#a", query=True)
        self.assertIn("http(s)://host[:port][/path][?query] without user", error.problem)

    def test_what_may_be_a_password_is_hidden(self) -> None:
        for url in (
            "https://user:hunter2@h/x",
            "https://hunter2@h",
            "https://user:hun@hunter2@h",
            "https://user:hunter2\n@h",
            "user:hunter2@h",
            "https:user:hunter2@h",
            "https://h/?token=hunter2",
            "https://h/#hunter2",
            "https://h:hunter2/",
            "hunter2",
            "",
        ):
            self.assertNotIn("hunter2", self.refusal(url).problem)

    @given(st.text())
    def test_no_part_of_a_wrong_url_is_ever_shown(self, text: str) -> None:
        for url in (f"https://SECRET{text}@h", f"SECRET{text}", f"https://h/?{text}SECRET"):
            self.assertNotIn("SECRET", self.refusal(url).problem)
