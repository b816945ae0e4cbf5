"""What the admin endpoints answer."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.tally import Tally
from giftless.runtime.admin.doctor import LOOK_INTERVAL, REPORT_TIMEOUT, Doctor
from giftless.runtime.admin.exposition import Exposition, Facts
from giftless.runtime.admin.site import (
    MAX_CONNECTIONS,
    AdminSite,
)
from giftless.runtime.questions import Unanswered
from tests.runtime.admin.support import reporter


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.alive = True
        self.asked: list[Deferred[bytes] | None] = []
        self.worker: Any = Deferred
        self.doctor = Doctor(self.ask, self.clock)
        facts = lambda: Facts({}, [], 0, 0, {}, self.doctor.last)  # noqa: E731
        tally = Tally()
        overview = reporter(self.clock, tally, self.doctor).look
        exposition = Exposition(tally.sums, facts)
        self.site = AdminSite(exposition, self.doctor, lambda: self.alive, overview, self.clock)

    def ask(self, name: str, patience: float) -> Deferred[bytes] | None:
        self.assertEqual((name, patience), ("health", REPORT_TIMEOUT))
        self.asked.append(answer := self.worker())
        return answer

    def send(self, request: bytes) -> StringTransport:
        """Send bytes on a new connection."""
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        self.channel = channel
        channel.dataReceived(request)
        return transport

    def get(self, path: str, method: str = "GET") -> StringTransport:
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def read(self, transport: StringTransport) -> tuple[int, dict[str, str], bytes]:
        """Return a response's status, headers and body."""
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    def answer(self, path: str) -> tuple[int, Any]:
        """Return the status and the JSON of a response."""
        status, _, body = self.read(self.get(path))
        return status, json.loads(body)

    def test_metrics_are_told_in_prometheus_format(self) -> None:
        status, headers, body = self.read(self.get("/metrics"))
        self.assertEqual(status, 200)
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertIn(b"giftless_build_info{", body)

    def test_it_is_alive_while_a_worker_answers(self) -> None:
        self.assertEqual(self.answer("/health/live"), (200, {"status": "alive"}))
        self.alive = False
        self.assertEqual(
            self.answer("/health/live"), (503, {"status": "no worker serves and answers"})
        )

    def test_the_overview_is_told_as_json(self) -> None:
        status, overview = self.answer("/overview.json")
        self.assertEqual((status, overview["url"]), (200, "https://lfs.example"))

    def ready(self, report: bytes) -> tuple[int, Any]:
        """Ask whether it is ready; the worker answers this."""
        transport = self.get("/health/ready")
        waiting = self.asked[-1]
        assert waiting is not None
        waiting.callback(report)
        status, _, body = self.read(transport)
        return status, json.loads(body)

    def test_it_is_ready_if_the_worker_says_so(self) -> None:
        self.assertEqual(
            self.ready(b'{"problems":{"store":"","locks":""},"free_bytes":5}'),
            (200, {"status": "ready", "parts": {"store": "well", "locks": "well"}}),
        )

    def test_the_reason_is_told_if_it_is_not(self) -> None:
        self.assertEqual(
            self.ready(b'{"problems":{"store":"the disk is full"}}'),
            (503, {"status": "not ready", "parts": {"store": "the disk is full"}}),
        )

    def test_a_worker_that_does_not_answer_makes_it_not_ready(self) -> None:
        self.worker = lambda: fail(Unanswered("has not answered in time"))
        self.assertEqual(
            self.answer("/health/ready"),
            (
                503,
                {"status": "not ready", "parts": {"workers": "a worker has not answered in time"}},
            ),
        )

    def test_without_a_worker_it_is_not_ready(self) -> None:
        for worker, words in (
            (lambda: None, "no worker serves and answers"),
            (lambda: succeed(b"[1]"), "a worker says what this version does not know"),
        ):
            self.worker = worker
            self.assertEqual(
                self.answer("/health/ready"),
                (503, {"status": "not ready", "parts": {"workers": words}}),
            )

    def test_an_answer_that_makes_no_sense_is_not_ready(self) -> None:
        self.assertEqual(self.ready(b"[1")[0], 503)

    def test_a_client_that_leaves_disturbs_nobody(self) -> None:
        self.get("/health/ready")
        self.channel.connectionLost(Failure(ConnectionDone()))
        waiting = self.asked[-1]
        assert waiting is not None
        waiting.callback(b"{}")
        self.assertTrue(self.doctor.last)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_head_has_no_body(self) -> None:
        for path in ("/metrics", "/health/live"):
            status, _, body = self.read(self.get(path, "HEAD"))
            self.assertEqual((status, body), (200, b""))
        transport = self.get("/health/ready", "HEAD")
        waiting = self.asked[-1]
        assert waiting is not None
        waiting.errback(Unanswered("has not answered in time"))
        self.assertEqual(self.read(transport)[::2], (503, b""))

    def test_metrics_have_the_health_looked_at_now_and_then(self) -> None:
        for _ in range(3):
            self.get("/metrics")
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(LOOK_INTERVAL)
        self.get("/metrics")
        self.assertEqual(len(self.asked), 2)

    def test_nothing_else_is_there_and_nothing_can_be_changed(self) -> None:
        for path in ("/", "/metrics/x", "/health", "/org/repo/objects/batch"):
            self.assertEqual(self.read(self.get(path))[0], 404)
        for method in ("POST", "PUT", "DELETE"):
            self.assertIn(self.read(self.get("/metrics", method))[0], (405, 501))

    def test_a_body_is_not_kept(self) -> None:
        """twisted.web would keep it in memory, or in a file if it is large."""
        self.send(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        (request,) = self.channel._channel.requests
        for _ in range(100):
            self.channel.dataReceived(b"x" * 10_000)
        self.assertEqual(request.content.read(), b"")
        self.assertEqual(request.content.tell(), 0)

    def test_connections_are_bounded(self) -> None:
        channels = [self.site.buildProtocol(None) for _ in range(MAX_CONNECTIONS)]
        self.assertIsNone(self.site.buildProtocol(None))
        channels[0].makeConnection(StringTransport())
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.site.buildProtocol(None))
        self.assertIsNone(self.site.buildProtocol(None))
