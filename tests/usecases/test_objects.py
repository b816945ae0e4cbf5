"""The use cases: batch, receive, open, verify."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from giftless.errors import (
    BadRequest,
    Conflict,
    Disconnected,
    Forbidden,
    InsufficientStorage,
    LFSError,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
    Unauthorized,
    Unprocessable,
)
from giftless.interfaces import Identity
from giftless.lfs.batch import parse_batch, render_batch
from giftless.lfs.objects import MAX_SIZE, ObjectKey, Permission
from giftless.transfer.basic import BasicStreaming
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import (
    action_tokens,
    key_of,
    links_of,
    oid_of,
    partial,
    reader,
    repo_of,
    server_of,
    stranger,
    uploader,
    writer,
)
from tests.support.memory import (
    BoundedMemoryStore,
    ExternalStore,
    InspectedMemoryStore,
    MemoryStore,
)
from tests.support.run import CoroutineTestCase
from tests.support.tokens import shown_action

#: What the objects of most tests hold, by their size.
HERE = [b"h" * size for size in (1, 2, 3)]
GONE = [b"g" * size for size in (1, 2, 3)]

Members = Mapping[str, Any]


def member(data: bytes, **others: Any) -> Members:
    """Return a batch's member for an object."""
    return {"oid": oid_of(data), "size": len(data), **others}


class ServerTestCase(CoroutineTestCase):
    """A test case with a server over a store in memory that holds ``HERE``."""

    max_object_size = 10**9

    def setUp(self) -> None:
        self.use(MemoryStore())

    def use(self, store: Any) -> None:
        """Let the server have another store."""
        self.store = store
        for data in HERE:
            store.add(key_of(data), data)
        self.server = server_of(store, max_object_size=self.max_object_size)

    def batch(
        self,
        operation: str,
        objects: Sequence[Members],
        identity: Identity | None = None,
        **members: Any,
    ) -> Any:
        """Ask for a batch, as JSON, and check what holds for every reply."""
        body = json.dumps({"operation": operation, "objects": objects, **members}).encode()
        request = parse_batch(body, 1000, self.max_object_size)
        made = self.server.batch(identity or writer(), repo_of(), request, links_of())
        reply = json.loads(render_batch(self.run_now(made)))
        self.check_reply(operation, objects, reply)
        return reply

    def entries(self, *args: Any, **options: Any) -> list[Any]:
        """Ask for a batch, and return the entries of the reply."""
        entries: list[Any] = self.batch(*args, **options)["objects"]
        return entries

    def codes(self, *args: Any, **options: Any) -> list[int | None]:
        """Ask for a batch, and return each object's error code."""
        return [entry.get("error", {}).get("code") for entry in self.entries(*args, **options)]

    def check_reply(self, operation: str, objects: Sequence[Members], reply: Any) -> None:
        """Check what the client relies on in every reply (design: rules 3 and 7)."""
        self.assertEqual(reply["transfer"], "basic")
        self.assertEqual(reply["hash_algo"], "sha256")
        expected: dict[str, int] = {}
        for wanted in objects:
            expected.setdefault(wanted["oid"], wanted["size"])
        self.assertEqual(
            [(entry["oid"], entry["size"]) for entry in reply["objects"]], list(expected.items())
        )
        for entry in reply["objects"]:
            if "error" in entry:
                self.assertIs(type(entry["error"]["code"]), int)
                self.assertTrue(entry["error"]["message"])
                self.assertNotIn("actions", entry)
            else:
                self.assertIs(entry["authenticated"], True)
                for action in entry.get("actions", {}).values():
                    self.assertTrue(action["href"].startswith("https://"))
                    self.assertTrue(action["header"]["Giftless-Action"])
                    self.assertIs(type(action["expires_in"]), int)
            if operation == "download" and "error" not in entry:
                self.assertIn("download", entry["actions"], "else it is silently skipped")


