"""The administration's API on the admin endpoints: asked of a worker, and guarded."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import StringTransport

from giftless.interfaces import Refused
from giftless.runtime.admin.api_resource import ApiResource
from giftless.runtime.admin.resources import Root
from giftless.runtime.admin.site import AdminSite
from giftless.runtime.administration_answers import AdministrationAnswers
from giftless.runtime.administration_questions import ADMINISTRATION, Answer, Order
from giftless.runtime.questions import MAX_PATIENCE, Unanswered
from giftless.web.administration.api import PATIENCE
from giftless.web.administration.names import MAX_BODY, NAMES
from tests.support.events import events_to
from tests.support.making import oid_of
from tests.web.administration.test_api import DATA, APITestCase

JSON = {"Content-Type": "application/json"}


class ApiResourceTests(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.worker: Any = AdministrationAnswers(self.api, events_to(self.recorder)).answer
        self.orders: list[Order] = []
        absent: Any = None
        api = ApiResource(self.ask_worker, lambda: ("lfs-admin",))
        self.site = AdminSite(Root(absent, absent, absent, absent, lambda: api), self.clock)

    def ask_worker(self, name: str, payload: bytes, patience: float) -> Any:
        self.assertEqual(name, ADMINISTRATION)
        # A worker waits for the end of what takes long, and the answer is waited for.
        self.assertGreater(patience, PATIENCE)
        self.assertLess(patience, MAX_PATIENCE)
        self.orders.append(msgspec.json.decode(payload, type=Order))
        return None if self.worker is None else Deferred.fromCoroutine(self.worker(payload))

    def send(
        self, method: str, path: str, body: Any = b"", headers: Any = JSON, host: str = "localhost"
    ) -> tuple[int, dict[str, str], Any]:
        """Send a request, and return the answer's status, headers and JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Host": host, "Content-Length": str(len(raw)), **headers}
        lines = [f"{method} /api/{path} HTTP/1.1", *(f"{n}: {v}" for n, v in given.items()), "", ""]
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived("\r\n".join(lines).encode() + raw)
        head, _, answered = transport.value().partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        return (
            int(first.split()[1]),
            dict(line.lower().split(": ", 1) for line in rest),
            json.loads(answered) if answered else None,
        )

    def test_a_worker_answers_for_all_repositories(self) -> None:
        status, headers, answer = self.send("GET", "objects?limit=100&repo=acme%2Frocket")
        self.assertEqual((status, len(answer["objects"])), (200, 5))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertRegex(headers["x-request-id"], "^[0-9a-f]{16}$")
        self.assertEqual(len(self.send("GET", "objects")[2]["objects"]), 6)

    def test_a_change_is_told_with_who_and_from_where(self) -> None:
        body = {"repo": "acme/rocket", "oids": [oid_of(DATA[0])]}
        status, headers, answer = self.send("POST", "objects/remove", body)
        self.assertEqual((status, answer["objects"][0]["result"]), (200, "moved"))
        (order,) = self.orders
        self.assertEqual((order.name, order.principal), ("admin endpoint", ""))
        self.assertEqual(order.request_id, headers["x-request-id"])

    def test_head_has_no_body(self) -> None:
        status, headers, answer = self.send("HEAD", "usage")
        self.assertEqual((status, answer), (200, None))
        self.assertGreater(int(headers["content-length"]), 10)

    def test_a_refusal_is_told_and_published(self) -> None:
        status, _, answer = self.send("POST", "objects/remove", {"oids": [oid_of(b"")]})
        self.assertEqual(status, 400)
        self.assertEqual(answer["message"], "say which repository: 'repo'")
        (refused,) = self.recorder.of(Refused)
        self.assertEqual(refused.cause, "malformed")
        self.assertEqual(answer["request_id"], refused.request_id)

    def test_what_another_site_sends_is_refused_before_a_worker_is_asked(self) -> None:
        body = {"repo": "acme/rocket", "oids": [oid_of(DATA[0])]}
        for headers, host, expected in (
            ({**JSON, "Origin": "https://evil.example"}, "localhost", 403),
            ({**JSON, "Origin": "null"}, "localhost", 403),
            ({**JSON, "Sec-Fetch-Site": "cross-site"}, "localhost", 403),
            (JSON, "evil.example", 403),
            (JSON, "", 403),
        ):
            status, _, _ = self.send("POST", "objects/remove", body, headers, host)
            self.assertEqual(status, expected, (headers, host))
        self.assertEqual(self.orders, [])
        for host in ("lfs-admin", "127.0.0.1:9090", "[::1]"):
            self.assertEqual(self.send("GET", "usage", host=host)[0], 200)

    def test_no_form_changes_anything(self) -> None:
        body = {"repo": "acme/rocket", "oids": [oid_of(DATA[0])], "really": True, "to": "a/b"}
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            for name, methods in NAMES.items():
                if "POST" in methods:
                    status, _, _ = self.send("POST", name, body, {"Content-Type": kind})
                    self.assertEqual(status, 415, name)

    def test_other_paths_and_methods_are_refused(self) -> None:
        for path in ("", "x", "objects/", "objects/x", "../metrics"):
            self.assertEqual(self.send("GET", path)[0], 404, path)
        for method, path in (("GET", "rename"), ("PUT", "objects"), ("DELETE", "trash")):
            status, headers, _ = self.send(method, path)
            self.assertEqual(status, 405)
            self.assertEqual("get" in headers["allow"], path != "rename")
        self.assertEqual(self.orders, [])

    def test_a_large_body_and_many_parameters_are_refused(self) -> None:
        self.assertEqual(self.send("POST", "rename", b" " * (MAX_BODY + 1))[0], 413)
        many = "&".join(f"p{number}=1" for number in range(30))
        self.assertEqual(self.send("GET", f"usage?{many}")[0], 400)
        self.assertEqual(self.orders, [])
        self.assertEqual(self.send("POST", "rename", b" " * MAX_BODY)[0], 400)

    def test_a_worker_that_does_not_answer_is_503(self) -> None:
        self.worker = None
        status, _, answer = self.send("GET", "usage")
        self.assertEqual((status, answer["message"]), (503, "no worker serves and answers"))

        async def silent(_: bytes) -> bytes:
            return await fail(Unanswered("has not answered in time"))

        self.worker = silent
        status, _, answer = self.send("GET", "usage")
        self.assertEqual((status, answer["message"]), (503, "a worker has not answered in time"))

    def test_a_newer_worker_may_say_more(self) -> None:
        async def newer(_: bytes) -> bytes:
            return b'{"status":200,"body":{"a":1},"headers":{},"more":true}'

        self.worker = newer
        self.assertEqual(self.send("GET", "usage")[2], {"a": 1})
        self.assertEqual(Answer(200, msgspec.Raw(b"{}")).headers, {})
