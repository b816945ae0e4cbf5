"""The headers of tus 1.0.0."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest, NotFound
from giftless.lfs.objects import MAX_SIZE, Oid
from giftless.lfs.tus import (
    MAX_METADATA_BYTES,
    Checksum,
    Creation,
    WrongVersion,
    check_version,
    parse_checksum,
    parse_creation,
    parse_extras,
    parse_metadata,
    parse_number,
    parse_size,
    upload_path,
)
from tests.support.making import oid_of

OID = oid_of(b"hello")

#: The keys of metadata: printable ASCII without spaces and commas.
_keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","),
    min_size=1,
    max_size=20,
)


def encoded(values: Mapping[str, bytes]) -> str:
    """Write ``Upload-Metadata``."""
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in values.items())


class NumberTests(SynchronousTestCase):
    @given(st.integers(0, MAX_SIZE))
    def test_a_number_is_read(self, number: int) -> None:
        self.assertEqual(parse_number("Upload-Offset", str(number)), number)
        self.assertEqual(parse_size(str(number)), number)
        path = upload_path(OID, number)
        self.assertEqual(path, f"objects/tus/{OID}/{number}")

    def test_what_is_no_number_is_refused(self) -> None:
        for text in (
            None,
            "",
            "-1",
            "+1",
            "1.0",
            " 1",
            "1 ",
            "0x1",
            "\u0661",
            "\xb2",
            "1,1",
            "1_0",
        ):
            with self.assertRaises(BadRequest) as caught:
                parse_number("Upload-Offset", text)
            self.assertIn("Upload-Offset", caught.exception.message)
            if text is not None:
                self.assertRaises(NotFound, parse_size, text)

    def test_a_number_that_no_size_has_is_refused(self) -> None:
        for text in (str(MAX_SIZE + 1), "9" * 19, "9" * 5000):
            self.assertRaises(BadRequest, parse_number, "Upload-Offset", text)
            self.assertRaises(NotFound, parse_size, text)

    def test_an_upload_has_one_url(self) -> None:
        for text in ("00", "01", "007"):
            self.assertRaises(NotFound, parse_size, text)

    @given(st.text())
    def test_any_text_is_a_number_or_refused(self, text: str) -> None:
        with contextlib.suppress(BadRequest):
            self.assertTrue(0 <= parse_number("Upload-Length", text) <= MAX_SIZE)


class VersionTests(SynchronousTestCase):
    def test_only_one_version_is_spoken(self) -> None:
        check_version("1.0.0")
        for text in (None, "", "0.2.2", "1.0.1", "1.0.0, 1.0.0"):
            with self.assertRaises(WrongVersion) as caught:
                check_version(text)
            self.assertEqual(caught.exception.headers, {"Tus-Version": "1.0.0"})


class MetadataTests(SynchronousTestCase):
    @given(st.dictionaries(_keys, st.binary(max_size=40), max_size=6).filter(bool))
    def test_metadata_is_read(self, values: Mapping[str, bytes]) -> None:
        text = encoded(values)
        if len(text) <= MAX_METADATA_BYTES:
            self.assertEqual(parse_metadata(text), values)

    def test_a_value_may_be_left_out(self) -> None:
        self.assertEqual(parse_metadata("a,b ,c YQ=="), {"a": b"", "b": b"", "c": b"a"})
        self.assertEqual(parse_metadata("a YQ==, b YQ=="), {"a": b"a", "b": b"a"})

    def test_what_is_no_metadata_is_refused(self) -> None:
        for text in (
            *("", ",", "a,", "a,,b", " ", "a  YQ==", "a YQ== YQ=="),
            *("a YQ", "a YQ=", "a YQ===", "a Y", "a =", "a ====", "a Y=Q=", "a YQ==\n"),
            *("a -_==", "a,a", "a YQ==,a YQ==", "\xe9 YQ==", "a\tYQ==", "a \u212a==="),
        ):
            self.assertRaises(BadRequest, parse_metadata, text)

    def test_long_metadata_is_refused(self) -> None:
        text = encoded({"a": b"x" * MAX_METADATA_BYTES})
        with self.assertRaises(BadRequest) as caught:
            parse_metadata(text)
        self.assertIn(str(MAX_METADATA_BYTES), caught.exception.message)

    @given(st.text(max_size=60) | st.text("ab ,YQ=+/", max_size=30))
    def test_any_text_is_metadata_or_refused(self, text: str) -> None:
        """What is taken can be sent back as a header."""
        try:
            parse_metadata(text)
        except BadRequest:
            return
        self.assertTrue(text.isascii() and text.isprintable())


class CreationTests(SynchronousTestCase):
    def test_a_creation_is_read(self) -> None:
        metadata = encoded({"filename": "a \u2764.bin".encode(), "oid": OID.encode(), "x": b"y"})
        self.assertEqual(
            parse_creation("5", metadata),
            Creation(OID, 5, metadata, {"filename": "a \u2764.bin"}),
        )
        self.assertEqual(parse_extras(metadata), {"filename": "a \u2764.bin"})
        self.assertEqual(parse_extras(encoded({"oid": OID.encode()})), {})
        self.assertEqual(parse_extras(None), {})

    def test_an_object_must_be_named(self) -> None:
        for metadata in (
            None,
            encoded({"filename": b"a"}),
            encoded({"oid": b""}),
            encoded({"oid": OID.upper().encode()}),
            encoded({"oid": OID.encode() + b"\n"}),
            encoded({"oid": b"\xff" * 64}),
            encoded({"oid": hashlib.sha256(b"hello").digest()}),
        ):
            with self.assertRaises(BadRequest) as caught:
                parse_creation("5", metadata)
            self.assertIn("oid", caught.exception.message)

    def test_a_size_must_be_told(self) -> None:
        metadata = encoded({"oid": OID.encode()})
        for length in (None, "", "-1", "x"):
            self.assertRaises(BadRequest, parse_creation, length, metadata)

    def test_file_names_that_are_none_are_refused(self) -> None:
        for name in (b"\xff", b"a\nb", b"\x00", "a\u0085".encode()):
            metadata = encoded({"oid": OID.encode(), "filename": name})
            self.assertRaises(BadRequest, parse_creation, "5", metadata)
            self.assertRaises(BadRequest, parse_extras, metadata)

    @given(st.text(max_size=40), st.text(max_size=200))
    def test_any_headers_are_a_creation_or_refused(self, length: str, metadata: str) -> None:
        with contextlib.suppress(BadRequest):
            self.assertIsInstance(parse_creation(length, metadata).oid, Oid)


class ChecksumTests(SynchronousTestCase):
    @given(st.binary(max_size=100), st.sampled_from(["sha1", "sha256"]))
    def test_a_checksum_is_read(self, data: bytes, algorithm: str) -> None:
        digest = hashlib.new(algorithm, data).digest()
        text = f"{algorithm} {base64.b64encode(digest).decode()}"
        self.assertEqual(parse_checksum(text), Checksum(algorithm, digest))

    def test_what_is_no_checksum_is_refused(self) -> None:
        sha1 = base64.b64encode(hashlib.sha1(b"").digest()).decode()
        for text in (
            *("", "sha1", "sha1 ", sha1, f"md5 {sha1}", f"SHA1 {sha1}", f"sha256 {sha1}"),
            *(f"sha1 {sha1} ", f"sha1 {sha1}{sha1}", f"sha1 {sha1[:-1]}", f"sha1,{sha1}"),
            *("sha1 " + hashlib.sha1(b"").hexdigest(), "crc32 AAAAAA=="),
        ):
            with self.assertRaises(BadRequest) as caught:
                parse_checksum(text)
            self.assertIn("sha256", caught.exception.message)

    @given(st.text(max_size=60))
    def test_any_text_is_a_checksum_or_refused(self, text: str) -> None:
        with contextlib.suppress(BadRequest):
            parse_checksum(text)