class ConformanceTests(ServerTestCase):
    """The cases of the client's own conformance tool, which sends an empty ref."""

    def ask(self, operation: str, objects: Sequence[Members]) -> list[Any]:
        """Ask as the tool does."""
        return self.entries(operation, objects, ref={}, transfers=["basic"])

    def test_download_all_existing(self) -> None:
        for entry in self.ask("download", [member(data) for data in HERE]):
            self.assertEqual(set(entry["actions"]), {"download"})

    def test_download_all_missing(self) -> None:
        for entry in self.ask("download", [member(data) for data in GONE]):
            self.assertEqual(entry["error"]["code"], 404)
            self.assertNotIn("actions", entry)

    def test_a_mixed_download_gets_what_is_there(self) -> None:
        mixed = [data for pair in zip(HERE, GONE, strict=True) for data in pair]
        entries = self.ask("download", [member(data) for data in mixed])
        for data, entry in zip(mixed, entries, strict=True):
            if data in HERE:
                self.assertIn("download", entry["actions"])
            else:
                self.assertEqual(entry["error"]["code"], 404)

    def test_upload_all_missing(self) -> None:
        for entry in self.ask("upload", [member(data) for data in GONE]):
            self.assertEqual(set(entry["actions"]), {"upload"})

    def test_upload_all_present(self) -> None:
        for entry in self.ask("upload", [member(data) for data in HERE]):
            self.assertNotIn("actions", entry)
            self.assertNotIn("error", entry)

    def test_a_mixed_upload_gets_what_is_missing(self) -> None:
        mixed = [data for pair in zip(HERE, GONE, strict=True) for data in pair]
        entries = self.ask("upload", [member(data) for data in mixed])
        for data, entry in zip(mixed, entries, strict=True):
            self.assertEqual("actions" in entry, data in GONE)

    def test_upload_edge_cases(self) -> None:
        good = oid_of(b"g")
        bad = [
            {"oid": "abcdef0", "size": 1},
            {"oid": "a" * 96, "size": 1},
            {"oid": "z" * 64, "size": 1},
            {"oid": oid_of(b"1"), "size": -1},
            {"oid": oid_of(b"2"), "size": -125},
        ]
        *refused, empty = self.ask("upload", [*bad, {"oid": good, "size": 0}])
        for entry in refused:
            self.assertEqual(entry["error"]["code"], 422)
            self.assertNotIn("actions", entry)
        self.assertIn("upload", empty["actions"])

    def test_edge_cases_of_downloads(self) -> None:
        bad = [{"oid": "abcdef0", "size": 1}, {"oid": oid_of(b"1"), "size": -1}]
        self.assertEqual(
            [entry["error"]["code"] for entry in self.ask("download", bad)], [422, 422]
        )


