"""Requests are counted once, before the last bytes of their responses are sent.

A worker may be killed as soon as a client has these.
"""

from __future__ import annotations

import os
from typing import Any

from giftless.interfaces import Arrival, BatchAnswered, ObjectServed, ObjectStored, Refused
from giftless.monitoring.http import HTTPCounter
from giftless.web.cors import CorsOptions
from giftless.web.sending import LAST_BYTES
from tests.support.counting import Counted
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, oid_of
from tests.web.support import (
    FrontTestCase,
    PortTestCase,
    batch_body,
    render_request,
    storage_url,
)

DATA = b"some bytes"

URL = storage_url(oid_of(DATA))

BATCH = "/org/repo.git/info/lfs/objects/batch"

PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}

MIB = 1024 * 1024


class CountedMixin:
    """Gives each front what counts requests and records events."""

    def counting(self: Any) -> dict[str, Any]:
        """Return the options of such a front."""
        self.counted, self.recorder = Counted(), Recorder()
        return {
            "counter": HTTPCounter(self.counted.metrics),
            "events": events_to(self.recorder),
            "cors": CorsOptions(origins=["*"]),
        }

    def requests(self: Any) -> dict[tuple[str, ...], float]:
        """Return how many requests have been counted, by status."""
        found: dict[tuple[str, ...], float] = {}
        for labels, number in self.counted.totals("giftless_http_requests_total").items():
            found[labels[2:]] = found.get(labels[2:], 0) + number
        return found


class WrittenTests(CountedMixin, FrontTestCase):
    """What is written at once."""

    def check(self, request: bytes, status: str, *kinds: type) -> None:
        """Send a request; check what was counted when its response was written."""
        self.serve(**self.counting())
        self.front.put(DATA)
        connection = self.connect()
        write, noted = connection.transport.write, []

        def note(data: bytes) -> None:
            noted.append((self.requests(), [type(event) for event in self.recorder.seen]))
            write(data)

        connection.transport.write = note  # type: ignore[method-assign]
        connection.send(request)
        self.assertEqual(noted[-1], ({(status,): 1}, list(kinds)))
        self.pass_time(5)
        connection.disconnect()
        self.assertEqual(self.requests(), {(status,): 1}, "once")
        self.assertEqual([type(event) for event in self.recorder.seen], list(kinds))

    def test_an_upload_is_counted_before_it_is_answered(self) -> None:
        self.check(render_request("PUT", URL, {}, DATA), "200", ObjectStored)
        self.assertEqual(self.recorder.of(ObjectStored)[0].arrival, Arrival.STREAMED)

    def test_a_download_is_counted_before_it_is_sent(self) -> None:
        self.check(render_request("GET", URL), "200", ObjectServed)
        (served,) = self.recorder.of(ObjectServed)
        self.assertEqual((served.key, served.sent), (key_of(DATA), len(DATA)))
        self.assertTrue(served.complete)

    def test_a_range_is_counted_before_it_is_sent(self) -> None:
        self.check(render_request("GET", URL, {"Range": "bytes=2-5"}), "206", ObjectServed)
        (served,) = self.recorder.of(ObjectServed)
        self.assertEqual((served.sent, served.complete), (4, True))

    def test_a_response_without_a_body_is_counted_before_it_is_sent(self) -> None:
        self.check(render_request("HEAD", URL), "200")
        self.check(render_request("OPTIONS", URL, PREFLIGHT), "204")
        self.check(render_request("GET", URL, {"If-None-Match": "*"}), "304")

    def test_a_refusal_is_counted_before_it_is_told(self) -> None:
        self.check(render_request("GET", storage_url(oid_of(b"absent"))), "404", Refused)
        self.check(render_request("GET", "/nowhere"), "404", Refused)
        self.check(b"nonsense\r\n\r\n", "400", Refused)

    def test_a_batch_is_counted_before_it_is_answered(self) -> None:
        body = batch_body("download", {"oid": oid_of(DATA), "size": len(DATA)})
        self.check(render_request("POST", BATCH, {}, body), "200", BatchAnswered)

    def test_a_refusal_before_the_end_of_the_body_is_counted_once(self) -> None:
        head = render_request("PUT", storage_url("nonsense"), {"Content-Length": "10"}, b"abc")
        self.check(head, "400", Refused)

    def test_a_client_that_leaves_is_counted_once(self) -> None:
        self.serve(**self.counting())
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}, b"abc"))
        connection.disconnect()
        self.assertEqual(self.requests(), {("499",): 1})


class KernelTests(CountedMixin, PortTestCase):
    """What the kernel sends."""

    async def check(self, size: int) -> None:
        """Download an object; check what was counted when its last bytes were sent."""
        noted: list[tuple[bool, int, int]] = []
        real = os.sendfile

        def sendfile(target: int, file: int, offset: int, count: int) -> int:
            served = self.recorder.of(ObjectServed)
            noted.append((offset + count == size, len(self.requests()), len(served)))
            return real(target, file, offset, count)

        self.patch(os, "sendfile", sendfile)
        await self.serve(**self.counting())
        data = os.urandom(size)
        response = await self.request("GET", storage_url(self.front.put(data)))
        self.assert_same_bytes(response.body, data)
        for last, *counts in noted:
            self.assertEqual(counts, [last, last])
        self.assertTrue(noted[-1][0])
        self.assertEqual(self.requests(), {("200",): 1})
        (served,) = self.recorder.of(ObjectServed)
        self.assertEqual((served.sent, served.complete), (size, True))

    async def test_a_download_is_counted_before_its_last_bytes_are_sent(self) -> None:
        for size in (
            64 * 1024 + 1,
            LAST_BYTES,
            3 * MIB,
            2 * MIB + LAST_BYTES,
            2 * MIB + LAST_BYTES + 1,
        ):
            await self.check(size)
