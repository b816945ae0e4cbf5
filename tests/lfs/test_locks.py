"""The File Locking API as values: what is taken, and what is said."""

from __future__ import annotations

import json
import posixpath
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.locks import (
    MAX_LIMIT,
    MAX_PATH_BYTES,
    Lock,
    LockPage,
    LockQuery,
    Paging,
    PathLocked,
    parse_create,
    parse_paging,
    parse_unlock,
    parse_verify,
    path_problem,
    render_lock,
    render_page,
    render_verification,
)
from tests.support.making import repo_of
from tests.support.strategies import json_values

LOCK = Lock("abc-1", repo_of(), "art/ü.psd", "Ölga", 1_700_000_000)

WIRE = {
    "id": "abc-1",
    "path": "art/ü.psd",
    "locked_at": "2023-11-14T22:13:20Z",
    "owner": {"name": "Ölga"},
}

NAME_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/")

#: Every shape in which clients send the ref.
REFS: tuple[Any, ...] = (
    {},
    {"ref": None},
    {"ref": {}},
    {"ref": {"name": None}},
    {"ref": {"name": ""}},
    {"ref": {"name": "refs/heads/main"}},
    {"ref": {"name": "HEAD", "more": 1}},
    {"ref": [{"name": "refs/heads/main"}]},
    {"ref": []},
    {"ref": {"name": 1}},
    {"ref": "main"},
    {"ref": False},
)


def body(value: Any) -> bytes:
    """Write JSON."""
    return json.dumps(value).encode()