class BatchTests(ServerTestCase):
    def test_every_form_of_ref_makes_no_difference(self) -> None:
        for ref in ({}, None, {"name": "HEAD"}, {"name": "refs/heads/main"}, {"name": None}):
            self.assertEqual(self.codes("download", [member(HERE[0])], ref=ref), [None])
        self.assertEqual(self.codes("download", [member(HERE[0])]), [None])

    def test_every_way_to_offer_basic_is_taken(self) -> None:
        for transfers in (None, [], ["basic"], ["ssh", "basic"], ["lfs-standalone-file", "basic"]):
            reply = self.batch("download", [member(HERE[0])], transfers=transfers)
            self.assertEqual(reply["transfer"], "basic")

    def test_a_client_without_a_common_transfer_is_told_so(self) -> None:
        """And 'ssh' is never the answer: old clients crash on it."""
        for transfers in (["ssh"], ["tus", "x"]):
            self.assertRaises(
                Unprocessable, self.batch, "upload", [member(GONE[0])], transfers=transfers
            )

    def test_another_hash_algorithm_is_409_for_each_object(self) -> None:
        objects = [member(HERE[0]), member(GONE[0])]
        for operation in ("upload", "download"):
            self.assertEqual(self.codes(operation, objects, hash_algo="sha512"), [409, 409])

    def test_an_oid_named_twice_has_one_entry(self) -> None:
        objects = [member(GONE[1]), member(HERE[0]), member(GONE[1])]
        self.assertEqual(self.codes("upload", objects), [None, None])

    def test_an_oid_with_two_sizes_is_422(self) -> None:
        objects = [member(GONE[1]), {"oid": oid_of(GONE[1]), "size": 77}]
        self.assertEqual(self.codes("upload", objects), [422])

    def test_sizes_beyond_all_measure_are_422_each_and_echoed(self) -> None:
        objects = [
            {"oid": oid_of(bytes([number])), "size": size}
            for number, size in enumerate((2**63, 2**64, 2**70, -(2**64)))
        ]
        for operation in ("upload", "download"):
            self.assertEqual(self.codes(operation, objects), [422] * 4)

    def test_an_upload_that_is_too_large_is_413(self) -> None:
        """In the batch: on the PUT it would cost nine uploads."""
        objects = [
            {"oid": oid_of(b"1"), "size": self.max_object_size},
            {"oid": oid_of(b"2"), "size": self.max_object_size + 1},
        ]
        self.assertEqual(self.codes("upload", objects), [None, 413])

    def test_an_object_of_another_size_is_not_offered_for_download(self) -> None:
        """It is damaged; 'prune --verify-remote' trusts what is offered."""
        self.assertEqual(self.codes("download", [{"oid": oid_of(HERE[1]), "size": 77}]), [422])

    def test_a_download_of_size_0_is_one_of_unknown_size(self) -> None:
        """git-lfs 1.4 and 1.5 send it for all that 'prune --verify-remote' is about."""
        (entry,) = self.entries("download", [{"oid": oid_of(HERE[1]), "size": 0}])
        self.assertEqual((entry["size"], set(entry["actions"])), (0, {"download"}))
        self.assertEqual(self.codes("download", [{"oid": oid_of(GONE[1]), "size": 0}]), [404])

    def test_the_empty_object_is_of_size_0(self) -> None:
        self.store.add(key_of(b""), b"")
        self.assertEqual(self.codes("download", [member(b"")]), [None])
        (entry,) = self.entries("upload", [member(b"")])
        self.assertNotIn("actions", entry)
        # Damaged: it has bytes, and a name that says that it has none.
        self.store.add(key_of(b""), HERE[2])
        self.assertEqual(self.codes("download", [member(b"")]), [422])
        (entry,) = self.entries("upload", [member(b"")])
        self.assertIn("upload", entry["actions"])

    def test_an_object_that_lost_its_bytes_is_not_offered_for_download(self) -> None:
        """Whoever prunes would delete the last good copy."""
        self.store.add(key_of(GONE[1]), b"")
        lost = {"oid": oid_of(GONE[1]), "size": 0}
        self.assertEqual(self.codes("download", [lost, member(HERE[0])]), [422, None])
        self.assertEqual(self.codes("download", [member(GONE[1])]), [422])
        for announced in (lost, member(GONE[1])):
            (entry,) = self.entries("upload", [announced])
            self.assertIn("upload", entry["actions"])

    def test_an_object_of_another_size_is_to_be_uploaded_again(self) -> None:
        (entry,) = self.entries("upload", [{"oid": oid_of(HERE[1]), "size": 77}])
        self.assertIn("upload", entry["actions"])

    def test_the_store_is_asked_once(self) -> None:
        self.batch("upload", [member(data) for data in [*HERE, *GONE]])
        self.assertEqual([len(keys) for keys in self.store.questions], [6])

    def test_the_store_is_not_asked_about_what_is_refused(self) -> None:
        bad = {"oid": "short", "size": 1}
        self.batch("upload", [bad, member(HERE[0])])
        self.batch("upload", [bad])
        self.assertEqual(self.store.questions, [[key_of(HERE[0])]])

    def test_the_store_is_asked_about_the_repository_that_is_meant(self) -> None:
        self.store.add(key_of(b"x", "other/repo"), b"x")
        self.assertEqual(self.codes("download", [member(b"x")]), [404])

    def test_a_store_that_cannot_tell_is_no_answer(self) -> None:
        """'Missing' would make people believe that their objects are lost."""
        self.store.failure = ServiceUnavailable("the bucket does not answer", 30)
        self.assertRaises(ServiceUnavailable, self.batch, "download", [member(HERE[0])])

    def test_extras_travel_with_the_upload(self) -> None:
        (entry,) = self.entries("upload", [member(GONE[0], **{"x-filename": "a.bin"})])
        header = entry["actions"]["upload"]["header"]
        identity = self.run_now(action_tokens().authenticate(shown_action(header), repo_of()))
        assert identity is not None and identity.ticket is not None
        self.assertEqual(identity.ticket.extras, {"filename": "a.bin"})

    def test_an_object_that_the_store_cannot_tell_of_does_not_spoil_the_rest(self) -> None:
        self.store.unknown[key_of(HERE[0])] = ServiceUnavailable("that shard is down", 30)
        objects = [member(HERE[0]), member(HERE[1])]
        for operation in ("upload", "download"):
            first, second = self.entries(operation, objects)
            self.assertEqual(first["error"], {"code": 503, "message": "that shard is down"})
            self.assertNotIn("error", second)

    @given(
        st.sampled_from(["upload", "download"]),
        st.lists(
            st.tuples(
                st.sampled_from([*HERE, *GONE]) | st.binary(max_size=5),
                st.integers(-2, 5) | st.none(),
            ),
            min_size=1,
            max_size=10,
        ),
    )
    def test_any_mixture_has_the_right_answer_for_each(
        self, operation: str, wanted: list[tuple[bytes, int | None]]
    ) -> None:
        objects: list[dict[str, Any]] = [
            {"oid": oid_of(data), "size": len(data) if size is None else size}
            for data, size in wanted
        ]
        sizes: dict[str, set[int]] = {}
        for each in objects:
            sizes.setdefault(each["oid"], set()).add(each["size"])
        present = {oid_of(data): len(data) for data in HERE}
        for entry in self.entries(operation, objects):
            oid, size, stored = entry["oid"], entry["size"], present.get(entry["oid"])
            code = entry.get("error", {}).get("code")
            if len(sizes[oid]) > 1 or size < 0:
                self.assertEqual(code, 422)
            elif operation == "upload":
                self.assertIsNone(code)
                self.assertEqual("upload" in entry.get("actions", {}), stored != size)
            elif stored is None:
                self.assertEqual(code, 404)
            else:
                self.assertEqual(code, None if size in (stored, 0) else 422)


