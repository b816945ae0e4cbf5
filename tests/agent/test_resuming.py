"""Uploads that are resumed, to a real server that fails in many ways."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.agent import retrying
from giftless.agent.errors import TransferError
from giftless.agent.http import Client
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Upload
from giftless.agent.slots import Slots
from giftless.agent.uploading import Uploader
from giftless.agent.workers import Workers
from giftless.base.git_settings import Settings
from tests.agent.resuming_server import UPLOAD, ResumingServer
from tests.agent.server import Answer, Asked, Fault, failing

KIB = 1024
DATA = os.urandom(900 * KIB + 7)


def first(method: str, answer: Answer | None, count: int = 1) -> Fault:
    """Make the first requests of a method fail.

    :param answer: what they get; ``None``: nothing, the connection is cut.
    :param count: so many of them.
    """
    return failing(count, lambda asked: asked.method == method, answer)


class ResumingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(retrying, "FIRST_PAUSE", 0.001)
        self.patch(retrying, "LONGEST_PAUSE", 0.002)
        self.file = Path(self.mktemp())
        self.file.write_bytes(DATA)
        self.slots = Path(self.mktemp())
        self.serve()

    def serve(self) -> None:
        """Begin anew with another server."""
        self.server = ResumingServer(self, DATA)
        self.reports: list[int] = []

    def upload(self) -> None:
        request = Upload(self.server.oid, len(DATA), str(self.file))
        progress = Progress(len(DATA), lambda count, since: self.reports.append(count))
        Uploader(
            request,
            Action(f"{self.server.http.url}/parts", {"Authorization": "Bearer token"}),
            Client(1, lambda url: Settings(proxy="")),
            Workers(1, Slots(self.slots, 0)),
            progress,
        ).run()
        progress.close(complete=True)

    def refused(self) -> TransferError:
        """Upload, which must fail."""
        error: TransferError = self.assertRaises(TransferError, self.upload)
        self.assertIsNone(self.server.stored)
        return error

    def asked(self) -> list[str]:
        """Return the methods of all requests, in order."""
        return [asked.method for asked in self.server.http.asked]

    def assert_stored(self, *methods: str) -> None:
        """Check that the object is there.

        :param methods: of the requests that it took; none: however many.
        """
        self.assertEqual(self.server.stored, DATA)
        if methods:
            self.assertEqual(self.asked(), list(methods))
        self.assertEqual(self.reports[-1], len(DATA))
        self.assertEqual(self.reports, sorted(set(self.reports)))

    def test_it_asks_how_far_it_is_and_sends_the_rest(self) -> None:
        self.upload()
        self.assert_stored("POST", "HEAD", "PATCH")
        self.assertEqual(self.server.http.paths("PATCH"), [UPLOAD])
        headers = self.server.http.asked[-1].headers
        self.assertEqual(headers["content-type"], "application/offset+octet-stream")
        self.assertEqual(headers["content-length"], str(len(DATA)))

    def test_it_goes_on_where_the_connection_broke(self) -> None:
        """However often, as long as some bytes come each time; none is sent twice."""
        self.server.breaks.extend([100 * KIB, 1, *[20 * KIB] * 20])
        self.upload()
        self.assert_stored()
        self.assertEqual(len(self.server.sent), 23)
        self.assertEqual(sum(count for _, count in self.server.sent), len(DATA))

    def test_it_goes_on_where_an_earlier_push_ended(self) -> None:
        self.server.received = DATA[: 500 * KIB]
        self.upload()
        self.assert_stored("POST", "HEAD", "PATCH")
        self.assertEqual(self.server.sent, [(500 * KIB, len(DATA) - 500 * KIB)])
        self.assertGreaterEqual(self.reports[0], 500 * KIB)

    def test_an_upload_that_is_full_is_done(self) -> None:
        """Somebody else has sent the object since the server was asked."""

        def fault(asked: Asked) -> None:
            if asked.method == "HEAD":
                self.server.stored = DATA

        self.server.fault = fault
        self.upload()
        self.assert_stored("POST", "HEAD")

    def test_an_answer_that_was_lost_is_asked_for(self) -> None:
        """The server had all bytes when the connection broke."""
        self.server.breaks.append(len(DATA))

        def fault(asked: Asked) -> None:
            if self.server.received == DATA:
                self.server.stored = DATA

        self.server.fault = fault
        self.upload()
        self.assert_stored("POST", "HEAD", "PATCH", "HEAD")

    def test_what_may_pass_is_tried_again(self) -> None:
        for answer in (
            *map(Answer, (408, 409, 500, 502, 503)),
            Answer(429, headers={"Retry-After": "0"}),
            Answer(503, interim=(102, 102)),
            None,
        ):
            for method, asked in (
                ("HEAD", ["HEAD", "HEAD", "HEAD", "PATCH"]),
                ("PATCH", ["HEAD", "PATCH"] * 3),
            ):
                self.serve()
                self.server.fault = first(method, answer, 2)
                self.upload()
                self.assert_stored("POST", *asked)

    def test_what_always_fails_is_given_up(self) -> None:
        for method in ("HEAD", "PATCH"):
            self.serve()
            self.server.fault = first(method, Answer(500, b'{"message": "broken"}'), 99)
            self.assertIn("500", error := self.refused().message)
            self.assertIn("; tried 8 times", error)
            self.assertEqual(self.asked().count(method), 8)

    def test_after_a_refusal_the_server_is_asked_for_another_way(self) -> None:
        """The permission has expired, or a proxy lets nothing but the usual through."""
        for status in (400, 401, 403, 404, 405, 410, 412, 415, 501):
            for method in ("HEAD", "PATCH"):
                self.serve()
                self.server.fault = first(method, Answer(status), 99)
                self.upload()
                resuming = ["HEAD"] if method == "HEAD" else ["HEAD", "PATCH"]
                self.assert_stored("POST", *resuming, "POST", "PUT")

    def test_a_push_that_took_too_long_has_to_be_made_again(self) -> None:
        """Nothing that was made for it is good any more; git-lfs asks for a new batch then."""

        def fault(asked: Asked) -> Answer | None:
            if self.server.received:
                return Answer(403, b'{"message": "this action has expired"}')
            return None

        self.server.breaks.append(KIB)
        self.server.fault = fault
        error = self.refused()
        self.assertEqual(error.code, 403)
        self.assertIn("expired; if this push took very long, push again", error.message)
        self.assertEqual(self.asked(), ["POST", "HEAD", "PATCH", "HEAD", "POST"])

    def test_wrong_bytes_of_somebody_else_are_replaced(self) -> None:
        self.server.received = b"wrong"
        self.upload()
        self.assert_stored("POST", "HEAD", "PATCH", "POST", "PUT")

    def test_refused_for_good(self) -> None:
        """What cannot get better fails at once, with the server's words."""
        for status in (413, 422, 507):
            self.serve()
            self.server.fault = first("PATCH", Answer(status, b'{"message": "it is full"}'))
            error = self.refused()
            self.assertEqual(error.code, status)
            self.assertIn("it is full", error.message)
            self.assertEqual(self.asked(), ["POST", "HEAD", "PATCH"])

    def test_another_protocol_or_a_redirection_is_no_success(self) -> None:
        for status in (101, 302, 307):
            self.serve()
            headers = {"Location": "/elsewhere", "Upload-Offset": str(len(DATA))}
            self.server.fault = first("PATCH", Answer(status, headers=headers))
            self.assertEqual(self.refused().code, status)

    def test_the_server_has_to_say_how_far_it_is(self) -> None:
        for offset in (None, "", "x", "-1", "1e3", "\u00b2", str(len(DATA) + 1), "9" * 5000):
            for method in ("HEAD", "PATCH"):
                self.serve()
                headers = {} if offset is None else {"Upload-Offset": offset}
                self.server.fault = first(method, Answer(200, headers=headers))
                self.assertIn("does not say how far", self.refused().message)

    def test_a_server_that_takes_less_is_sent_the_rest(self) -> None:
        """As long as it takes any."""

        def taking(count: int) -> Callable[[Asked], Answer | None]:
            def fault(asked: Asked) -> Answer | None:
                offset = len(self.server.received) + count
                if asked.method != "PATCH" or offset >= len(DATA):
                    return None
                self.server.received += asked.body[:count]
                return Answer(204, headers={"Upload-Offset": str(offset)})

            return fault

        self.server.fault = taking(90 * KIB)
        self.upload()
        self.assert_stored()
        self.serve()
        self.server.fault = taking(0)
        self.assertIn("up to 0 only; tried 8 times", self.refused().message)

    def test_a_missing_or_shorter_file_is_named(self) -> None:
        self.file.write_bytes(DATA[:-1])
        self.assertIn("shorter", self.refused().message)
        self.file.unlink()
        self.assertIn("No such file", self.refused().message)
