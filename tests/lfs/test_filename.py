"""The file name that a download is saved under."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.http import parse_options_header

from giftless.lfs.filename import content_disposition

#: Characters that have no place in a file's name, or end a header.
_trouble = st.text(alphabet="a\u00e9\u2764.\"\\%;/ \r\n\t\x00\x7f\u0085\u2028\u202e\ud800\u200b'")


class DispositionTests(SynchronousTestCase):
    def test_without_a_name_there_is_only_what_was_asked_for(self) -> None:
        self.assertIsNone(content_disposition(None, None))
        self.assertIsNone(content_disposition("", None))
        self.assertEqual(content_disposition(None, "inline"), "inline")
        self.assertEqual(content_disposition("", "attachment"), "attachment")

    def test_a_plain_name_is_in_quotes(self) -> None:
        self.assertEqual(content_disposition("a b.bin", None), 'attachment; filename="a b.bin"')
        self.assertEqual(content_disposition("a.bin", "inline"), 'inline; filename="a.bin"')
        self.assertEqual(content_disposition(" ~!x", None), 'attachment; filename="~!x"')

    def test_another_name_comes_in_both_forms(self) -> None:
        """RFC 6266: old clients take the first, others the second."""
        self.assertEqual(
            content_disposition("\u00fc \u2764.bin", "attachment"),
            "attachment; filename=\"_ _.bin\"; filename*=UTF-8''%C3%BC%20%E2%9D%A4.bin",
        )

    def test_nothing_ends_the_quotes(self) -> None:
        self.assertEqual(
            content_disposition('a"; x="b', None),
            "attachment; filename=\"a_; x=_b\"; filename*=UTF-8''a%22%3B%20x%3D%22b",
        )
        self.assertEqual(
            content_disposition("100%41", None),
            "attachment; filename=\"100_41\"; filename*=UTF-8''100%2541",
        )

    def test_a_name_is_never_a_path(self) -> None:
        for name in ("../../x", "/etc/x", "..\\..\\x", "C:\\x", "a/b\\x"):
            self.assertEqual(content_disposition(name, None), 'attachment; filename="x"')
        for name in ("..", ".", "a/..", "a/", "\\", "\r\n", "/"):
            self.assertIsNone(content_disposition(name, None))

    def test_another_disposition_is_not_passed_on(self) -> None:
        for disposition in ("form-data", "inline; x=y", "", "INLINE", "attachment\r\nX: y"):
            self.assertIsNone(content_disposition(None, disposition))
            self.assertEqual(content_disposition("x", disposition), 'attachment; filename="x"')

    def test_what_cannot_be_seen_is_left_out(self) -> None:
        """It could make a name look like another."""
        self.assertEqual(
            content_disposition("a\u202egnp.e\u200bxe\r\n", None),
            'attachment; filename="agnp.exe"',
        )

    def test_a_name_has_a_sensible_length(self) -> None:
        header = content_disposition("\u2764" * 100_000, None)
        assert header is not None
        self.assertLess(len(header), 4096)

    @given(st.text() | _trouble, st.none() | st.text() | st.just("inline"))
    @example("a\r\nSet-Cookie: x", None)
    def test_any_name_makes_a_header_that_says_it(
        self, filename: str, disposition: str | None
    ) -> None:
        header = content_disposition(filename, disposition)
        if header is None or header in ("inline", "attachment"):
            return
        self.assertTrue(header.isascii() and header.isprintable(), header)
        # What browsers understand, by another implementation.
        kind, options = parse_options_header(header)
        self.assertIn(kind, ("inline", "attachment"))
        self.assertEqual(set(options), {"filename"})
        name = options["filename"]
        self.assertNotIn(name, ("", ".", ".."))
        self.assertFalse(set("/\\") & set(name))
        self.assertFalse([c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Cf")])
        # Nothing is made up: it is the end of what was asked for.
        printable = [c for c in filename if unicodedata.category(c)[0] not in ("C", "Z")]
        kept = [c for c in name if unicodedata.category(c)[0] not in ("C", "Z")]
        self.assertIn("".join(kept), "".join(printable))
        extended = re.search(r"filename\*=UTF-8''([A-Za-z0-9._~%-]+)$", header)
        if extended is not None:
            self.assertEqual(unquote_to_bytes(extended[1]).decode(), name)
        else:
            self.assertTrue(header.endswith(f'filename="{name}"'))
