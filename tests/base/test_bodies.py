"""Bodies that are checked while they stream past."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from giftless.base.bodies import INLINE_HASH_BYTES, PartBody, VerifiedBody, collect
from giftless.errors import BadRequest, Disconnected, PayloadTooLarge
from giftless.interfaces import IBody
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import key_of, oid_of, put_object
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

LARGE = b"x" * INLINE_HASH_BYTES

_chunks = st.lists(st.binary(max_size=20), max_size=6)


class VerifiedBodyTests(CoroutineTestCase):
    def verified(
        self,
        chunks: Sequence[bytes],
        expected: bytes,
        size: int | None = -1,
        limit: int = 10**9,
    ) -> VerifiedBody:
        """Return chunks as a body that is to be ``expected``."""
        size = len(expected) if size == -1 else size
        return VerifiedBody(ListBody(chunks), oid_of(expected), size, limit, InlineBlocking())

    def refusal(self, body: VerifiedBody) -> BadRequest:
        """Return why a store could not read the body to its end, and kept nothing."""
        store = MemoryStore()
        error: BadRequest = self.assert_fails(
            BadRequest, put_object(store, key_of(b"x"), None, body, {})
        )
        self.assertEqual(store.objects, {})
        return error

    def test_it_is_a_body(self) -> None:
        verifyObject(IBody, self.verified([], b""))

    @given(_chunks)
    def test_the_right_bytes_pass_unchanged(self, chunks: list[bytes]) -> None:
        data = b"".join(chunks)
        for size in (len(data), None):
            body = self.verified(chunks, data, size)
            self.assertEqual(self.run_now(read_all(body)), data)

    @given(_chunks, st.binary(max_size=60))
    def test_other_bytes_never_come_to_an_end(self, chunks: list[bytes], expected: bytes) -> None:
        if b"".join(chunks) == expected:
            expected += b"x"
        for size in (len(expected), None):
            self.refusal(self.verified(chunks, expected, size))

    def test_wrong_bytes_of_the_right_length_are_400(self) -> None:
        error = self.refusal(self.verified([b"ab", b"d"], b"abc"))
        self.assertIn(hashlib.sha256(b"abd").hexdigest(), error.message)
        self.assertIn(oid_of(b"abc"), error.message)

    def test_a_body_that_is_too_short_is_400(self) -> None:
        error = self.refusal(self.verified([b"ab"], b"abc"))
        self.assertIn("2 bytes instead of the 3", error.message)

    def test_a_body_that_is_too_long_is_400_as_soon_as_that_is_known(self) -> None:
        """What comes after the announced end is not even read."""
        source = ListBody([b"abc", b"d", b"e", b"f"])
        body = VerifiedBody(source, oid_of(b"abc"), 3, 10**9, InlineBlocking())
        error = self.refusal(body)
        self.assertIn("more than the 3 bytes", error.message)
        self.assertEqual(source.reads, 2)

    def test_the_announced_length_counts_even_if_the_bytes_are_right(self) -> None:
        self.refusal(self.verified([b"abc"], b"abc", size=2))
        self.refusal(self.verified([b"abc"], b"abc", size=4))

    def test_a_body_of_unknown_length_has_a_limit(self) -> None:
        self.run_now(read_all(self.verified([b"abc"], b"abc", None, limit=3)))
        body = self.verified([b"ab", b"cd"], b"abcd", None, limit=3)
        error = self.assert_fails(PayloadTooLarge, read_all(body))
        self.assertIn("up to 3 bytes", error.message)

    def test_the_limit_is_none_of_an_announced_lengths_business(self) -> None:
        """The server has looked at that before."""
        self.run_now(read_all(self.verified([b"abcd"], b"abcd", 4, limit=3)))

    def test_a_client_that_leaves_is_told_to_the_store(self) -> None:
        gone = Disconnected("gone")
        body = VerifiedBody(ListBody([b"abc"], gone), oid_of(b"abc"), 3, 9, InlineBlocking())
        self.assertIs(self.assert_fails(Disconnected, read_all(body)), gone)

    def test_large_chunks_are_hashed_in_a_thread_while_the_store_writes(self) -> None:
        blocking = ManualBlocking()
        body = VerifiedBody(ListBody([LARGE, LARGE]), oid_of(LARGE * 2), None, 10**9, blocking)
        first = self.start(body.read())
        self.assertEqual(self.successResultOf(first), [LARGE])
        self.assertEqual(blocking.waiting, 1)

    def test_one_batch_of_chunks_is_hashed_at_a_time(self) -> None:
        """More would pile up in memory behind a slow hash."""
        blocking = ManualBlocking()
        source = ListBody([LARGE, LARGE])
        body = VerifiedBody(source, oid_of(LARGE * 2), None, 10**9, blocking)
        self.start(body.read())
        second = self.start(body.read())
        self.assertNoResult(second)
        self.assertEqual(source.reads, 1)
        blocking.do_next()
        self.assertEqual(self.successResultOf(second), [LARGE])
        end = self.start(body.read())
        self.assertNoResult(end)
        blocking.do_next()
        self.assertEqual(self.successResultOf(end), [])

    def test_the_end_waits_for_the_last_hash(self) -> None:
        blocking = ManualBlocking()
        body = VerifiedBody(ListBody([LARGE]), oid_of(b"other"), None, 10**9, blocking)
        self.start(body.read())
        end = self.start(body.read())
        self.assertNoResult(end)
        blocking.do_next()
        self.failureResultOf(end, BadRequest)

    def test_a_hash_that_fails_is_no_good_end(self) -> None:
        blocking = ManualBlocking()
        body = VerifiedBody(ListBody([LARGE]), oid_of(LARGE), None, 10**9, blocking)
        self.start(body.read())
        end = self.start(body.read())
        blocking.fail_next(MemoryError())
        self.failureResultOf(end, MemoryError)

    def test_small_chunks_are_hashed_in_place(self) -> None:
        """A thread would cost more than the hash."""
        blocking = ManualBlocking()
        chunk = b"x" * (INLINE_HASH_BYTES - 1)
        body = VerifiedBody(ListBody([chunk]), oid_of(chunk), None, 10**9, blocking)
        self.assertEqual(self.run_now(read_all(body)), chunk)

    def test_large_and_small_chunks_are_hashed_in_order(self) -> None:
        chunks = [b"a", LARGE, b"b", b"", LARGE + b"c", b"d"]
        data = b"".join(chunks)
        self.assertEqual(self.run_now(read_all(self.verified(chunks, data))), data)

    def test_it_waits_as_the_body_does(self) -> None:
        source = HeldBody()
        body = VerifiedBody(source, oid_of(b"abc"), 3, 9, InlineBlocking())
        read = self.start(body.read())
        self.assertNoResult(read)
        source.provide(b"a", b"bc")
        self.assertEqual(self.successResultOf(read), [b"a", b"bc"])


class CollectTests(CoroutineTestCase):
    @given(_chunks)
    def test_a_small_body_is_collected(self, chunks: list[bytes]) -> None:
        self.assertEqual(self.run_now(collect(ListBody(chunks), 1000)), b"".join(chunks))

    def test_a_body_up_to_the_limit_is_taken(self) -> None:
        self.assertEqual(self.run_now(collect(ListBody([b"ab", b"c"]), 3)), b"abc")

    def test_a_longer_one_is_413_without_reading_on(self) -> None:
        body = ListBody([b"ab", b"cd", b"ef"])
        error = self.assert_fails(PayloadTooLarge, collect(body, 3))
        self.assertIn("at most 3 bytes", error.message)
        self.assertEqual(body.reads, 2)


class PartBodyTests(CoroutineTestCase):
    def part(self, chunks: Sequence[bytes], size: int, md5_of: bytes | None = None) -> PartBody:
        """Return chunks as a part."""
        md5 = None if md5_of is None else hashlib.md5(md5_of).digest()
        return PartBody(ListBody(chunks), size, md5, InlineBlocking())

    @given(_chunks)
    def test_the_right_bytes_pass_unchanged(self, chunks: list[bytes]) -> None:
        data = b"".join(chunks)
        for md5_of in (None, data):
            body = self.part(chunks, len(data), md5_of)
            self.assertEqual(self.run_now(read_all(body)), data)

    def test_another_length_never_comes_to_an_end(self) -> None:
        for size in (0, 2, 4, 10**12):
            for md5_of in (None, b"abc"):
                body = self.part([b"ab", b"c"], size, md5_of)
                self.assert_fails(BadRequest, read_all(body))

    def test_another_digest_never_comes_to_an_end(self) -> None:
        for chunks in ([b"abd"], [LARGE, LARGE]):
            body = self.part(chunks, sum(map(len, chunks)), b"abc")
            error = self.assert_fails(BadRequest, read_all(body))
            self.assertIn("Content-MD5", error.message)

    def test_bytes_that_nobody_vouches_for_are_not_hashed(self) -> None:
        blocking = InlineBlocking()
        body = PartBody(ListBody([LARGE, LARGE]), 2 * len(LARGE), None, blocking)
        self.run_now(read_all(body))
        self.assertEqual(blocking.jobs, [])
