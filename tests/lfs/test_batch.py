"""Parsing and rendering the batch API, down to its edges."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest, LFSError, NotFound, PayloadTooLarge, Unprocessable
from giftless.lfs.batch import (
    MAX_EXTRAS_BYTES,
    BatchReply,
    BatchRequest,
    ObjectReply,
    RequestedObject,
    parse_batch,
    render_batch,
)
from giftless.lfs.objects import MAX_SIZE, Action, Oid, Operation
from tests.support.making import oid_of
from tests.support.strategies import json_values, oids

A, B, C = str(oid_of(b"a")), str(oid_of(b"b")), str(oid_of(b"c"))


def parse(
    operation: Any = "upload",
    objects: Any = None,
    max_objects: int = 100,
    max_object_size: int = MAX_SIZE,
    **members: Any,
) -> BatchRequest:
    """Parse a batch of one plausible object, unless told otherwise."""
    body = {"operation": operation, "objects": objects or [{"oid": A, "size": 1}], **members}
    return parse_batch(json.dumps(body).encode(), max_objects, max_object_size)


def parse_one(member: dict[str, Any], **members: Any) -> RequestedObject:
    """Parse a batch of one object."""
    (item,) = parse(objects=[member], **members).objects
    return item


class WholeRequestTests(SynchronousTestCase):
    def test_a_batch_of_the_stock_client_is_understood(self) -> None:
        request = parse(
            "download",
            [{"oid": B, "size": 200}, {"oid": A, "size": 1}],
            transfers=["lfs-standalone-file", "basic", "ssh"],
            ref={"name": "refs/heads/main"},
            hash_algo="sha256",
        )
        self.assertIs(request.operation, Operation.DOWNLOAD)
        self.assertEqual([(item.oid, item.size) for item in request.objects], [(B, 200), (A, 1)])
        self.assertEqual([item.error for item in request.objects], [None, None])
        self.assertEqual(request.transfers, ("lfs-standalone-file", "basic", "ssh"))

    def test_every_form_of_ref_is_taken(self) -> None:
        """Clients send {} for what they do not know, and null, or nothing."""
        for ref in (
            *(None, {}, {"name": None}, {"name": "HEAD"}, {"name": "refs/heads/main"}),
            # DVC's scmrepo sends a list; and nobody shall fail for what means nothing.
            *([{"name": "refs/heads/main"}], [], {"name": 1}, "refs/heads/main", 1, False),
        ):
            parsed = parse(ref=ref, transfers=["basic"])
            self.assertEqual(replace(parsed, ref=""), parse(transfers=["basic"]), ref)

    def test_the_name_of_a_ref_is_kept_if_it_is_one(self) -> None:
        """Whoever asks another server passes it on."""
        self.assertEqual(parse(ref={"name": "refs/heads/main"}).ref, "refs/heads/main")
        for ref in ({"name": "a\nb"}, {"name": "x" * 2000}, {"name": 1}, ["main"], None, {}):
            self.assertEqual(parse(ref=ref).ref, "", ref)

    def test_the_reply_to_the_first_version_has_objects_only(self) -> None:
        """git-lfs 1.2 takes every member of a reply for a list of objects."""
        self.assertTrue(parse().objects_only)
        members: tuple[dict[str, Any], ...] = (
            *({"transfers": ["basic"]}, {"ref": {}}, {"hash_algo": "sha256"}),
            *({"transfers": None}, {"ref": None}, {"hash_algo": None}),
        )
        for each in members:
            self.assertFalse(parse(**each).objects_only, each)

    def test_without_transfers_basic_is_meant(self) -> None:
        self.assertEqual(parse().transfers, ("basic",))
        self.assertEqual(parse(transfers=None).transfers, ("basic",))
        self.assertEqual(parse(transfers=[]).transfers, ("basic",))

    def test_unknown_transfers_are_passed_on(self) -> None:
        self.assertEqual(parse(transfers=["x", "y"]).transfers, ("x", "y"))

    def test_unknown_members_are_ignored(self) -> None:
        self.assertEqual(len(parse(future={"a": [1]}).objects), 1)
        self.assertIsNone(parse_one({"oid": A, "size": 1, "authenticated": True}).error)

    def test_what_is_not_json_is_400(self) -> None:
        for body in (b"", b"{", b"\xff", b'{"operation": "upload', b"nope"):
            self.assertRaises(BadRequest, parse_batch, body, 100, MAX_SIZE)

    def test_json_that_is_nested_too_deeply_is_400(self) -> None:
        for body in (b'{"future":', b'{"operation":"upload","objects":[{"x":'):
            self.assertRaises(BadRequest, parse_batch, body + b"[" * 100_000, 100, MAX_SIZE)

    def test_json_of_another_shape_is_422(self) -> None:
        for body in (
            b"null",
            b"[]",
            b"{}",
            b'"upload"',
            b'{"operation": "upload"}',
            b'{"objects": []}',
            b'{"operation": "upload", "objects": {}}',
            b'{"operation": "upload", "objects": [null]}',
            b'{"operation": "upload", "objects": ["oid"]}',
            b'{"operation": 1, "objects": [{}]}',
        ):
            self.assertRaises(Unprocessable, parse_batch, body, 100, MAX_SIZE)
        for members in (
            {"transfers": "basic"},
            {"transfers": [1]},
            {"hash_algo": 256},
        ):
            self.assertRaises(Unprocessable, parse, **members)

    def test_other_operations_are_422(self) -> None:
        for operation in ("", "delete", "Upload", "verify"):
            error = self.assertRaises(Unprocessable, parse, operation)
            self.assertIn("'upload' or 'download'", error.message)

    def test_a_batch_without_objects_is_422(self) -> None:
        """A reply without objects would hang the client."""
        body = b'{"operation": "upload", "objects": []}'
        self.assertRaises(Unprocessable, parse_batch, body, 100, MAX_SIZE)

    def test_too_many_objects_are_413(self) -> None:
        objects = [{"oid": A, "size": 1}, {"oid": B, "size": 1}, {"oid": C, "size": 1}]
        self.assertEqual(len(parse(objects=objects, max_objects=3).objects), 3)
        error = self.assertRaises(PayloadTooLarge, parse, "upload", objects, 2)
        self.assertIn("at most 2", error.message)

    def test_duplicates_count_as_sent(self) -> None:
        """What is limited is the work that one request may cause."""
        objects = [{"oid": A, "size": 1}] * 3
        self.assertRaises(PayloadTooLarge, parse, "upload", objects, 2)

    def test_an_object_that_cannot_be_echoed_is_422_as_a_whole(self) -> None:
        """Without an oid and a whole number there is no entry to reply with."""
        for member in (
            {},
            {"oid": A},
            {"size": 1},
            {"oid": None, "size": 1},
            {"oid": 5, "size": 1},
            {"oid": A, "size": None},
            {"oid": A, "size": "1"},
            {"oid": A, "size": 1.5},
            {"oid": A, "size": 2.0**53 + 2},
            {"oid": A, "size": 1e300},
            {"oid": A, "size": True},
            {"oid": A, "size": [1]},
        ):
            self.assertRaises(Unprocessable, parse, "upload", [member])

    def test_a_number_beyond_all_measure_is_an_error_of_ours(self) -> None:
        """Python refuses to convert integers of more than 4,300 digits."""
        body = b'{"operation":"upload","objects":[{"oid":"%s","size":%s}]}'
        for size in (b"9" * 5000, b"1e999", b"-" + b"9" * 5000):
            self.assertRaises(LFSError, parse_batch, body % (A.encode(), size), 100, MAX_SIZE)


class ObjectTests(SynchronousTestCase):
    def test_malformed_oids_are_422_each(self) -> None:
        """The client's conformance tool sends these."""
        for oid in ("abcdef0", "a" * 96, "g" * 64, "", A.upper(), A + "\n", "../" + A[3:]):
            item = parse_one({"oid": oid, "size": 1})
            self.assertIsInstance(item.error, Unprocessable)
            self.assertEqual((item.text, item.size), (oid, 1))

    def test_impossible_sizes_are_422_each(self) -> None:
        for size in (-1, -125, MAX_SIZE + 1, 2**64, 2**70, -(2**70)):
            item = parse_one({"oid": A, "size": size})
            self.assertIsInstance(item.error, Unprocessable)
            self.assertEqual((item.text, item.size), (A, size))

    def test_sizes_at_the_edges_are_fine(self) -> None:
        """git never uploads empty objects, but the conformance tool does."""
        for size in (0, 1, 2**53 + 1, MAX_SIZE):
            item = parse_one({"oid": A, "size": size})
            self.assertIsNone(item.error)
            self.assertEqual(item.size, size)

    def test_a_whole_number_may_be_written_as_a_float(self) -> None:
        for size in (0.0, 1.0, 2.0**53, -1.0):
            item = parse_one({"oid": A, "size": size})
            self.assertEqual((item.size, type(item.size)), (size, int))
            self.assertEqual(item.error is None, size >= 0)

    def test_an_upload_that_is_too_large_is_413_each(self) -> None:
        self.assertIsNone(parse_one({"oid": A, "size": 10}, max_object_size=10).error)
        item = parse_one({"oid": A, "size": 11}, max_object_size=10)
        self.assertIsInstance(item.error, PayloadTooLarge)
        assert item.error is not None
        self.assertIn("11 bytes", item.error.message)

    def test_a_download_may_be_larger_than_uploads(self) -> None:
        """The limit may have been lowered after the object was stored."""
        item = parse_one({"oid": A, "size": 11}, operation="download", max_object_size=10)
        self.assertIsNone(item.error)

    def test_another_hash_algorithm_is_409_each(self) -> None:
        for algorithm in ("sha512", "SHA256", "gitoid"):
            item = parse_one({"oid": A, "size": 1}, hash_algo=algorithm)
            assert item.error is not None
            self.assertEqual(item.error.code, 409)
            self.assertIn("sha256", item.error.message)

    def test_sha256_may_be_left_out(self) -> None:
        for algorithm in ("sha256", "", None):
            self.assertIsNone(parse_one({"oid": A, "size": 1}, hash_algo=algorithm).error)

    def test_an_oid_named_twice_is_one_entry(self) -> None:
        """Two entries would make the client panic."""
        request = parse(
            objects=[{"oid": B, "size": 2}, {"oid": A, "size": 1}, {"oid": B, "size": 2}]
        )
        self.assertEqual([item.text for item in request.objects], [B, A])
        self.assertEqual([item.error for item in request.objects], [None, None])

    def test_an_oid_with_two_sizes_is_422_with_the_first(self) -> None:
        request = parse(
            objects=[{"oid": A, "size": 1}, {"oid": B, "size": 2}, {"oid": A, "size": 5}]
        )
        first, second = request.objects
        self.assertEqual((first.text, first.size), (A, 1))
        self.assertIsInstance(first.error, Unprocessable)
        self.assertIsNone(second.error)

    def test_an_oid_with_two_sizes_stays_refused_when_named_again(self) -> None:
        request = parse(
            objects=[{"oid": A, "size": 1}, {"oid": A, "size": 5}, {"oid": A, "size": 1}]
        )
        self.assertIsInstance(request.objects[0].error, Unprocessable)

    def test_one_bad_object_does_not_spoil_the_rest(self) -> None:
        request = parse(objects=[{"oid": "short", "size": 1}, {"oid": A, "size": 1}])
        self.assertEqual([item.error and item.error.code for item in request.objects], [422, None])