class ExternalBatchTests(ServerTestCase):
    """Batches over a store that signs."""

    def setUp(self) -> None:
        self.external = ExternalStore()
        for data in HERE:
            self.external.present[key_of(data)] = len(data)
        self.server = server_of(self.external)

    def check_reply(self, operation: str, objects: Sequence[Members], reply: Any) -> None:
        """Its actions need no header of ours."""
        self.assertEqual(len(reply["objects"]), len(objects))

    def test_the_stores_own_actions_are_passed_on(self) -> None:
        for operation, data in (("download", HERE[0]), ("upload", GONE[0])):
            (entry,) = self.entries(operation, [member(data)])
            href = entry["actions"][operation]["href"]
            self.assertEqual(href, f"https://bucket.example/{key_of(data).path}?{operation}")

    def test_an_object_that_is_not_signed_for_does_not_spoil_the_rest(self) -> None:
        self.external.refusals[key_of(GONE[1])] = PayloadTooLarge("one PUT takes up to 1 byte")
        objects = [member(data) for data in GONE]
        self.assertEqual(self.codes("upload", objects), [None, 413, None])

    def test_what_is_no_refusal_fails_the_whole_batch(self) -> None:
        self.external.refusals[key_of(GONE[1])] = ZeroDivisionError("a bug")
        objects = [member(data) for data in GONE]
        self.assertRaises(ZeroDivisionError, self.batch, "upload", objects)


