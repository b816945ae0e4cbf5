"""Uploads to a real server that fails in many ways."""

from __future__ import annotations

import itertools
import os
import threading
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
from tests.agent.server import Answer, Asked, Fault, PartServer, failing

KIB = 1024

#: An object of ten parts, the last of which is short, and the parts' size.
DATA = os.urandom(9 * 100 * KIB + 7)
PART_SIZE = 100 * KIB


def times(count: int, path: str, answer: Answer | None) -> Fault:
    """Make the first requests for a path fail.

    :param count: so many of them.
    :param answer: what they get; ``None``: nothing, the connection is cut.
    """
    return failing(count, lambda asked: asked.path == path, answer)


class UploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(retrying, "FIRST_PAUSE", 0.001)
        self.patch(retrying, "LONGEST_PAUSE", 0.002)
        self.file = Path(self.mktemp())
        self.file.write_bytes(DATA)
        self.server = PartServer(self, DATA, PART_SIZE)
        self.reports: list[int] = []

    def upload(self, connections: int = 4, path: str = "/parts") -> None:
        request = Upload(self.server.oid, len(DATA), str(self.file))
        progress = Progress(len(DATA), lambda count, since: self.reports.append(count))
        Uploader(
            request,
            Action(f"{self.server.http.url}{path}", {"Authorization": "Bearer token"}),
            Client(connections, lambda url: Settings(proxy="")),
            Workers(connections, Slots(Path(self.mktemp()), connections - 1)),
            progress,
        ).run()
        progress.close(complete=True)

    def refused(self) -> TransferError:
        """Upload, which must fail."""
        error: TransferError = self.assertRaises(TransferError, self.upload)
        self.assertIsNone(self.server.stored)
        return error

    def assert_stored(self, sent: list[int]) -> None:
        """Check that the object is there, and which parts were sent for that."""
        self.assertEqual(self.server.stored, DATA)
        self.assertEqual(self.server.sent, sorted(sent))
        self.assertEqual(self.reports[-1], len(DATA))
        self.assertEqual(self.reports, sorted(set(self.reports)))

    def test_each_part_is_sent_once(self) -> None:
        """Each part is sent once, several at a time, and then committed."""
        # The first four that come wait for each other.
        together = threading.Barrier(4)
        arrivals = itertools.count()

        def fault(asked: Asked) -> None:
            if asked.method == "PUT" and next(arrivals) < 4:
                together.wait(30)

        self.server.fault = fault
        self.upload()
        self.assert_stored([*range(1, 11)])
        self.assertEqual(self.server.http.most, 4)
        self.assertEqual(self.server.http.paths("POST"), ["/parts", "/parts/commit"])
        put = next(asked for asked in self.server.http.asked if asked.method == "PUT")
        self.assertEqual(put.headers["content-type"], "application/octet-stream")
        self.assertNotIn("transfer-encoding", put.headers)

    def test_a_part_that_is_still_checked_has_not_arrived(self) -> None:
        """What counts is the answer behind ``102 Processing``."""
        for status in (503, 400):
            self.server.fault = times(1, "/parts/3", Answer(status, interim=(102, 102)))
            self.server.parts.clear()
            self.upload()
            self.assertEqual(self.server.stored, DATA)
            self.server.stored = None

    def test_a_commit_that_fails_after_a_while_is_no_success(self) -> None:
        """The server removes what is damaged: so the push must fail."""
        self.server.fault = lambda asked: (
            Answer(422, b'{"message": "damaged"}', interim=(102,))
            if asked.path == "/parts/commit"
            else None
        )
        self.assertIn("damaged", self.refused().message)

    def test_another_protocol_is_no_success(self) -> None:
        for path in ("/parts", "/parts/2", "/parts/commit"):
            self.server.fault = lambda asked, path=path: (  # type: ignore[misc]
                Answer(101) if asked.path == path else None
            )
            self.refused()

    def test_parts_go_in_chunks_if_the_server_wants_that(self) -> None:
        """There is no length beside them then, and a part that fails goes again."""
        self.server.header = {"transfer-encoding": "chunked"}
        self.server.fault = times(1, "/parts/3", Answer(503))
        self.upload()
        self.assert_stored([3, *range(1, 11)])
        for asked in self.server.http.asked:
            chunked = asked.method == "PUT"
            self.assertEqual("transfer-encoding" in asked.headers, chunked)
            self.assertEqual("content-length" in asked.headers, not chunked)

    def test_one_connection_is_enough(self) -> None:
        """It works over one connection too."""
        self.upload(connections=1)
        self.assert_stored([*range(1, 11)])
        self.assertEqual(self.server.http.most, 1)

    def test_only_what_is_missing(self) -> None:
        """What an earlier attempt has sent counts at once and is not sent again."""
        for number in (1, 2, 4):
            start = (number - 1) * PART_SIZE
            self.server.parts[number] = DATA[start : start + PART_SIZE]
        self.upload()
        self.assert_stored([3, 5, 6, 7, 8, 9, 10])
        self.assertGreaterEqual(self.reports[0], 3 * PART_SIZE)

    def test_a_present_object_is_not_sent(self) -> None:
        """An object that the server has got meanwhile is not sent."""
        self.server.stored = DATA
        self.upload()
        self.assert_stored([])

    def test_only_the_commit_is_missing(self) -> None:
        """If all parts are there, they are committed."""
        for number in range(10):
            self.server.parts[number + 1] = DATA[number * PART_SIZE :][:PART_SIZE]
        self.upload()
        self.assert_stored([])

    def test_only_the_failed_part_is_sent_again(self) -> None:
        """A part that fails for a while is sent again, and no other."""
        for answer in (
            Answer(500),
            Answer(502, b"<html>bad gateway</html>"),
            Answer(503, b"<Error><Code>SlowDown</Code></Error>"),
            Answer(408),
            Answer(429, headers={"Retry-After": "0"}),
            None,
        ):
            self.server = PartServer(self, DATA, PART_SIZE)
            self.reports.clear()
            self.server.fault = times(3, "/parts/5", answer)
            self.upload()
            self.assert_stored([5, 5, 5, *range(1, 11)])

    def test_failures_of_steps(self) -> None:
        """The question and the commit are tried again too."""
        for path in ("/parts", "/parts/commit"):
            self.server = PartServer(self, DATA, PART_SIZE)
            self.server.fault = times(3, path, None)
            self.upload()
            self.assert_stored([*range(1, 11)])
            self.reports.clear()

    def test_a_refused_part_gets_a_new_plan(self) -> None:
        """When a part is refused, the server is asked again, and only the rest is sent."""
        for status in (400, 403, 404, 409, 410):
            self.server = PartServer(self, DATA, PART_SIZE)
            self.reports.clear()
            self.server.fault = times(1, "/parts/5", Answer(status))
            self.upload()
            self.assert_stored([5, *range(1, 11)])
            self.assertEqual(self.server.http.paths("POST"), ["/parts"] * 2 + ["/parts/commit"])

    def test_expired_parts_get_a_new_plan(self) -> None:
        """Parts whose time is over are not even tried; the server is asked again."""
        self.server.expires_in = 1
        self.server.fault = self._extend
        self.upload()
        self.assert_stored([*range(1, 11)])
        self.assertEqual(self.server.http.paths("POST"), ["/parts"] * 2 + ["/parts/commit"])

    def _extend(self, asked: Asked) -> None:
        if len(self.server.http.paths("POST")) == 2:
            self.server.expires_in = 3600

    def test_a_part_lost_before_the_commit_is_sent_again(self) -> None:
        """A part that is lost before the commit is sent again."""

        def fault(asked: Asked) -> None:
            if asked.path == "/parts/commit" and len(self.server.sent) == 10:
                del self.server.parts[7]

        self.server.fault = fault
        self.upload()
        self.assert_stored([7, *range(1, 11)])

    def test_commit_always_refused(self) -> None:
        """It is not tried for ever, and the server's reason is told."""
        self.server.fault = lambda asked: (
            Answer(409, b'{"message": "part 3 is missing"}')
            if asked.path == "/parts/commit"
            else None
        )
        self.assertIn("409 part 3 is missing; tried 8 times", self.refused().message)

    def test_refused_for_good(self) -> None:
        """What cannot get better fails at once, with the server's words."""
        for path, status, words in (
            ("/parts", 403, "push again"),
            ("/parts", 404, "there is no such"),
            ("/parts/5", 507, "full"),
            ("/parts/5", 413, "too large"),
            ("/parts/commit", 422, "cannot be"),
        ):
            self.server = PartServer(self, DATA, PART_SIZE)
            self.server.fault = times(
                1, path, Answer(status, b'{"message": "%s"}' % words.encode())
            )
            error = self.refused()
            self.assertEqual(error.code, status)
            self.assertIn(words, error.message)
            self.assertEqual(self.server.http.paths("POST").count("/parts"), 1)

    def test_a_part_that_always_fails_is_given_up(self) -> None:
        """A part that always fails ends the transfer."""
        self.server.fault = times(99, "/parts/5", Answer(500, b'{"message": "broken"}'))
        self.assertIn("500 broken; tried 8 times", self.refused().message)
        self.assertEqual(self.server.sent.count(5), 8)

    def test_a_redirected_part_is_an_error(self) -> None:
        """A redirection of a part is an error: nobody knows whom it would go to."""
        elsewhere = {"Location": f"{self.server.http.url}/parts/1"}
        self.server.fault = times(1, "/parts/5", Answer(307, headers=elsewhere))
        self.assertEqual(self.refused().code, 307)

    def test_an_answer_without_a_plan_fails(self) -> None:
        """An answer that is no plan fails."""
        self.server.fault = times(1, "/parts", Answer(200, b"<html>"))
        self.assertIn("no list of parts", self.refused().message)

    def test_a_missing_or_shorter_file_is_named(self) -> None:
        """A file that is gone, or became shorter, is an error that says so."""
        self.file.write_bytes(DATA[:-1])
        self.assertIn("shorter", self.refused().message)
        self.file.unlink()
        self.assertIn("No such file", self.refused().message)