class ExtrasTests(SynchronousTestCase):
    def test_x_members_are_kept_without_their_x(self) -> None:
        item = parse_one(
            {
                "oid": A,
                "size": 1,
                "x-filename": "ä.bin",
                "x-n": 1,
                "x-f": 0.5,
                "x-b": True,
                "x-none": None,
                "y-other": 1,
            }
        )
        self.assertIsNone(item.error)
        self.assertEqual(
            item.extras, {"filename": "ä.bin", "n": 1, "f": 0.5, "b": True, "none": None}
        )

    def test_without_x_members_there_are_none(self) -> None:
        self.assertEqual(parse_one({"oid": A, "size": 1}).extras, {})

    def test_x_members_that_are_no_scalars_are_422_each(self) -> None:
        for value in ([], {}, ["a"], {"a": 1}):
            item = parse_one({"oid": A, "size": 1, "x-list": value})
            self.assertIsInstance(item.error, Unprocessable)
            self.assertEqual(item.extras, {})

    def test_x_members_that_are_too_large_are_422_each(self) -> None:
        """They travel in a header of the upload."""
        most = "a" * (MAX_EXTRAS_BYTES - len('{"filename":""}'))
        self.assertIsNone(parse_one({"oid": A, "size": 1, "x-filename": most}).error)
        item = parse_one({"oid": A, "size": 1, "x-filename": most + "a"})
        self.assertIsInstance(item.error, Unprocessable)