class RoomTests(ServerTestCase):
    def setUp(self) -> None:
        self.use(BoundedMemoryStore(sum(map(len, HERE)) + 10))

    def test_an_upload_without_room_is_507(self) -> None:
        objects = [
            {"oid": oid_of(b"1"), "size": 10},
            {"oid": oid_of(b"2"), "size": 11},
        ]
        self.assertEqual(self.codes("upload", objects[:1]), [None])
        self.assertEqual(self.codes("upload", objects[1:]), [507])

    def test_the_objects_of_a_batch_share_the_room(self) -> None:
        objects = [
            {"oid": oid_of(bytes([number])), "size": size}
            for number, size in enumerate((6, 5, 4, 1, 0))
        ]
        entries = self.entries("upload", objects)
        codes = [entry.get("error", {}).get("code") for entry in entries]
        self.assertEqual(codes, [None, 507, None, 507, None])
        for entry, code in zip(entries, codes, strict=True):
            self.assertEqual("upload" in entry.get("actions", {}), code is None)

    def test_what_is_there_needs_no_room(self) -> None:
        objects = [member(data) for data in HERE]
        self.store.capacity = 0
        self.assertEqual(self.codes("upload", objects), [None] * 3)
        self.assertEqual(self.codes("download", objects), [None] * 3)

    def test_a_store_that_turns_out_to_be_full_is_507(self) -> None:
        self.store.capacity = 0
        receive = self.server.receive(writer(), key_of(b"abc"), 3, ListBody([b"abc"]))
        self.assert_fails(InsufficientStorage, receive)


class PermissionTests(ServerTestCase):
    def test_a_reader_downloads_and_does_not_upload(self) -> None:
        objects = [member(HERE[0])]
        self.assertEqual(self.codes("download", objects, reader()), [None])
        error = self.assertRaises(Forbidden, self.batch, "upload", objects, reader())
        self.assertIn("rita does not have write access to org/repo", error.message)

    def test_a_stranger_is_asked_for_a_credential(self) -> None:
        for operation in ("upload", "download"):
            for objects in ([member(HERE[0])], [member(GONE[0])], [{"oid": "short", "size": 1}]):
                self.assertRaises(Unauthorized, self.batch, operation, objects, stranger())

    def test_somebody_without_rights_is_403(self) -> None:
        """A credential was shown: another 401 would make the helper forget it."""
        somebody = stranger(anonymous=False, name="sam")
        for operation in ("upload", "download"):
            error = self.assertRaises(Forbidden, self.batch, operation, [member(HERE[0])], somebody)
            self.assertIn("sam", error.message)

    def test_nothing_is_told_about_objects_to_who_may_not_read(self) -> None:
        self.assertRaises(Unauthorized, self.batch, "download", [member(GONE[0])], stranger())
        self.assertEqual(self.store.questions, [])

    def test_who_may_do_some_gets_those_and_403_for_the_rest(self) -> None:
        paula = partial(oid_of(HERE[0]), oid_of(GONE[0]))
        objects = [member(HERE[0]), member(HERE[1]), member(GONE[0]), member(GONE[1])]
        self.assertEqual(self.codes("download", objects, paula), [None, 403, 404, 403])
        self.assertEqual(self.codes("upload", objects, paula), [None, 403, None, 403])

    def test_what_may_not_be_done_is_not_asked_of_the_store(self) -> None:
        paula = partial(oid_of(HERE[0]))
        self.batch("download", [member(HERE[0]), member(HERE[1])], paula)
        self.assertEqual(self.store.questions, [[key_of(HERE[0])]])

    def test_who_may_do_none_of_them_is_403_as_a_whole(self) -> None:
        self.assertRaises(Forbidden, self.batch, "download", [member(HERE[1])], partial())

    def test_a_malformed_object_is_422_even_for_who_may_do_some(self) -> None:
        paula = partial(oid_of(HERE[0]))
        objects = [{"oid": "short", "size": 1}, member(HERE[0])]
        self.assertEqual(self.codes("download", objects, paula), [422, None])

    def test_storage_needs_permission_before_anything_is_touched(self) -> None:
        body = HeldBody()
        key = key_of(HERE[0])
        for make in (
            lambda who: self.server.receive(who, key, 1, body),
            lambda who: self.server.open(who, key),
            lambda who: self.server.verify(who, key, 1),
        ):
            self.assert_fails(Unauthorized, make(stranger()))
            self.assert_fails(Forbidden, make(stranger(anonymous=False)))
            self.assert_fails(Forbidden, make(partial(oid_of(HERE[1]))))
        self.assertFalse(body.wanted)
        self.assertEqual(self.store.questions, [])
        self.assertEqual(self.store.opened, [])

    def test_a_reader_may_verify_and_open_but_not_store(self) -> None:
        key = key_of(HERE[0])
        self.run_now(self.server.verify(reader(), key, 1))
        self.run_now(self.server.open(reader(), key))
        self.assert_fails(Forbidden, self.server.receive(reader(), key, 1, ListBody([b"h"])))

    def test_what_is_private_may_be_hidden(self) -> None:
        self.server = server_of(self.store, hide_private=True)
        sam = stranger(anonymous=False)
        self.assertRaises(NotFound, self.batch, "download", [member(HERE[0])], sam)
        self.assert_fails(NotFound, self.server.open(sam, key_of(HERE[0])))
        # A reader knows of it, and nobody is only asked who they are.
        self.assertRaises(Forbidden, self.batch, "upload", [member(HERE[0])], reader())
        self.assertRaises(Unauthorized, self.batch, "download", [member(HERE[0])], stranger())


