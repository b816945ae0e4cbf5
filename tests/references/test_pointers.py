"""Pointers: whatever git-lfs has ever written, and what people made of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.references.pointers import MAX_SIZE, MIN_SIZE, digests
from tests.references.support import digest_of, pointer

OID = digest_of("a").hex()
OTHER = digest_of("b").hex()


class PointerTests(SynchronousTestCase):
    def assert_named(self, blob: str, *names: str) -> None:
        """Check what a blob names, and that it is not taken for too small."""
        found = list(digests(blob.encode()))
        self.assertEqual(found, [digest_of(name) for name in names], blob)
        self.assertGreaterEqual(len(blob), MIN_SIZE if names else 0)

    def test_the_pointers_of_every_version_are_known(self) -> None:
        for version in (
            "http://git-media.io/v/2",
            "https://hawser.github.com/spec/v1",
            "https://git-lfs.github.com/spec/v1",
            "https://git-lfs.github.com/spec/v9",
        ):
            self.assert_named(f"version {version}\noid sha256:{OID}\nsize 1\n", "a")

    def test_extensions_and_what_they_were_made_of_are_kept(self) -> None:
        text = pointer("a").replace("oid", f"ext-0-foo sha256:{OTHER}\noid")
        self.assert_named(text, "b", "a")

    def test_line_ends_and_spaces_do_not_matter(self) -> None:
        for text in (
            pointer("a").replace("\n", "\r\n"),
            pointer("a").replace("\n", "\r"),
            pointer("a").rstrip(),
            "\ufeff" + pointer("a"),
            "\n\n  " + pointer("a").replace("\n", " \n\t"),
        ):
            self.assert_named(text, "a")

    def test_what_is_damaged_or_out_of_order_is_kept(self) -> None:
        for text in (
            f"oid sha256:{OID}\n",
            f"size 1\noid sha256:{OID}\nversion x",
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID.upper()}\nsize 1",
            f"version https://git-lfs.github.com/spec/v1\noid   sha256:{OID}\nsize one",
            f"[git-media]\nversion=2\noid=sha256:{OID}\n",
        ):
            self.assert_named(text, "a")

    def test_both_sides_of_a_merge_are_kept(self) -> None:
        text = (
            "version https://git-lfs.github.com/spec/v1\n<<<<<<< HEAD\n"
            f"oid sha256:{OID}\nsize 1\n=======\noid sha256:{OTHER}\nsize 1\n>>>>>>> topic\n"
        )
        self.assert_named(text, "a", "b")

    def test_other_files_name_nothing(self) -> None:
        for text in ("", OID, f"sha1:{OID}", f"sha256:{OID}0", f"sha256:{OID[1:]}", "oid sha256:"):
            self.assert_named(text)

    @given(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.binary(max_size=300))
    def test_nothing_around_a_digest_hides_it(
        self, before: bytes, digest: bytes, after: bytes
    ) -> None:
        blob = before + b"sha256:" + digest.hex().encode() + b"\n" + after
        self.assertLessEqual(len(blob), MAX_SIZE)
        self.assertIn(digest, list(digests(blob)))
