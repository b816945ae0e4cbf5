"""Requests, packet by packet, and what they ask for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import (
    BadRequest,
    LFSError,
    Overloaded,
    PayloadTooLarge,
    Unprocessable,
)
from giftless.lfs.locks import MAX_LIMIT
from giftless.lfs.objects import MAX_SIZE, Operation
from giftless.lfs.ssh.pkt_lines import Mark
from giftless.lfs.ssh.requests import (
    LINE_BYTES,
    Request,
    RequestReader,
    parse_batch,
    parse_list,
    parse_lock,
    parse_object,
    parse_unlock,
    parse_version,
)
from tests.support.run import assert_kind

OID = "a1" * 32
OTHER = "b2" * 32


def read(*packets: bytes | Mark, max_bytes: int = 10_000) -> Request:
    """Read the only request."""
    reader = RequestReader(max_bytes)
    (request,) = filter(None, map(reader.add, packets))
    return request


def lines(*texts: str) -> list[bytes | Mark]:
    """Return lines as payloads."""
    return [f"{text}\n".encode() for text in texts]


class ReaderTests(SynchronousTestCase):
    def test_a_command_has_arguments_and_lines(self) -> None:
        packets = [*lines("batch", "transfer=ssh", "refname=a=b"), Mark.DELIM]
        request = read(*packets, *lines("one", "two"), Mark.FLUSH)
        self.assertEqual(request.command, "batch")
        self.assertEqual(request.arguments, {"transfer": "ssh", "refname": "a=b"})
        self.assertEqual(list(request.lines), ["one", "two"])
        self.assertFalse(request.has_body)

    def test_a_command_may_have_a_subject(self) -> None:
        request = read(*lines(f"get-object {OID}", "size=3"), Mark.FLUSH)
        self.assertEqual((request.command, request.subject), ("get-object", OID))

    def test_the_bytes_of_an_object_begin_at_the_delim(self) -> None:
        request = read(*lines(f"put-object {OID}", "size=3"), Mark.DELIM)
        self.assertTrue(request.has_body)
        self.assertFalse(read(*lines(f"put-object {OID}"), Mark.FLUSH).has_body)

    def test_the_first_of_two_arguments_counts(self) -> None:
        self.assertEqual(read(*lines("lock", "path=a", "path=b"), Mark.FLUSH).argument("path"), "a")

    def test_an_argument_need_not_have_a_value(self) -> None:
        request = read(*lines("list-lock", "force", "="), Mark.FLUSH)
        self.assertEqual(request.arguments, {"force": "", "": ""})
        self.assertEqual(request.argument("path"), "")

    def test_requests_follow_each_other(self) -> None:
        reader = RequestReader(10_000)
        found = [reader.add(it) for it in [*lines("batch"), Mark.DELIM, *lines("x"), Mark.FLUSH]]
        self.assertIsNotNone(found[-1])
        second = [reader.add(packet) for packet in [*lines("quit"), Mark.FLUSH]][-1]
        assert second is not None
        self.assertEqual((second.command, list(second.lines), second.problem), ("quit", [], None))

    def test_nothing_but_a_flush_is_no_command(self) -> None:
        self.assertEqual(read(Mark.FLUSH).command, "")
        self.assertEqual(read(Mark.DELIM, Mark.FLUSH).command, "")

    def assert_problem(self, request: Request, kind: type[LFSError]) -> None:
        """Check what is wrong with a request."""
        assert request.problem is not None
        assert_kind(self, request.problem, kind)

    def test_what_is_wrong_is_told_when_all_of_it_has_come(self) -> None:
        self.assert_problem(read(b"batch\n", b"\xff", *lines("x"), Mark.FLUSH), BadRequest)
        self.assert_problem(
            read(*lines("batch"), Mark.DELIM, *lines("x"), Mark.DELIM, Mark.FLUSH), BadRequest
        )

    def test_a_request_that_is_too_large_is_not_kept(self) -> None:
        reader = RequestReader(1000)
        reader.add(b"batch\n")
        reader.add(Mark.DELIM)
        for _ in range(100_000):
            self.assertIsNone(reader.add(b""))
        self.assertLess(len(reader._lines), 1000 / LINE_BYTES)
        request = reader.add(Mark.FLUSH)
        assert request is not None
        self.assert_problem(request, PayloadTooLarge)
        self.assertEqual(request.command, "batch")
        reader.add(b"quit")
        again = reader.add(Mark.FLUSH)
        assert again is not None
        self.assertIsNone(again.problem)

    def test_the_first_problem_is_told(self) -> None:
        reader = RequestReader(1000)
        reader.add(b"batch")
        reader.refuse(Overloaded("busy", 1))
        reader.add(b"\xff")
        request = reader.add(Mark.FLUSH)
        assert request is not None
        self.assert_problem(request, Overloaded)

    def test_what_is_wrong_with_an_upload_is_told_before_its_bytes(self) -> None:
        request = read(*lines(f"put-object {OID}"), b"\xff", Mark.DELIM)
        self.assertTrue(request.has_body)
        self.assert_problem(request, BadRequest)

    @given(st.lists(st.binary(max_size=40) | st.sampled_from(list(Mark)), max_size=30))
    def test_any_packets_are_requests(self, packets: list[bytes | Mark]) -> None:
        reader = RequestReader(500)
        for packet in packets:
            request = reader.add(packet)
            if request is not None:
                self.assertIn(packet, (Mark.FLUSH, Mark.DELIM))


class BatchTests(SynchronousTestCase):
    def parse(
        self, *objects: str, operation: str = "upload", most: int = 100, **arguments: str
    ) -> Any:
        """Parse a batch."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = Request("batch", arguments=given, lines=objects)
        return parse_batch(request, Operation(operation), most, 1000)

    def test_each_line_is_an_object(self) -> None:
        batch = self.parse(f"{OID} 3", f"{OTHER} 0")
        self.assertEqual(batch.operation, Operation.UPLOAD)
        self.assertEqual(
            [(it.oid, it.size, it.error) for it in batch.objects],
            [(OID, 3, None), (OTHER, 0, None)],
        )
        self.assertEqual(batch.transfers, ("ssh",))

    def test_what_else_stands_in_a_line_is_passed_over(self) -> None:
        batch = self.parse(f"{OID} 3 id=5 colour=blue", transfer="basic", refname="")
        self.assertEqual([it.size for it in batch.objects], [3])

    def test_an_object_that_makes_no_sense_is_refused_alone(self) -> None:
        batch = self.parse("../../etc 3", f"{OID} 3", f"{OTHER.upper()} 3")
        refused = [it.error for it in batch.objects]
        self.assertIsInstance(refused[0], Unprocessable)
        self.assertIsNone(refused[1])
        self.assertIsInstance(refused[2], Unprocessable)

    def test_an_object_with_two_sizes_is_refused(self) -> None:
        (item,) = self.parse(f"{OID} 3", f"{OID} 4").objects
        self.assertIsInstance(item.error, Unprocessable)

    def test_an_object_that_is_named_twice_is_one(self) -> None:
        self.assertEqual(len(self.parse(f"{OID} 3", f"{OID} 3").objects), 1)

    def test_a_large_object_cannot_be_uploaded(self) -> None:
        (item,) = self.parse(f"{OID} 1001").objects
        self.assertIsInstance(item.error, PayloadTooLarge)
        (item,) = self.parse(f"{OID} 1001", operation="download").objects
        self.assertIsNone(item.error)

    def test_another_hash_is_refused(self) -> None:
        (item,) = self.parse(f"{OID} 3", hash_algo="sha512").objects
        assert item.error is not None
        self.assertEqual(item.error.code, 409)
        (item,) = self.parse(f"{OID} 3", hash_algo="sha256").objects
        self.assertIsNone(item.error)

    def test_lines_without_an_oid_and_a_size_are_refused(self) -> None:
        for line in (
            "",
            OID,
            f"{OID} ",
            f"{OID} -1",
            f"{OID} 1.5",
            f"{OID}  3",
            " 3",
            "\t",
            f"{OID} \u0663",
            f"{OID} {'9' * 20}",
        ):
            with self.assertRaises(BadRequest, msg=line):
                self.parse(f"{OTHER} 1", line)

    def test_a_batch_has_as_many_objects_as_it_may(self) -> None:
        names = [f"{number:064x} 1" for number in range(4)]
        self.assertEqual(len(self.parse(*names, most=4).objects), 4)
        with self.assertRaises(PayloadTooLarge):
            self.parse(*names, most=3)
        with self.assertRaises(Unprocessable):
            self.parse()