class ReceiveTests(ServerTestCase):
    def receive(
        self, data: bytes, *chunks: bytes, size: int | None = -1, identity: Identity | None = None
    ) -> None:
        """Upload chunks as the object ``data``."""
        size = sum(map(len, chunks)) if size == -1 else size
        self.run_now(
            self.server.receive(identity or writer(), key_of(data), size, ListBody(chunks))
        )

    def test_the_right_bytes_are_stored(self) -> None:
        self.receive(b"abc", b"a", b"bc")
        self.assertEqual(self.store.get(key_of(b"abc")), b"abc")

    def test_an_empty_object_is_stored(self) -> None:
        self.receive(b"")
        self.assertEqual(self.store.get(key_of(b"")), b"")

    def test_a_length_that_is_not_told_is_fine(self) -> None:
        self.receive(b"abc", b"abc", size=None)
        self.assertEqual(self.store.get(key_of(b"abc")), b"abc")

    def test_other_bytes_are_400_and_not_stored(self) -> None:
        """Never 422, which the client takes for success."""
        for chunks, size in (
            ([b"abd"], 3),
            ([b"ab"], 3),
            ([b"abcd"], 3),
            ([b"ab"], 2),
            ([], 0),
            ([b"abd"], None),
        ):
            error = self.assertRaises(BadRequest, self.receive, b"abc", *chunks, size=size)
            self.assertEqual(error.code, 400)
            self.assertIsNone(self.store.get(key_of(b"abc")))

    def test_a_client_that_leaves_stores_nothing(self) -> None:
        body = ListBody([b"a"], Disconnected("gone"))
        receive = self.server.receive(writer(), key_of(b"abc"), 3, body)
        self.assert_fails(Disconnected, receive)
        self.assertIsNone(self.store.get(key_of(b"abc")))

    def test_the_tickets_size_is_what_must_come(self) -> None:
        self.receive(b"abc", b"abc", identity=uploader(3))
        self.receive(b"abc", b"abc", size=None, identity=uploader(3))
        error = self.assertRaises(BadRequest, self.receive, b"abc", b"abc", identity=uploader(4))
        self.assertIn("the batch announced 4", error.message)
        for announced in (2, 4):
            self.assertRaises(
                BadRequest, self.receive, b"x", b"x" * 3, size=None, identity=uploader(announced)
            )

    def test_a_wrong_length_is_refused_before_the_body_is_wanted(self) -> None:
        body = HeldBody()
        receive = self.server.receive(uploader(4), key_of(b"abc"), 3, body)
        self.assert_fails(BadRequest, receive)
        self.assertFalse(body.wanted)

    def test_the_tickets_extras_are_stored(self) -> None:
        self.receive(b"abc", b"abc", identity=uploader(3, {"filename": "x"}))
        stored = self.run_now(self.server.open(reader(), key_of(b"abc"))).stored
        self.assertEqual(stored.extras, {"filename": "x"})

    def test_a_body_that_is_too_large_is_413_before_it_is_wanted(self) -> None:
        body = HeldBody()
        for identity in (writer(), uploader(self.max_object_size + 1)):
            for size in (self.max_object_size + 1, None):
                if size is None and identity.ticket is None:
                    continue
                receive = self.server.receive(identity, key_of(b"abc"), size, body)
                self.assert_fails(PayloadTooLarge, receive)
        self.assertFalse(body.wanted)

    def test_a_body_of_unknown_length_is_413_when_it_gets_too_large(self) -> None:
        self.server = server_of(self.store, max_object_size=3)
        receive = self.server.receive(writer(), key_of(b"abcd"), None, ListBody([b"ab", b"cd"]))
        self.assert_fails(PayloadTooLarge, receive)
        self.assertIsNone(self.store.get(key_of(b"abcd")))

    def test_an_external_store_receives_nothing_here(self) -> None:
        server = server_of(ExternalStore())
        self.assert_fails(NotFound, server.receive(writer(), key_of(b"x"), 1, ListBody([b"x"])))
        self.assert_fails(NotFound, server.open(writer(), key_of(b"x")))

    def test_no_refusal_is_422(self) -> None:
        """The stock client would lose the object."""
        attempts = [
            (identity, size, chunks)
            for identity in (writer(), uploader(3), uploader(10**12), reader(), stranger())
            for size in (None, 0, 3, 10**12)
            for chunks in ([], [b"abc"], [b"abd"], [b"abcd"])
        ]
        for identity, size, chunks in attempts:
            try:
                self.run_now(self.server.receive(identity, key_of(b"abc"), size, ListBody(chunks)))
            except LFSError as error:
                self.assertNotEqual(error.code, 422)
                self.assertTrue(error.message)


