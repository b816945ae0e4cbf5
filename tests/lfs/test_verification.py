"""Parsing the body of a verification."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.verification import Verification, parse_verification
from tests.support.making import oid_of
from tests.support.strategies import json_values


class VerificationTests(SynchronousTestCase):
    def test_oid_and_size_are_read(self) -> None:
        body = json.dumps({"oid": oid_of(b"abc"), "size": 3, "other": []}).encode()
        self.assertEqual(parse_verification(body), Verification(oid_of(b"abc"), 3))

    def test_what_is_malformed_is_400_and_never_422(self) -> None:
        """The stock client takes 422 on verify for success."""
        oid = oid_of(b"abc")
        for body in (
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"null",
            b'{"size": 3}',
            json.dumps({"oid": oid}).encode(),
            json.dumps({"oid": oid, "size": "3"}).encode(),
            json.dumps({"oid": oid, "size": 3.5}).encode(),
            json.dumps({"oid": oid, "size": True}).encode(),
            json.dumps({"oid": oid, "size": None}).encode(),
            json.dumps({"oid": oid[:7], "size": 3}).encode(),
            json.dumps({"oid": None, "size": 3}).encode(),
            b"[" * 100_000,
        ):
            error = self.assertRaises(BadRequest, parse_verification, body)
            self.assertEqual(error.code, 400)

    @given(st.one_of(st.binary(), json_values.map(lambda value: json.dumps(value).encode())))
    def test_any_body_is_a_verification_or_400(self, body: bytes) -> None:
        try:
            parse_verification(body)
        except BadRequest as error:
            self.assertTrue(error.message)
