"""XML that stores answer with, and XML that is none."""

from __future__ import annotations

from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.xml_answers import document, element, error_code, number, text

#: Whatever XML 1.0 can hold, but for what a parser makes a space or a line's end.
NAMES = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"])).filter(
    lambda name: not any(ord(char) & 0xFFFE == 0xFFFE for char in name)
)


def answer(body: str | bytes, whole: bool = True) -> Answer:
    """Return an answer with this body."""
    return Answer(200, {}, body if isinstance(body, bytes) else body.encode(), whole)


class DocumentTests(SynchronousTestCase):
    @given(NAMES, st.sampled_from(["", " xmlns='http://s3.amazonaws.com/doc/2006-03-01/'"]))
    def test_names_come_back(self, name: str, namespace: str) -> None:
        """However they are escaped."""
        for escaped in (escape(name), "".join(f"&#{ord(char)};" for char in name)):
            found = document(answer(f"<List{namespace}><Key>{escaped}</Key></List>"), "List")
            self.assertEqual(text(found, "Key"), name)

    @given(st.one_of(st.binary(), st.text("<>/!DOCTYPE[]&;a ").map(str.encode)))
    def test_whatever_else_is_an_error(self, body: bytes) -> None:
        """And no other error than that."""
        with self.assertRaises(StoreError):
            document(answer(body), "List")

    def test_what_grows_is_refused(self) -> None:
        bomb = "".join(
            f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "x" * 100}">' for n in range(9)
        )
        for head in (f"<!DOCTYPE List [{bomb}]>", '<!DOCTYPE List SYSTEM "file:///etc/passwd">'):
            with self.assertRaisesRegex(StoreError, "no List"):
                document(answer(f"<?xml version='1.0'?>{head}<List>&a8;</List>"), "List")
        # Not hidden by another encoding either.
        hidden = f"<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE List [{bomb}]><List/>"
        with self.assertRaises(StoreError):
            document(answer(hidden.encode("utf-16")), "List")

    def test_half_a_document_is_none(self) -> None:
        with self.assertRaises(StoreError):
            document(answer("<List></List>", whole=False), "List")

    def test_only_ascii_digits_are_a_number(self) -> None:
        found = document(answer("<List><A>17</A><B>-1</B><C>\u0663</C><D/></List>"), "List")
        self.assertEqual(number(found, "A"), 17)
        for name in ("B", "C", "D", "E"):
            with self.assertRaises(StoreError):
                number(found, name)
        self.assertEqual(text(found, "E"), "")

    def test_codes_are_read_in_whatever_was_answered(self) -> None:
        broken = answer(b"\xff<Error><Code>Slow&amp;Down</Code><Message>a\n b")
        self.assertEqual(error_code(broken), "Slow&Down")
        self.assertEqual(element(broken, "Message"), "")