class OpenTests(ServerTestCase):
    def test_an_object_is_opened(self) -> None:
        stored = self.run_now(self.server.open(reader(), key_of(HERE[2]))).stored
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), HERE[2])

    def test_a_missing_object_is_404(self) -> None:
        error = self.assert_fails(NotFound, self.server.open(reader(), key_of(GONE[0])))
        self.assertIn(oid_of(GONE[0]), error.message)


class VerifyTests(ServerTestCase):
    def verify(self, data: bytes, size: int, identity: Identity | None = None) -> None:
        """Verify an object."""
        self.run_now(self.server.verify(identity or writer(), key_of(data), size))

    def test_what_is_stored_is_confirmed(self) -> None:
        for data in HERE:
            self.verify(data, len(data))

    def test_what_is_missing_is_404(self) -> None:
        error = self.assertRaises(NotFound, self.verify, GONE[0], 1)
        self.assertIn("upload it again", error.message)

    def test_another_size_is_409(self) -> None:
        """Never 422, which the client takes for success."""
        for size in (0, 2, -1, MAX_SIZE, 2**70):
            error = self.assertRaises(Conflict, self.verify, HERE[0], size)
            self.assertIn("has 1 bytes", error.message)

    def test_what_cannot_be_told_now_is_no_confirmation(self) -> None:
        self.store.unknown[key_of(HERE[0])] = ServiceUnavailable("that shard is down", 30)
        self.assertRaises(ServiceUnavailable, self.verify, HERE[0], 1)

    def test_a_store_that_keeps_digests_is_asked_for_more_than_the_size(self) -> None:
        """An object of the right size may still be damaged."""
        store = InspectedMemoryStore()
        self.use(store)
        self.verify(HERE[0], 1)
        store.digests[key_of(HERE[0])] = oid_of(HERE[0])
        self.verify(HERE[0], 1)
        store.digests[key_of(HERE[0])] = oid_of(b"x")
        error = self.assertRaises(Conflict, self.verify, HERE[0], 1)
        self.assertIn("SHA-256", error.message)
        self.assertRaises(Conflict, self.verify, HERE[0], 2)
        self.assertRaises(NotFound, self.verify, GONE[0], 1)

    def test_a_token_for_another_size_is_403(self) -> None:
        self.verify(HERE[2], 3, uploader(3, operation="verify"))
        verifier = uploader(4, operation="verify")
        self.assertIn(
            "size", self.assertRaises(Forbidden, self.verify, HERE[2], 3, verifier).message
        )
        verifier = uploader(3, operation="verify")
        self.assertIn(
            "size", self.assertRaises(Forbidden, self.verify, HERE[2], 4, verifier).message
        )

    def test_a_token_for_another_operation_is_403(self) -> None:
        """Even if its grants would do."""
        for operation in ("upload", "part", "commit", ""):
            identity = uploader(3, operation=operation)
            error = self.assertRaises(Forbidden, self.verify, HERE[2], 3, identity)
            self.assertIn("another operation", error.message)