class OtherRequestTests(SynchronousTestCase):
    def test_an_object_has_an_oid_and_a_size(self) -> None:
        wanted = parse_object(Request("put-object", OID, {"size": "3"}))
        self.assertEqual((wanted.oid, wanted.size), (OID, 3))

    def test_ids_and_tokens_are_not_needed(self) -> None:
        """git-lfs up to 3.4 never sends back what a batch has given out."""
        parse_object(Request("put-object", OID, {"size": "3", "id": "x", "token": "y"}))

    def test_any_other_oid_or_size_is_refused(self) -> None:
        for subject, size in (
            ("", "3"),
            (OID.upper(), "3"),
            (f"{OID} ", "3"),
            (f"../{OID[3:]}", "3"),
            (OID, ""),
            (OID, "-1"),
            (OID, "x"),
            (OID, "1e3"),
            (OID, str(MAX_SIZE + 1)),
            (OID, "9" * 5000),
        ):
            with self.assertRaises(BadRequest, msg=f"{subject} {size}"):
                parse_object(Request("put-object", subject, {"size": size}))

    def test_only_the_first_version_is_spoken(self) -> None:
        parse_version(Request("version", "1"))
        for version in ("", "2", "1.0", "01"):
            with self.assertRaises(BadRequest):
                parse_version(Request("version", version))

    def test_a_lock_is_for_a_path_that_can_be_locked(self) -> None:
        self.assertEqual(parse_lock(Request("lock", "", {"path": "a b/ü.psd"})), "a b/ü.psd")
        for path in ("", "/etc", "a/../b", "a\nb", "x" * 5000):
            with self.assertRaises(BadRequest, msg=path):
                parse_lock(Request("lock", "", {"path": path}))

    def test_a_list_may_have_a_cursor_and_a_limit(self) -> None:
        paging = parse_list(Request("list-lock", "", {"cursor": "c", "limit": "5"}))
        self.assertEqual((paging.cursor, paging.limit), ("c", 5))
        paging = parse_list(Request("list-lock", "", {"cursor": "", "limit": "0"}))
        self.assertEqual((paging.cursor, paging.limit), (None, None))
        paging = parse_list(Request("list-lock", "", {"limit": "9" * 50}))
        self.assertEqual(paging.limit, MAX_LIMIT)
        with self.assertRaises(BadRequest):
            parse_list(Request("list-lock", "", {"limit": "many"}))

    def test_a_lock_is_removed_by_its_id(self) -> None:
        self.assertEqual(parse_unlock(Request("unlock", "4f")), ("4f", False))
        self.assertEqual(parse_unlock(Request("unlock", "4f", {"force": "true"})), ("4f", True))
        with self.assertRaises(BadRequest):
            parse_unlock(Request("unlock"))
