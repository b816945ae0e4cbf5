"""What the admin endpoints answer."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.pages import notFound

from giftless.base.metrics.tally import Tally
from giftless.base.pages import MAX_FORM, PageReply, PageRequest
from giftless.monitoring.health import Report
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.doctor import LOOK_INTERVAL, MAX_AGE, REPORT_TIMEOUT, Doctor
from giftless.runtime.admin.exposition import Exposition, Facts
from giftless.runtime.admin.page_maker import PageMaker
from giftless.runtime.admin.pages import pages as pages_module
from giftless.runtime.admin.resources import Root
from giftless.runtime.admin.site import MAX_CONNECTIONS, AdminSite
from giftless.runtime.questions import Unanswered
from tests.runtime.admin.pages.sample import idle
from tests.runtime.admin.support import NO_PROCESSES, reporter
from tests.support.run import CoroutineTestCase


class _Transport(StringTransport):
    """A transport that can be cut.

    :ivar aborted: whether it was.
    """

    def __init__(self, channel: Any) -> None:
        super().__init__()
        self._channel = channel
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self._channel.connectionLost(Failure(ConnectionAborted()))


class SiteTestCase(SynchronousTestCase):
    """A site over a daemon without workers."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.alive = True
        self.asked: list[Deferred[bytes] | None] = []
        self.worker: Any = Deferred
        self.doctor = Doctor(self.ask, self.clock)
        facts = lambda: Facts(NO_PROCESSES, NO_PROCESSES, {}, self.doctor.recent)  # noqa: E731
        tally = Tally()
        overview = reporter(self.clock, tally, self.doctor).look
        exposition = Exposition(tally.sums, facts)
        pages = PageMaker(overview, self.ask, self.clock)
        root = Root(exposition, self.doctor, lambda: self.alive, pages.make, notFound)
        self.site = AdminSite(root, self.clock)

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
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

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