class PathTests(SynchronousTestCase):
    """Which paths can be locked."""

    def test_paths_inside_the_repository_can_be_locked(self) -> None:
        for path in (
            "a",
            "a/b/c.psd",
            "...",
            "a/..b/c..",
            ".gitattributes",
            "a b",
            "a\\b",
            "C:/x",
            "~/x",
            "-",
            "ü/\u0301",
            "\u202e",
            "%2e%2e/%2f",
            "a?b#c",
            "\U0001f600",
            "x" * MAX_PATH_BYTES,
        ):
            self.assertIsNone(path_problem(path), path)

    def test_other_paths_cannot_be_locked(self) -> None:
        for path in (
            "",
            "/",
            "/a",
            "//a",
            "a/",
            "a//b",
            ".",
            "..",
            "./a",
            "../a",
            "a/..",
            "a/../b",
            "a/./b",
            "a\x00",
            "\n",
            "a\x7f",
            "a\x85b",
            "\ud800",
            "x" * (MAX_PATH_BYTES + 1),
            "é" * (MAX_PATH_BYTES // 2) + "x",
        ):
            self.assertIsNotNone(path_problem(path), repr(path))
            if "\ud800" not in path:
                self.assertRaises(BadRequest, parse_create, body({"path": path}))

    @given(st.text(st.sampled_from("aaaa../\\\x00\ud800é ")))
    def test_what_is_taken_stays_inside(self, path: str) -> None:
        """It is what normalising it gives, below whatever root, and fits into UTF-8."""
        if path_problem(path) is not None:
            return
        self.assertEqual(posixpath.normpath(path), path)
        self.assertEqual(posixpath.relpath(posixpath.join("/root", path), "/root"), path)
        self.assertFalse(path.startswith("..") and path.split("/")[0] == "..")
        self.assertEqual(path.encode().decode(), path)

    @given(st.text(NAME_CHARACTERS, min_size=1))
    def test_names_are_taken_whatever_they_are(self, name: str) -> None:
        assume(name not in (".", ".."))
        self.assertIsNone(path_problem(f"folder/{name}"))
        self.assertEqual(parse_create(body({"path": f"folder/{name}"})), f"folder/{name}")


class RequestTests(SynchronousTestCase):
    """Bodies and parameters."""

    def test_a_ref_is_taken_in_every_shape(self) -> None:
        """It is taken in every shape, and means nothing."""
        for ref in REFS:
            self.assertEqual(parse_create(body({"path": "a", **ref})), "a")
            self.assertEqual(parse_verify(body(ref)), Paging(None, None))
            self.assertIs(parse_unlock(body(ref)), False)

    def test_a_request_for_a_lock_needs_a_path(self) -> None:
        value: Any
        for value in ({}, {"path": None}, {"path": 1}, {"path": ["a"]}, [], "a", None, 1):
            self.assertRaises(BadRequest, parse_create, body(value))
        for text in (b"", b"{", b'{"path": "\\ud800"}', b'{"path": "\xff"}', b"[" * 100_000):
            self.assertRaises(BadRequest, parse_create, text)

    def test_a_request_to_unlock_may_use_force(self) -> None:
        for text, expected in (
            (b"", False),
            (b"{}", False),
            (b'{"force": false}', False),
            (b'{"force": null}', False),
            (b'{"force": true}', True),
        ):
            self.assertIs(parse_unlock(text), expected)
        value: Any
        for value in ({"force": "true"}, {"force": 1}, [], True):
            self.assertRaises(BadRequest, parse_unlock, body(value))

    def test_a_verification_may_ask_for_a_page(self) -> None:
        for value, expected in (
            ({"cursor": "", "limit": 0}, Paging(None, None)),
            ({"cursor": None, "limit": None}, Paging(None, None)),
            ({"cursor": "x", "limit": 7}, Paging("x", 7)),
            ({"limit": 10**9}, Paging(None, MAX_LIMIT)),
        ):
            self.assertEqual(parse_verify(body(value)), expected)
        self.assertEqual(parse_verify(b""), Paging(None, None))
        limit: Any
        for limit in (-1, "7", 1.5, True, []):
            self.assertRaises(BadRequest, parse_verify, body({"limit": limit}))
        wrong: Any
        for wrong in ({"cursor": 1}, [], "x"):
            self.assertRaises(BadRequest, parse_verify, body(wrong))

    def test_a_limit_is_a_number_and_has_a_bound(self) -> None:
        for limit, expected in (
            (None, None),
            ("", None),
            ("0", None),
            ("1", 1),
            ("+7", 7),
            ("007", 7),
            (str(MAX_LIMIT), MAX_LIMIT),
            (str(MAX_LIMIT + 1), MAX_LIMIT),
            ("9" * 10_000, MAX_LIMIT),
        ):
            self.assertEqual(parse_paging("", limit), Paging(None, expected), limit)
        for limit in ("-1", "x", "1.5", "1e3", " 1", "1 ", "\u0661", "--1", "+", "-" + "9" * 9999):
            self.assertRaises(BadRequest, parse_paging, None, limit)
        self.assertEqual(parse_paging("c", None), Paging("c", None))

    @given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
    @example(b'{"limit": 1' + b"0" * 400 + b"}")
    @example(b'{"limit": -1' + b"0" * 400 + b"}")
    def test_any_body_is_understood_or_refused(self, text: bytes) -> None:
        """Whatever comes is understood or refused."""
        for parse in (parse_create, parse_verify, parse_unlock):
            try:
                parse(text)
            except BadRequest as error:
                self.assertTrue(error.message)

    @given(st.none() | st.text(), st.none() | st.text())
    def test_any_parameters_are_understood_or_refused(
        self, cursor: str | None, limit: str | None
    ) -> None:
        try:
            paging = parse_paging(cursor, limit)
        except BadRequest:
            return
        self.assertTrue(paging.limit is None or 1 <= paging.limit <= MAX_LIMIT)

    def test_what_can_be_looked_for(self) -> None:
        """A store is not asked for what cannot be there."""
        for query in ({}, {"path": "a"}, {"id": "a.B_1~-"}, {"id": "x" * 128}):
            self.assertTrue(LockQuery(1, **dict[str, Any](query)).satisfiable)
        for query in (
            {"path": "../a"},
            {"path": ""},
            {"path": "a\x00"},
            {"id": ""},
            {"id": "a/b"},
            {"id": "a b"},
            {"id": "\x00"},
            {"id": "é"},
            {"id": "x" * 129},
            {"id": "x\n"},
            {"path": "a", "id": "?"},
        ):
            self.assertFalse(LockQuery(1, **dict[str, Any](query)).satisfiable)


class ReplyTests(SynchronousTestCase):
    """What clients are told."""

    def test_a_lock_is_rendered_for_clients(self) -> None:
        self.assertEqual(json.loads(render_lock(LOCK)), {"lock": WIRE})

    def test_a_page_names_a_cursor_only_if_there_is_more(self) -> None:
        """A cursor is there if there is more; a list is there even if it is empty."""
        self.assertEqual(json.loads(render_page(LockPage())), {"locks": []})
        self.assertEqual(
            json.loads(render_page(LockPage((LOCK,), "c"))), {"locks": [WIRE], "next_cursor": "c"}
        )

    def test_a_verification_has_both_lists(self) -> None:
        self.assertEqual(json.loads(render_verification([], [], None)), {"ours": [], "theirs": []})
        self.assertEqual(
            json.loads(render_verification([LOCK], [LOCK, LOCK], "c")),
            {"ours": [WIRE], "theirs": [WIRE, WIRE], "next_cursor": "c"},
        )

    def test_a_conflict_says_who_holds_the_lock(self) -> None:
        """The message, which is all that the client shows, says who and since when."""
        error = PathLocked.by(LOCK)
        self.assertEqual(error.code, 409)
        for word in ("art/ü.psd", "Ölga", "2023-11-14T22:13:20Z", "abc-1"):
            self.assertIn(word, error.message)
        self.assertEqual(msgspec.to_builtins(error.members), {"lock": WIRE})

    @given(st.integers(0, 253_402_300_799))
    def test_the_time_of_a_lock_is_rfc_3339(self, seconds: int) -> None:
        """It is RFC 3339, to the second."""
        text = Lock("i", repo_of(), "p", "o", seconds).time
        self.assertEqual(datetime.fromisoformat(text), datetime.fromtimestamp(seconds, UTC))
        self.assertEqual(len(text), 20)
