"""Health on the endpoints that clients use (``admin.public_health``)."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from giftless.errors import StorageUnavailable
from giftless.monitoring.health import PATIENCE, Health
from giftless.web.health import health_routes
from tests.support.making import oid_of
from tests.support.memory import MemoryStore
from tests.web.support import Connection, FrontTestCase, Response, batch_body, render_request

READY, LIVE = "/health/ready", "/health/live"


class Store(MemoryStore):
    """A store that is probed.

    :ivar answer: what a probe ends with.
    :ivar probes: how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer: Exception | Deferred[None] | None = None
        self.probes = 0

    async def sizes(self, keys: Any) -> Any:
        self.probes += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            await self.answer
        return await super().sizes(keys)


class PublicHealthTests(FrontTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = Store()
        self.serve(store=self.store, routes=health_routes(Health(self.store, None, self.clock)))

    def facts(self, response: Response) -> tuple[int, Any]:
        """Return a response's status and what it tells."""
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        return response.status, json.loads(response.body)

    def test_a_worker_that_answers_is_alive(self) -> None:
        self.assertEqual(self.facts(self.request("GET", LIVE)), (200, {"status": "alive"}))
        self.assertEqual(self.store.probes, 0)

    def test_it_is_ready_if_all_is_well(self) -> None:
        self.assertEqual(
            self.facts(self.request("GET", READY)),
            (200, {"status": "ready", "parts": {"store": "well"}}),
        )

    def test_the_part_is_named_and_the_reason_is_not(self) -> None:
        """The reason may hold paths and hosts, and anybody may ask."""
        self.store.answer = StorageUnavailable("cannot reach 10.1.2.3 for /srv/secret", 1)
        self.assertEqual(
            self.facts(self.request("GET", READY)),
            (503, {"status": "not ready", "parts": {"store": "not well"}}),
        )

    def test_a_store_that_hangs_is_not_ready_in_time(self) -> None:
        self.store.answer = Deferred()
        connection = self.connect()
        connection.send(render_request("GET", READY))
        self.clock.advance(PATIENCE)
        self.assertEqual(connection.response().status, 503)
        self.store.answer.callback(None)

    def test_many_who_ask_at_once_are_one_question_to_the_store(self) -> None:
        self.store.answer = waiting = Deferred[None]()
        connections = [self.connect() for _ in range(50)]
        for connection in connections:
            connection.send(render_request("GET", READY))
        self.assertEqual(self.store.probes, 1)
        waiting.callback(None)
        self.clock.advance(0)
        self.assertEqual({each.response().status for each in connections}, {200})
        self.assertEqual(self.request("GET", READY).status, 200)
        self.assertEqual(self.store.probes, 1)

    def test_a_client_that_leaves_disturbs_nobody(self) -> None:
        self.store.answer = waiting = Deferred[None]()
        leaving, staying = self.connect(), self.connect()
        for connection in (leaving, staying):
            connection.send(render_request("GET", READY))
        leaving.disconnect()
        waiting.callback(None)
        self.assertEqual(staying.response().status, 200)

    def test_head_has_no_body(self) -> None:
        for path in (LIVE, READY):
            connection = self.connect()
            connection.send(render_request("HEAD", path))
            response = connection.response(head=True)
            self.assertEqual((response.status, response.body), (200, b""))

    def test_http_1_0_without_a_host_is_answered(self) -> None:
        """As HAProxy asks, unless it is told otherwise."""
        connection = Connection(self.front.site, self.clock)
        connection.send(b"GET /health/ready HTTP/1.0\r\n\r\n")
        self.assertEqual(connection.response().status, 200)

    def test_nothing_else_is_there(self) -> None:
        for path in ("/health", "/health/", "/health/ready/", "/health/other"):
            self.assert_error(self.request("GET", path), 404)
        self.assert_error(self.request("POST", READY, {}, b"{}"), 405)

    def test_a_repository_may_have_the_same_name(self) -> None:
        body = batch_body("upload", {"oid": oid_of(b"x"), "size": 1})
        for repo in ("health/ready", "health/live.git/info/lfs"):
            response = self.request("POST", f"/{repo}/objects/batch", {}, body)
            self.assertEqual(response.status, 200, response.body)
