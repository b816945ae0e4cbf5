"""Errors as responses: every one of them, as the Git LFS API has them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless import errors
from giftless.errors import (
    InsufficientStorage,
    LFSError,
    MethodNotAllowed,
    RangeNotSatisfiable,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from giftless.web.errors import Challenge, error_body, error_response
from tests.support.making import oid_of
from tests.support.memory import MemoryStore
from tests.web.support import MEDIA_TYPE, FrontTestCase, Response, parse_response, storage_url

DATA = b"some bytes"
URL = storage_url(oid_of(DATA))


def every_error() -> list[LFSError]:
    """Return an error of every class that there is."""
    made: list[LFSError] = []
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, LFSError):
            if issubclass(value, MethodNotAllowed):
                made.append(value("use another", ("GET", "HEAD")))
            elif issubclass(value, RangeNotSatisfiable):
                made.append(value("too far", 10))
            elif issubclass(value, TooManyRequests):
                made.append(value("too often", 7))
            else:
                made.append(value("it is so"))
    return made


class RenderingTests(SynchronousTestCase):
    """Bytes and headers."""

    def test_the_body_has_message_and_request_id(self) -> None:
        body = error_body(LFSError('naïve "quotes"\n'), "abc")
        self.assertEqual(json.loads(body), {"message": 'naïve "quotes"\n', "request_id": "abc"})

    def test_response_without_a_request(self) -> None:
        for error in every_error():
            response, rest = parse_response(error_response(error, "abc"))
            self.assertEqual(rest, b"")
            self.assertEqual(response.status, error.code)
            self.assertEqual(response.json, {"message": error.message, "request_id": "abc"})
            self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
            self.assertEqual(response.headers["connection"], "close")
            for name, value in error.headers.items():
                self.assertEqual(response.headers[name.lower()], value)

    def challenge(self, challenge: Challenge) -> list[tuple[str, str]]:
        return list(challenge.headers(None, Unauthorized("the password is wrong")))

    def test_a_challenge_is_sent_in_both_headers(self) -> None:
        self.assertEqual(
            self.challenge(Challenge()),
            [
                ("LFS-Authenticate", 'Basic realm="Git LFS"'),
                ("WWW-Authenticate", 'Basic realm="Git LFS"'),
            ],
        )

    def test_challenge_that_browsers_ignore(self) -> None:
        self.assertEqual(
            self.challenge(Challenge("here", www_authenticate=False)),
            [("LFS-Authenticate", 'Basic realm="here"')],
        )

    def test_realm_cannot_end_its_quotes(self) -> None:
        self.assertEqual(
            self.challenge(Challenge('a"b\\', False)), [("LFS-Authenticate", 'Basic realm="ab"')]
        )

    def test_where_to_log_in_is_told_behind_the_other_challenge(self) -> None:
        log_in = Challenge(log_in=lambda request, error: f"Bearer {request} {error.message}")
        self.assertEqual(
            self.challenge(log_in)[1:],
            [
                ("WWW-Authenticate", 'Basic realm="Git LFS"'),
                ("WWW-Authenticate", "Bearer None the password is wrong"),
            ],
        )
        unsaid = Challenge(log_in=lambda request, error: None)
        self.assertEqual(self.challenge(unsaid), self.challenge(Challenge()))


class EveryErrorTests(FrontTestCase):
    """Whatever a part raises, the client is told in one way."""

    def response_to(self, error: Exception, method: str = "GET") -> Response:
        store = MemoryStore()
        store.failure = error
        self.serve(store=store)
        return self.request(method, URL)

    def test_every_error_has_its_status_and_message(self) -> None:
        for error in every_error():
            response = self.response_to(error)
            self.assert_error(response, error.code)
            self.assertEqual(response.json["message"], error.message)
            for name, value in error.headers.items():
                self.assertEqual(response.headers[name.lower()], value)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_answer_to_head_has_no_body(self) -> None:
        for error in every_error():
            response = self.response_to(error, "HEAD")
            self.assertEqual(response.status, error.code)
            self.assertEqual(response.body, b"")

    def test_throttling_is_told_in_whole_seconds(self) -> None:
        """Clients wait only for an integer."""
        for error in (TooManyRequests("wait", 3), ServiceUnavailable("wait", 3)):
            self.assertEqual(self.response_to(error).headers["retry-after"], "3")

    def test_a_full_storage_is_answered_with_507(self) -> None:
        store = MemoryStore()
        store.failure = InsufficientStorage("no room")
        self.serve(store=store)
        self.assert_error(self.request("PUT", URL, {}, DATA), 507)

    def test_names_beyond_ascii_in_a_message(self) -> None:
        """The length is that of the bytes."""
        self.serve()
        connection = self.connect()
        url = storage_url(oid_of(DATA), "/org/gr%c3%bc%c3%9fe")
        response = connection.request("GET", url)
        self.assert_error(response, 404)
        self.assertIn("org/grüße", response.json["message"])
        self.assertEqual(connection.received, b"")

    def test_request_ids_differ(self) -> None:
        self.serve()
        ids = {self.request("GET", URL).json["request_id"] for _ in range(20)}
        self.assertEqual(len(ids), 20)

    def test_challenge_of_the_site(self) -> None:
        self.serve(authenticators=[], challenge=Challenge("Tresor", www_authenticate=False))
        response: Any = self.request("GET", URL)
        self.assertEqual(response.headers["lfs-authenticate"], 'Basic realm="Tresor"')
        self.assertNotIn("www-authenticate", response.headers)
