"""What tests of every store behind HTTP share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from zope.interface.verify import verifyObject

from giftless.base.bodies import VerifiedBody
from giftless.errors import BadRequest, LengthRequired, ObjectReplaced, PayloadTooLarge
from giftless.interfaces import (
    IAdopting,
    ICheckable,
    IExternalStore,
    IInspector,
    IObjectStore,
    IReadableStore,
    IStreamingStore,
    Payload,
)
from giftless.lfs.multipart import PartLimits
from giftless.lfs.objects import in_trash
from giftless.storage.remote.writing import SMALL
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.support.bodies import HeldBody, ListBody, altered, read_all
from tests.support.making import key_of, put_object
from tests.support.memory import MemoryStore

MIB = 1024 * 1024

if TYPE_CHECKING:
    from tests.support.spinning import SpinningTestCase

    class _Mixin(StreamingStoreContract, SpinningTestCase):
        """What is mixed together."""
else:
    _Mixin = StreamingStoreContract


class ProxyStoreContract(MarkingContract, _Mixin):
    """Tests of ``mode: proxy`` over a real server.

    Beside ``make_store``, a test says how it reaches the server past the store.

    :cvar keeps_sha256: whether the server keeps the SHA-256 of an object.
    """

    keeps_sha256 = False

    def make_other(self) -> Any:
        """Return a store over another container of the server."""
        raise NotImplementedError

    def place(self, name: str, data: bytes) -> None:
        """Put something into the server, or replace it."""
        raise NotImplementedError

    def placed(self) -> Mapping[str, bytes]:
        """Return what is in the server, by name."""
        raise NotImplementedError

    def test_it_streams_and_does_not_sign(self) -> None:
        for interface in (IObjectStore, IReadableStore, IStreamingStore, IInspector, ICheckable):
            verifyObject(interface, self.store)
        self.assertFalse(IExternalStore.providedBy(self.store))

    def test_those_who_ask_for_one_object_at_once_share_a_question(self) -> None:
        """But none gets an answer to one that was asked before they came."""
        key = key_of(DATA)
        self.put(key, DATA)
        container = self.store.container
        with patch.object(container, "facts", wraps=container.facts) as asked:
            opening = [self.start(self.store.open(key)) for _ in range(10)]
            sizes = [self.start(self.store.sizes([key])) for _ in range(10)]
            self.spin(lambda: all(each.called for each in opening + sizes))
            self.assertEqual(asked.call_count, 2)
        for each in opening:
            stored = self.successResultOf(each)
            self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)
            stored.close()
        self.assertEqual([self.successResultOf(each) for each in sizes], [[len(DATA)]] * 10)

    def test_a_damaged_object_is_replaced(self) -> None:
        """What got there without the daemon; it only ever sends what it has verified."""
        key = key_of(DATA)
        self.place(self.store.container.layout.name(key), b"damaged")
        self.assertEqual(self.sizes(key), [7])
        self.put(key, DATA)
        self.assertEqual(self.get(key), DATA)

    def test_a_body_of_unknown_length_is_stored(self) -> None:
        """If it is small: the server is told the length beforehand."""
        super().test_a_body_of_unknown_length_is_stored()
        body = ListBody([bytes(SMALL), b"x"])
        self.assert_fails(LengthRequired, put_object(self.store, key_of(b"?"), None, body, {}))
        self.assertEqual(self.sizes(key_of(b"?")), [None])

    def test_bytes_need_not_be_those_of_the_oid(self) -> None:
        """A wrapper in front of the store may have changed them."""
        for data in (b"", b"changed", os.urandom(SMALL + 1)):
            for digest in (None, sha256(data).hexdigest()):
                key = key_of(b"as they were", f"org/{len(data)}/{digest is None}")
                payload = Payload(len(data), digest)
                self.run_now(self.store.put(key, payload, ListBody([data[:3], data[3:]]), {"n": 1}))
                self.assertEqual(self.get(key), data)
                facts = self.run_now(self.store.inspect(key))
                self.assertEqual(facts.extras, {"n": 1})
                self.assertEqual(facts.sha256, digest if self.keeps_sha256 else None)

    def test_a_small_body_of_which_nothing_is_known_is_stored(self) -> None:
        key = key_of(b"as they were")
        self.run_now(self.store.put(key, Payload(), ListBody([b"chan", b"ged"]), {}))
        self.assertEqual(self.get(key), b"changed")

    def test_a_large_object_goes_both_ways(self) -> None:
        """It is streamed, in pieces of all sizes."""
        data = os.urandom(5_000_000)
        pieces = [data[:1], data[1:SMALL], b"", data[SMALL:4_000_000], data[4_000_000:]]
        self.put(key_of(data), *pieces)
        self.assertEqual(self.get(key_of(data)), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.addCleanup(stored.close)
        self.assertEqual(self.run_now(read_all(stored.read(7, 4_999_999))), data[7:4_999_999])

    def test_a_large_object_is_invisible_until_it_is_verified(self) -> None:
        data = os.urandom(SMALL + 1000)
        body = HeldBody()
        done = self.start(put_object(self.store, key_of(data), len(data), body, {}))
        for chunk in (data[:-1], data[-1:]):
            self.spin(lambda: body.wanted)
            body.provide(chunk)
        self.spin(lambda: body.wanted)
        self.assertEqual(self.sizes(key_of(data)), [None])
        body.provide()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.get(key_of(data)), data)

    def test_a_large_body_with_wrong_bytes_leaves_nothing(self) -> None:
        data = os.urandom(3 * SMALL)
        for wrong in (altered(data), altered(data, 0), data[:-1]):
            chunks = ListBody([wrong[:SMALL], wrong[SMALL:]])
            body = VerifiedBody(chunks, key_of(data).oid, len(data), 10**9, self.threads)
            put = put_object(self.store, key_of(data), len(data), body, {})
            self.assert_fails(BadRequest, put)
            self.assertEqual(self.sizes(key_of(data)), [None])
            self.assertEqual(self.placed(), {})

    def limit_requests(self) -> None:
        """Let one request take 1 MiB, and parts have 5 MiB."""
        self.store.container.max_put = SMALL
        self.store.container.part_limits = PartLimits(5 * MIB, 5 * MIB, 3)

    def test_what_does_not_fit_into_one_request_is_sent_in_parts(self) -> None:
        self.limit_requests()
        data = os.urandom(11 * MIB)
        for extras in ({"n": 1}, {"n": 2}):
            self.put(key_of(data), data[:7], data[7 : 8 * MIB], data[8 * MIB :], extras=extras)
            self.assertEqual(self.get(key_of(data)), data)
        facts = self.run_now(self.store.inspect(key_of(data)))
        self.assertEqual(facts.size, len(data))

    def test_parts_are_no_object_until_all_are_verified(self) -> None:
        self.limit_requests()
        data = os.urandom(6 * MIB)
        for wrong in (altered(data), data[:-1], data + b"x"):
            chunks = ListBody([wrong[: 5 * MIB], wrong[5 * MIB :]])
            body = VerifiedBody(chunks, key_of(data).oid, len(data), 10**9, self.threads)
            put = put_object(self.store, key_of(data), len(data), body, {})
            self.assert_fails(BadRequest, put)
            self.assertEqual(self.placed(), {})
        self.place(self.store.container.layout.name(key_of(data)), b"damaged")
        self.put(key_of(data), data)
        self.assertEqual(self.get(key_of(data)), data)

    def test_what_does_not_fit_into_all_parts_is_refused(self) -> None:
        self.limit_requests()
        body = HeldBody()
        put = put_object(self.store, key_of(b"?"), 15 * MIB + 1, body, {})
        self.assertIn("even in parts", str(self.assert_fails(PayloadTooLarge, put)))
        self.assertFalse(body.wanted)

    def test_objects_of_another_container_are_copied_by_the_store(self) -> None:
        other = self.make_other()
        self.assertTrue(self.store.adopts(other))
        verifyObject(IAdopting, self.store)
        for data in (b"", os.urandom(SMALL + 1)):
            key = in_trash(key_of(data)) if data else key_of(data)
            self.run_now(put_object(other, key, len(data), ListBody([data]), {"n": 1}))
            self.assertIs(self.run_now(self.store.adopt(other, key)), True)
            self.assertEqual(self.get(key), data)
            facts = self.run_now(self.store.inspect(key))
            self.assertEqual((facts.size, facts.extras), (len(data), {"n": 1}))
        self.assertIs(self.run_now(self.store.adopt(other, key_of(b"absent"))), False)
        self.assertEqual(self.sizes(key_of(b"absent")), [None])

    def test_objects_of_another_service_are_not(self) -> None:
        self.assertFalse(self.store.adopts(MemoryStore()))
        other = self.make_other()
        place = replace(other.container._place, url="https://elsewhere.example/bucket")
        other.container._place = place
        self.assertFalse(self.store.adopts(other))

    def test_an_object_that_shrinks_while_it_is_read_is_an_error(self) -> None:
        data = os.urandom(1000)
        self.put(key_of(data), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.addCleanup(stored.close)
        self.place(self.store.container.layout.name(key_of(data)), data[:500])
        self.assert_fails(ObjectReplaced, read_all(stored.read(0, 1000)))
        self.assert_fails(ObjectReplaced, read_all(stored.read(900, 1000)))

    def test_parts_of_other_bytes_are_not_given_away(self) -> None:
        data = os.urandom(1000)
        self.put(key_of(data), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.addCleanup(stored.close)
        self.assertEqual(self.run_now(read_all(stored.read(0, 10))), data[:10])
        self.assertEqual(self.run_now(read_all(stored.read(500, 1000))), data[500:])
        changed = Payload(len(data))
        self.run_now(self.store.put(key_of(data), changed, ListBody([data[::-1]]), {}))
        self.assert_fails(ObjectReplaced, read_all(stored.read(500, 1000)))

    def test_closing_an_object_cuts_its_download(self) -> None:
        data = os.urandom(8_000_000)
        self.put(key_of(data), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.run_now(stored.read(0, len(data)).read())
        stored.close()
        # And the next one is served.
        self.assertEqual(self.get(key_of(data)), data)


def sizes_of(found: Sequence[object]) -> list[object]:
    """Return sizes, with the class of errors for errors."""
    return [type(entry) if isinstance(entry, Exception) else entry for entry in found]