class SiteTests(SiteTestCase):
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
        self.worker = lambda: succeed(b"{}")
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

    def test_metrics_tell_no_health_that_is_old(self) -> None:
        self.worker = lambda: succeed(msgspec.json.encode(Report({"store": ""}, locks=7)))
        self.get("/metrics")
        self.clock.advance(MAX_AGE)
        self.worker = Deferred
        self.assertIn(b"giftless_locks 7.0", self.read(self.get("/metrics"))[2])
        self.clock.advance(0.1)
        body = self.read(self.get("/metrics"))[2]
        self.assertNotIn(b"giftless_locks", body)
        self.assertNotIn(b"giftless_ready", body)

    def test_nothing_else_is_there_and_nothing_can_be_changed(self) -> None:
        for path in ("/metrics/x", "/health", "/org/repo/objects/batch", "/locks/", "/x"):
            self.assertEqual(self.read(self.get(path))[0], 404)
        for path in ("/metrics", "/health/live", "/health/ready"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"):
                transport = self.get(path, method)
                self.assertEqual(self.read(transport)[0], 405)
                self.assertIn(b"\r\nAllow: GET, HEAD\r\n", transport.value())

    def test_a_body_is_not_kept(self) -> None:
        """twisted.web would keep it in memory, or in a file if it is large."""
        self.send(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        (request,) = self.channel._channel.requests
        for _ in range(100):
            self.channel.dataReceived(b"x" * 10_000)
        self.assertEqual(request.content.read(), b"")
        self.assertEqual(request.content.tell(), 0)

    def open(self) -> Any:
        """Return a new connection, and its transport as ``transport``; ``None`` if refused."""
        channel = self.site.buildProtocol(None)
        if channel is not None:
            channel.transport = _Transport(channel)
            channel.makeConnection(channel.transport)
        return channel

    def test_a_silent_connection_makes_way_for_a_new_one(self) -> None:
        """The oldest goes first; whoever waits for an answer stays."""
        busy, *silent = [self.open() for _ in range(MAX_CONNECTIONS)]
        busy.dataReceived(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        silent[0].dataReceived(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        silent[1].dataReceived(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow")
        for channel in silent:
            self.assertFalse(channel.transport.aborted)
            self.assertIsNotNone(self.open())
            self.assertTrue(channel.transport.aborted)
        self.assertFalse(busy.transport.aborted)
        waiting = self.asked[-1]
        assert waiting is not None
        waiting.callback(b'{"problems":{}}')
        self.assertIn(b"ready", busy.transport.value())

    def test_connections_that_all_wait_for_answers_are_not_cut(self) -> None:
        channels = [self.open() for _ in range(MAX_CONNECTIONS)]
        for channel in channels:
            channel.dataReceived(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIsNone(self.open())
        self.assertFalse(any(channel.transport.aborted for channel in channels))

    def test_connections_are_bounded(self) -> None:
        channels = [self.site.buildProtocol(None) for _ in range(MAX_CONNECTIONS)]
        self.assertIsNone(self.site.buildProtocol(None))
        channels[0].makeConnection(StringTransport())
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.site.buildProtocol(None))
        self.assertIsNone(self.site.buildProtocol(None))


class PageTests(SiteTestCase):
    """Pages, beside everything else."""

    def post(self, body: bytes, *headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send a form."""
        lines = ["POST /release HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [*headers, "Content-Type: application/x-www-form-urlencoded"]
        return self.read(self.send("\r\n".join([*lines, "", ""]).encode() + body))

    def test_pages_are_made_here(self) -> None:
        self.worker = lambda: succeed(b"{}")
        status, headers, body = self.read(self.get("/"))
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"https://lfs.example", body)
        self.assertEqual(self.read(self.get("/style.css"))[0], 200)
        self.assertEqual(self.read(self.get("/", "HEAD"))[::2], (200, b""))

    def test_tricks_with_paths_lead_to_no_page(self) -> None:
        for path in (
            *(
                "//",
                "//locks",
                "/./",
                "/../",
                "/locks/..",
                "/%2e%2e/",
                "/%2e",
                "/locks/",
                "/locks//",
            ),
            *(
                "/locks%2f",
                "/-/",
                "/-/locks",
                "/base.html",
                "/static/style.css",
                "/locks%00",
                "/%ff",
            ),
        ):
            self.assertIn(self.read(self.get(path))[0], (400, 404), path)

    def test_a_form_is_read(self) -> None:
        status, _, body = self.post(b"id=1&token=2")
        self.assertEqual(status, 403)
        self.assertIn(b"not one that this server has just made", body)

    def test_a_form_of_another_site_is_refused(self) -> None:
        for header in (
            "Origin: http://evil.example",
            "Origin: null",
            "Origin: http://localhost\r\nOrigin: http://evil.example",
            "Sec-Fetch-Site: cross-site",
        ):
            status, _, body = self.post(b"id=1", header)
            self.assertEqual(status, 403)
            self.assertIn(b"another site", body)
        status, _, body = self.post(b"id=1", "Host: evil.example")
        self.assertEqual(status, 403)
        self.assertIn(b"admin.hosts", body)

    def test_a_form_that_is_too_long_is_not_read(self) -> None:
        self.assertEqual(self.post(b"x" * (MAX_FORM + 1))[0], 413)
        self.post(b"x" * 1_000_000)
        self.assertEqual(self.post(b"x" * MAX_FORM)[0], 403)

    def test_a_client_that_leaves_before_its_page_disturbs_nobody(self) -> None:
        pages: list[Deferred[PageReply]] = []

        def make(request: PageRequest) -> Deferred[PageReply]:
            pages.append(Deferred())
            return pages[-1]

        resource: Any = self.site.resource
        resource._pages = make
        self.get("/")
        self.channel.connectionLost(Failure(ConnectionDone()))
        pages[0].callback(PageReply(200, {}, b"x"))
        self.assertEqual(self.flushLoggedErrors(), [])


async def look() -> Overview:
    """Return the overview of an idle server."""
    return idle()


class PageMakerTests(CoroutineTestCase):
    def setUp(self) -> None:
        clock: Any = Clock()
        self.maker = PageMaker(look, lambda *_: None, clock)

    def test_a_worker_is_answered(self) -> None:
        question = msgspec.json.encode(PageRequest("GET", "", public=True))
        reply = msgspec.json.decode(self.run_now(self.maker.answer(question)), type=PageReply)
        self.assertEqual(reply.status, 200)
        self.assertIn(b"<h1>Dashboard</h1>", reply.body)

    def test_files_that_an_upgrade_has_broken_are_a_page_that_says_so(self) -> None:
        def broken() -> None:
            raise ImportError("no such module")

        self.patch(pages_module, "Renderer", broken)
        reply = self.run_now(self.maker.make(PageRequest("GET", "")))
        self.assertEqual(reply.status, 500)
        self.assertIn(b"restart it", reply.body)
        self.assertEqual(len(self.flushLoggedErrors(ImportError)), 1)

    def test_what_pages_take_is_not_loaded_before_somebody_looks(self) -> None:
        code = "import sys, giftless.runtime.admin.front; print('jinja2' in sys.modules)"
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        self.assertEqual(printed.stdout, b"False\n")
