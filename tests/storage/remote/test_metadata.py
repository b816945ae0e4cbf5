"""Names, types and ``x-*`` members, and the options that all stores share."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import ConfigError
from giftless.storage.remote.container import Layout
from giftless.storage.remote.metadata import (
    content_type,
    decode_extras,
    disposition,
    encode_extras,
)
from giftless.storage.remote.options import RemoteOptions, checked_prefix
from tests.support.making import key_of

#: What an ``x-*`` member may be.
EXTRA = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()


class MetadataTests(SynchronousTestCase):
    def test_the_media_type_follows_the_file_name(self) -> None:
        for name, expected in (
            ("a.png", "image/png"),
            ("A.PDF", "application/pdf"),
            ("dir/b.txt", "text/plain"),
            ("x.tar.gz", "application/octet-stream"),
            ("noextension", "application/octet-stream"),
            ("weird.\u2764", "application/octet-stream"),
            ("", "application/octet-stream"),
            (5, "application/octet-stream"),
            (None, "application/octet-stream"),
        ):
            self.assertEqual(content_type({"filename": name}), expected, name)
        self.assertEqual(content_type({}), "application/octet-stream")

    def test_a_file_name_makes_a_disposition(self) -> None:
        self.assertEqual(
            disposition({"filename": 'a/"b".txt'}), 'attachment; filename="_b_.txt"'
            "; filename*=UTF-8''%22b%22.txt",
        )  # fmt: skip
        for name in ("", None, 5, True):
            self.assertIsNone(disposition({"filename": name}))
        self.assertIsNone(disposition({}))

    @given(st.dictionaries(st.text(), EXTRA))
    def test_extras_fit_into_a_header_and_come_back(self, extras: dict[str, Any]) -> None:
        text = encode_extras(extras, 1_000_000)
        self.assertTrue(text.isascii())
        self.assertNotRegex(text, r"[\s\x00-\x20]")
        self.assertEqual(decode_extras(text), extras)

    def test_what_does_not_fit_is_left_out(self) -> None:
        name, long = {"filename": "a.txt"}, {"note": "x" * 3000}
        self.assertEqual(decode_extras(encode_extras({**name, **long}, 1900)), name)
        self.assertEqual(encode_extras(long, 1900), "")
        self.assertEqual(encode_extras({"filename": "x" * 3000}, 1900), "")
        self.assertEqual(encode_extras({}, 1900), "")

    @given(st.text(max_size=50))
    def test_what_others_have_stored_is_nothing(self, text: str) -> None:
        self.assertIsInstance(decode_extras(text), dict)

    def test_what_cannot_be_decoded_has_no_extras(self) -> None:
        for text in ("", "AAAA", "W10=", "%%%", "bnVsbA==", "\u00e9"):
            self.assertEqual(decode_extras(text), {})


class OptionTests(SynchronousTestCase):
    def test_a_prefix_is_a_plain_path(self) -> None:
        for given_, expected in (("", ""), ("/", ""), ("a", "a"), ("/a/b c/", "a/b c")):
            self.assertEqual(checked_prefix(given_), expected)
        self.assertEqual(checked_prefix("x.git"), "x.git")
        for wrong in ("a//b", "../a", "a/./b", "a\nb", ".giftless"):
            with self.assertRaises(ConfigError) as caught:
                checked_prefix(wrong)
            self.assertEqual(caught.exception.path, "prefix")

    def test_options_do_not_show(self) -> None:
        self.assertEqual(repr(RemoteOptions()), "<RemoteOptions>")

    def test_an_object_is_named_by_repository_and_oid(self) -> None:
        key = key_of(b"x", "org/re po")
        self.assertEqual(Layout("").name(key), f"org/re po/{key.oid}")
        self.assertEqual(Layout("a/b").name(key), f"a/b/org/re po/{key.oid}")