class TokenTests(ServerTestCase):
    """What a batch hands out opens what it says, at the server too."""

    def setUp(self) -> None:
        super().setUp()
        tokens = action_tokens(verify="always")
        self.server = server_of(self.store, BasicStreaming(tokens))

    def come_back(self, operation: str, data: bytes, action: str) -> Identity:
        """Ask for a batch, and return who comes with one of its actions."""
        (entry,) = self.entries(operation, [member(data)])
        header = entry["actions"][action]["header"]
        identity = self.run_now(action_tokens().authenticate(shown_action(header), repo_of()))
        assert identity is not None
        return identity

    def test_an_upload_can_be_done_and_verified(self) -> None:
        key = key_of(b"abc")
        who = self.come_back("upload", b"abc", "upload")
        verifier = self.come_back("upload", b"abc", "verify")
        self.run_now(self.server.receive(who, key, 3, ListBody([b"abc"])))
        self.run_now(self.server.verify(verifier, key, 3))

    def test_a_download_can_be_done(self) -> None:
        who = self.come_back("download", HERE[2], "download")
        stored = self.run_now(self.server.open(who, key_of(HERE[2]))).stored
        self.assertEqual(stored.size, 3)

    def test_no_action_opens_anything_else(self) -> None:
        """And each refusal is 403: at 401 the client would loop."""
        cases = (
            (self.come_back("upload", b"abc", "upload"), Permission.WRITE, oid_of(b"abc")),
            (self.come_back("upload", b"abc", "verify"), Permission.READ_META, oid_of(b"abc")),
            (self.come_back("download", HERE[0], "download"), Permission.READ, oid_of(HERE[0])),
        )
        for who, permission, own in cases:
            for oid in (own, oid_of(HERE[1])):
                key = ObjectKey(repo_of(), oid)
                if (permission, oid) != (Permission.WRITE, own):
                    self.assert_fails(
                        Forbidden, self.server.receive(who, key, 3, ListBody([b"abc"]))
                    )
                if (permission, oid) != (Permission.READ, own):
                    self.assert_fails(Forbidden, self.server.open(who, key))
                if (permission, oid) != (Permission.READ_META, own):
                    self.assert_fails(Forbidden, self.server.verify(who, key, 3))
