"""What every storage backend promises (``giftless.interfaces``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from giftless.base.bodies import VerifiedBody
from giftless.errors import BadRequest, Disconnected
from giftless.interfaces import (
    Glimpse,
    IBody,
    ICapacity,
    IFusedCapacity,
    IObjectStore,
    IPeeking,
    IStoredFile,
    IStoredObject,
    IStreamingStore,
    IUnsizedStore,
    Room,
)
from giftless.lfs.objects import Extras, ObjectKey
from tests.support.blocking import InlineBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import key_of, put_object, repo_of
from tests.support.run import CoroutineTestCase

#: Bytes of many kinds, longer than a single read or write of a small buffer.
DATA = bytes(range(256)) * 1031


if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object


class StreamingStoreContract(_Mixin):
    """Tests of an ``IStreamingStore``; ``make_store`` returns an empty one."""

    def make_store(self) -> Any:
        """Return an empty store."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.store = self.make_store()

    def put(self, key: ObjectKey, *chunks: bytes, extras: Extras | None = None) -> None:
        """Upload an object in these chunks."""
        size = sum(map(len, chunks))
        self.run_now(put_object(self.store, key, size, ListBody(chunks), extras or {}))

    def get(self, key: ObjectKey) -> bytes | None:
        """Download an object."""
        stored = self.run_now(self.store.open(key))
        if stored is None:
            return None
        try:
            return self.run_now(read_all(stored.read(0, stored.size)))
        finally:
            stored.close()

    def sizes(self, *keys: ObjectKey) -> list[int | None]:
        """Ask for sizes."""
        return list(self.run_now(self.store.sizes(keys)))

    def test_it_provides_its_interfaces(self) -> None:
        verifyObject(IObjectStore, self.store)
        verifyObject(IStreamingStore, self.store)

    def test_what_was_never_stored_is_absent(self) -> None:
        self.assertEqual(self.sizes(key_of(b"x")), [None])
        self.assertIsNone(self.get(key_of(b"x")))

    def test_what_was_stored_comes_back(self) -> None:
        for chunks in (
            [b"x"],
            [b"abc", b"def", b"g"],
            [DATA],
            [DATA, b"", DATA[:7], b"", DATA],
            [bytes([n % 256]) for n in range(3000)],
            [b""],
        ):
            data = b"".join(chunks)
            key = key_of(data)
            self.put(key, *chunks)
            self.assertEqual(self.sizes(key), [len(data)])
            self.assertEqual(self.get(key), data)

    def test_an_empty_object_exists(self) -> None:
        self.put(key_of(b""))
        self.assertEqual(self.sizes(key_of(b"")), [0])
        self.assertEqual(self.get(key_of(b"")), b"")

    def test_a_body_of_unknown_length_is_stored(self) -> None:
        self.run_now(put_object(self.store, key_of(DATA), None, ListBody([DATA]), {}))
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_many_sizes_come_in_the_order_of_the_keys(self) -> None:
        keys = [key_of(b"a"), key_of(b"bb"), key_of(b"ccc")]
        self.put(keys[2], b"ccc")
        self.put(keys[0], b"a")
        self.assertEqual(self.sizes(*keys), [1, None, 3])
        self.assertEqual(self.sizes(*reversed(keys), keys[0]), [3, None, 1, 1])

    def test_no_sizes_are_a_question_too(self) -> None:
        self.assertEqual(self.sizes(), [])

    def test_repositories_are_apart(self) -> None:
        """An object of one is absent in others, nested ones among them."""
        paths = ("org/repo", "org/other", "org", "org/repo/sub", "Org/repo", "org/r\u00e9po")
        for path in paths:
            key = key_of(b"x", path)
            self.assertEqual(self.sizes(key), [None])
            self.put(key, b"x")
            self.assertEqual(self.get(key), b"x")

    def test_storing_an_object_again_changes_nothing(self) -> None:
        self.put(key_of(DATA), DATA)
        self.put(key_of(DATA), DATA[:9], DATA[9:])
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_a_damaged_object_is_replaced(self) -> None:
        """The server uploads again what has a wrong size."""
        self.put(key_of(DATA), b"damaged")
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_a_body_that_fails_leaves_nothing(self) -> None:
        for chunks in ([], [b"x"], [DATA, DATA]):
            for error in (BadRequest("wrong bytes"), Disconnected("gone")):
                put = put_object(
                    self.store, key_of(DATA), len(DATA), ListBody(chunks, error), {"n": 1}
                )
                self.assertIs(self.assert_fails(type(error), put), error)
                self.assertEqual(self.sizes(key_of(DATA)), [None])
                self.assertIsNone(self.get(key_of(DATA)))

    def test_a_body_with_wrong_bytes_leaves_nothing(self) -> None:
        """Together with the check that the server puts in front."""
        key = key_of(DATA)
        for data in (DATA[:-1], DATA + b"x", b"x" + DATA[1:], b""):
            body = VerifiedBody(ListBody([data]), key.oid, len(DATA), 10**9, InlineBlocking())
            self.assert_fails(BadRequest, put_object(self.store, key, len(DATA), body, {}))
            self.assertEqual(self.sizes(key), [None])

    def test_a_body_that_fails_leaves_the_object_that_was_there(self) -> None:
        self.put(key_of(DATA), DATA)
        put = put_object(self.store, key_of(DATA), 1, ListBody([b"x"], BadRequest("wrong")), {})
        self.assert_fails(BadRequest, put)
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_nothing_is_visible_before_the_end_of_the_body(self) -> None:
        body = HeldBody()
        done = self.start(put_object(self.store, key_of(b"abc"), 3, body, {}))
        body.provide(b"ab")
        body.provide(b"c")
        self.assertEqual(self.sizes(key_of(b"abc")), [None])
        self.assertIsNone(self.get(key_of(b"abc")))
        self.assertNoResult(done)
        body.provide()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.get(key_of(b"abc")), b"abc")

    def test_concurrent_uploads_of_one_object_all_succeed(self) -> None:
        bodies = [HeldBody() for _ in range(8)]
        uploads = [
            self.start(put_object(self.store, key_of(b"abc"), 3, body, {})) for body in bodies
        ]
        for chunk in (b"a", b"b", b"c"):
            for body in bodies:
                body.provide(chunk)
        for body, upload in zip(bodies, uploads, strict=True):
            body.provide()
            self.assertIsNone(self.successResultOf(upload))
            self.assertEqual(self.get(key_of(b"abc")), b"abc")

    def test_one_upload_of_several_may_fail(self) -> None:
        bad, good = HeldBody(), HeldBody()
        failing = self.start(put_object(self.store, key_of(b"abc"), 3, bad, {}))
        passing = self.start(put_object(self.store, key_of(b"abc"), 3, good, {}))
        bad.provide(b"xyz")
        good.provide(b"abc")
        good.provide()
        bad.fail(BadRequest("wrong bytes"))
        self.failureResultOf(failing, BadRequest)
        self.successResultOf(passing)
        self.assertEqual(self.get(key_of(b"abc")), b"abc")

    def test_parts_of_an_object_can_be_read(self) -> None:
        self.put(key_of(DATA), DATA)
        stored = self.run_now(self.store.open(key_of(DATA)))
        self.addCleanup(stored.close)
        size = len(DATA)
        for start, end in ((0, size), (0, 1), (size - 1, size), (5, 100_000), (7, 7), (1, size)):
            self.assertEqual(self.run_now(read_all(stored.read(start, end))), DATA[start:end])

    def test_a_body_has_ended_for_good(self) -> None:
        """Nobody reads past an end by accident."""
        self.put(key_of(b"abc"), b"abc")
        stored = self.run_now(self.store.open(key_of(b"abc")))
        self.addCleanup(stored.close)
        body: IBody = stored.read(0, 3)
        self.run_now(read_all(body))
        self.assertEqual(list(self.run_now(body.read())), [])

    def test_an_open_object_outlasts_its_replacement(self) -> None:
        self.put(key_of(DATA), DATA)
        stored = self.run_now(self.store.open(key_of(DATA)))
        self.addCleanup(stored.close)
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)

    def test_it_may_show_how_objects_begin(self) -> None:
        if not IPeeking.providedBy(self.store):
            return
        verifyObject(IPeeking, self.store)
        self.put(key_of(DATA), DATA)
        self.put(key_of(b"x"), b"x")
        keys = [key_of(DATA), key_of(b"absent"), key_of(b"x")]
        for count in (1, 16, 512):
            expected = [Glimpse(len(DATA), DATA[:count]), None, Glimpse(1, b"x")]
            self.assertEqual(list(self.run_now(self.store.peek(keys, count))), expected)
        self.assertEqual(list(self.run_now(self.store.peek([], 16))), [])

    def test_it_may_take_any_number_of_bytes(self) -> None:
        if not IUnsizedStore.providedBy(self.store):
            return
        data = DATA * 9
        self.run_now(put_object(self.store, key_of(data), None, ListBody([DATA] * 9), {}))
        self.assertEqual(self.get(key_of(data)), data)

    def test_open_objects_provide_their_interface_and_can_be_closed_twice(self) -> None:
        self.put(key_of(b"abc"), b"abc")
        stored = self.run_now(self.store.open(key_of(b"abc")))
        verifyObject(IStoredObject, stored)
        verifyObject(IBody, stored.read(0, 3))
        if IStoredFile.providedBy(stored):
            verifyObject(IStoredFile, stored)
        self.assertEqual(stored.size, 3)
        stored.close()
        stored.close()

    def test_extras_come_back(self) -> None:
        extras: Extras = {
            "filename": "\u00fcber \u2764 'quoted\".bin",
            "n": 1,
            "f": 0.5,
            "b": True,
            "z": None,
        }
        self.put(key_of(b"abc"), b"abc", extras=extras)
        self.put(key_of(b"def"), b"def")
        for key, expected in ((key_of(b"abc"), extras), (key_of(b"def"), {})):
            stored = self.run_now(self.store.open(key))
            self.addCleanup(stored.close)
            self.assertEqual(dict(stored.extras), expected)

    def test_extras_of_one_repository_are_not_another_ones(self) -> None:
        self.put(key_of(b"abc", "org/one"), b"abc", extras={"filename": "one"})
        self.put(key_of(b"abc", "org/two"), b"abc")
        stored = self.run_now(self.store.open(key_of(b"abc", "org/two")))
        self.addCleanup(stored.close)
        self.assertEqual(dict(stored.extras), {})


class CapacityContract(_Mixin):
    """Tests of an ``ICapacity``; ``make_store`` returns a store."""

    def make_store(self) -> Any:
        """Return a store that has some room."""
        raise NotImplementedError

    def test_it_tells_how_much_room_there_is(self) -> None:
        store = self.make_store()
        verifyObject(ICapacity, store)
        room = self.run_now(store.room(repo_of()))
        self.assertIsInstance(room, Room)
        self.assertGreater(room.bytes, 0)
        self.assertTrue(room.problem)


class FusedCapacityContract(CapacityContract):
    """Tests of an ``IFusedCapacity``."""

    def test_both_questions_at_once_have_the_same_answers(self) -> None:
        store = self.make_store()
        verifyObject(IFusedCapacity, store)
        key = key_of(b"abc")
        self.run_now(put_object(store, key, 3, ListBody([b"abc"]), {}))
        keys = [key, key_of(b"absent")]
        sizes, room = self.run_now(store.sizes_and_room(keys, repo_of()))
        self.assertEqual(list(sizes), [3, None])
        self.assertIsInstance(room, Room)
        self.assertGreater(room.bytes, 0)
        self.assertEqual(room.problem, self.run_now(store.room(repo_of())).problem)
