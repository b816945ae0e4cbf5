"""Lists of what is kept: what git-lfs prints, and nothing that could be misread."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.references.errors import NoReferences
from giftless.references.keepset import KeepSet
from giftless.references.lists import read_list
from tests.references.support import digest_of

A, B = digest_of("a").hex(), digest_of("b").hex()


class Broken(io.BytesIO):
    """A file of a disk that fails."""

    def readline(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


class ListTests(SynchronousTestCase):
    def read(self, text: bytes) -> tuple[int, KeepSet]:
        """Read a list."""
        keep = KeepSet()
        return read_list(io.BytesIO(text), "keep.txt", keep), keep

    def test_plain_oids_and_what_git_lfs_prints_are_read(self) -> None:
        for text in (
            f"{A}\n{B}\n",
            f"{A}\n\n{B}",
            f"{A}\r\n{B}\r\n",
            f"{A} - a file.bin\n{B} * dir/b.bin (12 MB)\n{A} - other.bin\n",
        ):
            count, keep = self.read(text.encode())
            self.assertEqual((count, len(keep)), (2, 2), text)
            self.assertIn(digest_of("a"), keep)
            self.assertIn(digest_of("b"), keep)

    def test_names_may_be_any_bytes(self) -> None:
        self.assertEqual(self.read(f"{A} - ".encode() + b"\xff\x00\x1b\n")[0], 1)

    def test_a_line_that_is_none_refuses_the_list(self) -> None:
        for line in (
            A[:10],
            A[:63],
            A + "0",
            A.upper(),
            f"{A} a.bin",
            f"{A[:10]} - a.bin",
            f" {A}",
            f"sha256:{A}",
            "{",
            "x" * 200_000,
            f"{A} - {'x' * 200_000}",
        ):
            error = self.assertRaises(NoReferences, self.read, f"{B}\n{line}\n".encode())
            self.assertIn("line ", str(error))
            self.assertIn(" of keep.txt", str(error))

    def test_a_list_that_cannot_be_read_is_refused(self) -> None:
        with self.assertRaises(NoReferences) as caught:
            read_list(Broken(), "keep.txt", KeepSet())
        self.assertIn("Input/output error", str(caught.exception))

    @given(st.sets(st.binary(min_size=32, max_size=32)))
    def test_every_oid_is_read(self, wanted: set[bytes]) -> None:
        count, keep = self.read(b"".join(b"%s\n" % digest.hex().encode() for digest in wanted))
        self.assertEqual((count, len(keep)), (len(wanted), len(wanted)))
        self.assertTrue(all(digest in keep for digest in wanted))
