"""Replies of servers of any make."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import Unprocessable
from giftless.lfs.replies import Answered, parse_reply

OID = "a" * 64

#: What JSON may hold.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def parse_one(entry: Any) -> Answered:
    """Read what a reply says of one object."""
    body = json.dumps({"objects": [{"oid": OID, "size": 5, **entry}]}).encode()
    return parse_reply(body, {OID: 5}, 1000.0).objects[0]


class ReplyTests(SynchronousTestCase):
    def test_expiries_of_all_makes_are_read(self) -> None:
        for members, expiry in (
            ({}, None),
            ({"expires_in": 60}, 1060.0),
            ({"expires_in": 60.5}, 1060.5),
            ({"expires_in": 0, "expires_at": "1970-01-01T01:00:00Z"}, 3600.0),
            ({"expires_at": "1970-01-01T01:00:00.5+01:00"}, 0.5),
            ({"expires_at": "0001-01-01T00:00:00Z"}, None),
            ({"expires_at": ""}, None),
            ({"expires_at": None, "expires_in": None, "header": None}, None),
        ):
            found = parse_one({"actions": {"download": {"href": "http://h/", **members}}})
            self.assertEqual(found.actions["download"].expires_at, expiry, members)

    def test_headers_that_would_be_two_are_refused(self) -> None:
        for header in ({"A": "b\r\nC: d"}, {"A b": "c"}, {"": "c"}, {"A": 7}, {"A": "ü"}, [1]):
            action = {"href": "http://h/", "header": header}
            self.assertEqual(parse_one({"actions": {"download": action}}).code, 502, header)

    def test_errors_are_told_in_one_line(self) -> None:
        found = parse_one({"error": {"code": 404, "message": "it is\nnot\x00 here"}})
        self.assertEqual((found.code, found.message), (404, "it is not\x00 here"))
        self.assertEqual(parse_one({"error": {"code": "404"}}).code, 500)
        self.assertEqual(parse_one({"error": 7}).code, 502)

    def test_other_hashes_are_refused(self) -> None:
        body = b'{"objects": [], "hash_algo": "sha512"}'
        self.assertRaises(Unprocessable, parse_reply, body, {}, 0.0)

    @given(JSON)
    def test_whatever_a_server_says_of_an_object_is_an_answer(self, entry: Any) -> None:
        body = json.dumps({"objects": [entry, {"oid": OID, "actions": entry}]}).encode()
        (found,) = parse_reply(body, {OID: 5}, 0.0).objects
        self.assertEqual(found.oid, OID)

    @given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
    def test_whatever_a_server_sends_is_read_or_refused(self, body: bytes) -> None:
        try:
            reply = parse_reply(body, {OID: 5}, 0.0)
        except Unprocessable:
            return
        self.assertEqual([each.oid for each in reply.objects], [OID])