_members = st.fixed_dictionaries(
    {"oid": oids | st.sampled_from([A, B]) | json_values, "size": st.integers() | json_values},
    optional={"x-filename": json_values, "x-": json_values, "y": json_values},
)

_batches = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["upload", "download"]),
        "objects": st.lists(
            st.fixed_dictionaries(
                {
                    "oid": st.sampled_from([A, B, C, "short", ""]) | oids | st.text(),
                    "size": st.sampled_from([0, 1, 2]) | st.integers(),
                },
                optional={"x-filename": st.text(), "x-many": json_values},
            ),
            min_size=1,
            max_size=8,
        ),
    },
    optional={
        "transfers": st.none() | st.lists(st.text()),
        "ref": json_values,
        "hash_algo": st.none() | st.sampled_from(["sha256", "sha512", ""]),
    },
)


def _has_lone_surrogates(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


class PropertyTests(SynchronousTestCase):
    @given(
        st.binary()
        | json_values.map(lambda value: json.dumps(value).encode())
        | st.fixed_dictionaries(
            {
                "operation": st.sampled_from(["upload", "download"]) | json_values,
                "objects": st.lists(_members, max_size=5) | json_values,
            },
            optional={"transfers": json_values, "ref": json_values, "hash_algo": json_values},
        ).map(lambda value: json.dumps(value).encode())
    )
    @example(b'{"operation":"upload","objects":[{"oid":"\\ud800","size":1}]}')
    @example(b'{"operation":"upload","objects":[{"oid":"","size":1,"x-a":1e400}]}')
    def test_any_body_is_a_batch_or_an_error_for_the_client(self, body: bytes) -> None:
        try:
            request = parse_batch(body, 100, MAX_SIZE)
        except LFSError as error:
            self.assertTrue(error.message)
            self.assertIn(error.code, (400, 413, 422))
        else:
            self.assertTrue(request.objects)

    @given(_batches)
    def test_there_is_one_entry_per_distinct_oid_in_order_with_its_first_size(
        self, batch: dict[str, Any]
    ) -> None:
        """And each can be rendered: what is echoed is what was sent."""
        if _has_lone_surrogates(batch):
            return
        request = parse_batch(json.dumps(batch).encode(), 100, MAX_SIZE)
        expected: dict[str, int] = {}
        for member in batch["objects"]:
            expected.setdefault(member["oid"], member["size"])
        self.assertEqual(
            [(item.text, item.size) for item in request.objects], list(expected.items())
        )
        reply = json.loads(
            render_batch(
                BatchReply(
                    "basic",
                    [
                        ObjectReply.refused(item, item.error or NotFound("missing"))
                        for item in request.objects
                    ],
                )
            )
        )
        self.assertEqual(
            [(entry["oid"], entry["size"]) for entry in reply["objects"]], list(expected.items())
        )

    @given(_batches)
    def test_an_object_without_an_error_is_well_formed(self, batch: dict[str, Any]) -> None:
        if _has_lone_surrogates(batch):
            return
        for item in parse_batch(json.dumps(batch).encode(), 100, 1000).objects:
            if item.error is None:
                Oid.parse(item.text)
                self.assertGreaterEqual(item.size, 0)
            else:
                self.assertIn(item.error.code, (409, 413, 422))


class RenderTests(SynchronousTestCase):
    def test_a_reply_has_the_form_that_clients_read(self) -> None:
        wanted = RequestedObject("short", -1, {})
        upload = Action("https://x/y", {"Authorization": "Bearer z"}, 60)
        objects = [
            ObjectReply(A, 1, True, {"upload": upload}),
            ObjectReply(B, 2, True, {}),
            ObjectReply.refused(wanted, Unprocessable("why")),
        ]
        body = render_batch(BatchReply("basic", objects))
        self.assertEqual(
            json.loads(body),
            {
                "transfer": "basic",
                "hash_algo": "sha256",
                "objects": [
                    {
                        "oid": A,
                        "size": 1,
                        "authenticated": True,
                        "actions": {
                            "upload": {
                                "href": "https://x/y",
                                "header": {"Authorization": "Bearer z"},
                                "expires_in": 60,
                            }
                        },
                    },
                    {"oid": B, "size": 2, "authenticated": True, "actions": {}},
                    {"oid": "short", "size": -1, "error": {"code": 422, "message": "why"}},
                ],
            },
        )

    def test_an_action_without_a_lifetime_has_no_expiry(self) -> None:
        body = render_batch(
            BatchReply("basic", [ObjectReply(A, 1, True, {"upload": Action("https://x")})])
        )
        (entry,) = json.loads(body)["objects"]
        self.assertEqual(entry["actions"], {"upload": {"href": "https://x"}})

    def test_no_object_is_left_out_by_default_values(self) -> None:
        """An oid or a size that equals a default would otherwise vanish."""
        body = render_batch(BatchReply("basic", [ObjectReply("", 0)]))
        self.assertEqual(json.loads(body)["objects"], [{"oid": "", "size": 0}])
