"""What observers are told of requests: arrivals, downloads, and refusals once each."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

from twisted.internet.address import IPv4Address

from giftless.auth.actions import ActionOptions
from giftless.errors import ServiceUnavailable
from giftless.interfaces import (
    Arrival,
    BatchAnswered,
    IBody,
    ObjectServed,
    ObjectStored,
    Refused,
)
from giftless.lfs.objects import ObjectKey
from giftless.web.limits import Limits
from tests.support.bodies import HeldBody
from tests.support.events import Broken, Recorder, events_to
from tests.support.making import key_of, oid_of, reader, repo_of
from tests.support.memory import ExternalStore, MemoryObject, MemoryStore
from tests.web.support import (
    CLIENT,
    Connection,
    FrontTestCase,
    KeyAuthenticator,
    PortTestCase,
    batch_body,
    render_request,
    storage_url,
)
from tests.web.test_parts import DATA, LONG, SMALL, PartsTestCase

MIB = 1024 * 1024

URL = storage_url(oid_of(DATA))


class HeldStore(MemoryStore):
    """A store whose downloads wait until the test provides their bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = HeldBody()

    async def open(self, key: ObjectKey) -> MemoryObject | None:
        found = await super().open(key)
        if found is not None:
            found.read = self._read  # type: ignore[method-assign]
        return found

    def _read(self, start: int, end: int) -> IBody:
        return self.body


class RecordedMixin:
    """Gives each front a recorder."""

    recorder: Recorder

    def recorded(self: Any, *observers: Any) -> dict[str, Any]:
        """Return the options of a front that tells a recorder."""
        self.recorder = Recorder()
        return {"events": events_to(*observers, self.recorder)}

    def served(self: Any) -> list[tuple[int, bool]]:
        """Return how much each download has sent, and whether that was complete."""
        events = self.recorder.of(ObjectServed)
        self.recorder.seen.clear()
        for event in events:
            self.assertEqual((event.key, event.who), (key_of(DATA), "anonymous"))
            self.assertEqual(event.size, len(DATA))
        return [(event.sent, event.complete) for event in events]


class DownloadTests(RecordedMixin, FrontTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve(**self.recorded())
        self.front.put(DATA)

    def test_a_download_is_served_whole(self) -> None:
        self.assertEqual(self.request("GET", URL).body, DATA)
        self.assertEqual(self.served(), [(len(DATA), True)])

    def test_a_range_counts_what_was_sent(self) -> None:
        self.assertEqual(self.request("GET", URL, {"Range": "bytes=2-4"}).body, DATA[2:5])
        self.assertEqual(self.served(), [(3, True)])

    def test_questions_about_an_object_serve_nothing(self) -> None:
        self.assertEqual(self.request("HEAD", URL).status, 200)
        unmodified = self.request("GET", URL, {"If-None-Match": f'"{oid_of(DATA)}"'})
        self.assertEqual(unmodified.status, 304)
        self.assertEqual(self.recorder.seen, [])

    def test_a_range_outside_the_object_is_a_refusal(self) -> None:
        self.assertEqual(self.request("GET", URL, {"Range": "bytes=99-"}).status, 416)
        (refused,) = self.recorder.seen
        assert isinstance(refused, Refused)
        self.assertEqual((refused.cause, refused.who), ("bad-range", "anonymous"))

    def test_downloads_on_one_connection_count_for_themselves(self) -> None:
        connection = self.connect()
        for _ in range(2):
            connection.request("GET", URL)
        self.assertEqual(self.served(), [(len(DATA), True)] * 2)


class HeldDownloadTests(RecordedMixin, FrontTestCase):
    """Downloads that come piece by piece, and do not end well."""

    def setUp(self) -> None:
        super().setUp()
        self.store = HeldStore()
        self.store.add(key_of(DATA), DATA)
        self.serve(store=self.store, **self.recorded())

    def begin(self) -> Connection:
        """Begin a download, of which three bytes are sent."""
        connection = self.connect()
        connection.send(render_request("GET", URL))
        self.store.body.provide(DATA[:3])
        self.assertEqual(self.recorder.seen, [], "it is not over")
        return connection

    def test_a_client_that_leaves_has_got_what_was_sent(self) -> None:
        self.begin().disconnect()
        self.store.body.provide(DATA[3:])
        self.assertEqual(self.served(), [(3, False)])
        self.assertTrue(self.store.opened[0].closed)

    def test_a_store_that_fails_meanwhile_is_a_refusal_too(self) -> None:
        connection = self.begin()
        self.store.body.fail(ServiceUnavailable("away", 5))
        served, refused = self.recorder.seen
        assert isinstance(served, ObjectServed)
        assert isinstance(refused, Refused)
        self.assertEqual((served.sent, served.complete), (3, False))
        self.assertEqual(refused.cause, "unavailable")
        self.assertTrue(connection.aborted)


class KernelTests(RecordedMixin, PortTestCase):
    """Downloads that the kernel sends."""

    async def test_what_the_kernel_sends_is_counted(self) -> None:
        await self.serve(**self.recorded())
        data = os.urandom(3 * MIB)
        await self.request("GET", storage_url(self.front.put(data)))
        await self.front.site.drain(20)
        (event,) = self.recorder.of(ObjectServed)
        self.assertEqual((event.sent, event.complete), (len(data), True))

    async def test_a_client_that_leaves_has_got_less(self) -> None:
        await self.serve(**self.recorded())
        data = bytes(64 * MIB)
        url = storage_url(self.front.put(data))

        def client() -> None:
            with self.peer(receive_buffer=65536) as peer:
                peer.send(render_request("GET", url))
                peer.read_ahead(MIB)

        await self.in_thread(client)
        await self.front.site.drain(20)
        (event,) = self.recorder.of(ObjectServed)
        self.assertEqual((event.size, event.complete), (len(data), False))
        self.assertGreater(event.sent, MIB // 2)
        self.assertLess(event.sent, len(data))


class UploadTests(RecordedMixin, PartsTestCase):
    """Objects that arrive through the daemon and by a commit."""

    #: Whether uploads have a verification (``actions.verify``).
    verify: Literal["auto", "always"] = "auto"

    def setUp(self) -> None:
        super().setUp()
        self.serve(part_size=4, actions=ActionOptions(verify=self.verify), **self.recorded())

    def finish(self, actions: dict[str, Any], data: bytes) -> None:
        """Do what git-lfs does after an upload."""
        self.assertEqual("verify" in actions, self.verify == "always")
        if "verify" in actions:
            body = json.dumps({"oid": oid_of(data), "size": len(data)}).encode()
            self.assertEqual(self.act(actions["verify"], body).status, 200)

    def test_an_upload_through_the_daemon_arrives_once(self) -> None:
        actions = self.actions(SMALL)
        self.assertEqual(self.act(actions["upload"], SMALL, "PUT").status, 200)
        self.finish(actions, SMALL)
        stored = ObjectStored(key_of(SMALL), len(SMALL), "anonymous", Arrival.STREAMED, "anonymous")
        self.assertEqual(self.recorder.of(ObjectStored), [stored])

    def test_an_upload_in_parts_arrives_with_its_commit(self) -> None:
        actions = self.actions()
        for part in actions["parts"]:
            self.assertEqual(self.send(part).status, 200)
        self.assertEqual(self.recorder.of(ObjectStored), [])
        self.assertEqual(self.act(actions["commit"]).status, 200)
        self.finish(actions, DATA)
        stored = ObjectStored(key_of(DATA), len(DATA), "anonymous", Arrival.COMMITTED, "anonymous")
        self.assertEqual(self.recorder.of(ObjectStored), [stored])

    def test_a_commit_without_its_parts_is_a_refusal(self) -> None:
        self.assertEqual(self.act(self.actions()["commit"]).status, 409)
        self.assertEqual(self.recorder.of(ObjectStored), [])
        self.assertEqual([each.cause for each in self.recorder.of(Refused)], ["conflict"])

    def test_a_broken_observer_is_not_noticed_by_clients(self) -> None:
        self.serve(part_size=4, **self.recorded(Broken(ValueError("oops"))))
        actions = self.actions(SMALL)
        self.assertEqual(self.act(actions["upload"], SMALL, "PUT").status, 200)
        self.assertEqual(self.request("GET", storage_url(oid_of(SMALL))).body, SMALL)
        self.assert_error(self.request("GET", URL), 404)
        kinds = [type(event) for event in self.recorder.seen]
        self.assertEqual(kinds, [BatchAnswered, ObjectStored, ObjectServed, Refused])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)


class VerifiedUploadTests(UploadTests):
    """The same where each upload is verified."""

    verify: Literal["auto", "always"] = "always"


class DirectTests(RecordedMixin, PartsTestCase):
    """Objects that clients send to the store and fetch there."""

    def setUp(self) -> None:
        super().setUp()
        self.store = ExternalStore()
        self.serve(store=self.store, **self.recorded())

    def test_an_upload_to_the_store_arrives_when_it_is_verified(self) -> None:
        actions = self.actions(SMALL)
        self.assertTrue(actions["upload"]["href"].startswith("https://bucket.example/"))
        body = json.dumps({"oid": oid_of(SMALL), "size": len(SMALL)}).encode()
        self.assertEqual(self.act(actions["verify"], body).status, 404)
        self.assertEqual(self.recorder.of(ObjectStored), [])
        self.store.present[key_of(SMALL)] = len(SMALL)
        self.assertEqual(self.act(actions["verify"], body).status, 200)
        stored = ObjectStored(
            key_of(SMALL), len(SMALL), "anonymous", Arrival.CONFIRMED, "anonymous"
        )
        self.assertEqual(self.recorder.of(ObjectStored), [stored])

    def test_a_download_from_the_store_is_only_a_batch(self) -> None:
        self.store.present[key_of(SMALL)] = len(SMALL)
        self.actions(SMALL, operation="download")
        (answered,) = self.recorder.seen
        assert isinstance(answered, BatchAnswered)
        self.assertEqual((answered.actions, answered.present), (1, 0))


class RefusalTests(RecordedMixin, FrontTestCase):
    """Each refused request is told once, whoever refuses it."""

    def refused(self) -> Refused:
        """Return the one event."""
        (event,) = self.recorder.take()
        assert isinstance(event, Refused)
        return event

    def test_it_says_what_the_client_was_told_and_whom(self) -> None:
        self.serve(**self.recorded())
        response = self.request("GET", URL)
        message = response.json["message"]
        request_id = response.json["request_id"]
        self.assertEqual(request_id, response.headers["x-request-id"])
        who = ("anonymous", CLIENT.host, "anonymous")
        wanted = Refused("not-found", 404, message, repo_of(), *who, request_id)
        self.assertEqual(self.refused(), wanted)

    def test_an_object_of_a_batch_is_told_with_its_request(self) -> None:
        self.serve(**self.recorded())
        members = [{"oid": oid_of(data), "size": len(data)} for data in (DATA, SMALL)]
        response = self.request("POST", LONG, {}, batch_body("download", *members))
        refused = self.recorder.of(Refused)
        self.assertEqual(len(refused), 2)
        for event in refused:
            self.assertEqual(event.request_id, response.headers["x-request-id"])
            self.assertEqual((event.address, event.who), (CLIENT.host, "anonymous"))

    def test_behind_a_proxy_it_names_the_client(self) -> None:
        self.serve(trusted=[CLIENT.host], **self.recorded())
        self.request("GET", URL, {"X-Forwarded-For": "203.0.113.9"})
        self.assertEqual(self.refused().address, "203.0.113.9")

    def test_who_is_not_identified_has_no_name(self) -> None:
        self.serve(authenticators=[KeyAuthenticator({"rita": reader()})], **self.recorded())
        for headers, cause in (
            ({}, "unauthenticated"),
            ({"Authorization": "Bearer x"}, "bad-credential"),
        ):
            self.request("GET", URL, headers)
            refused = self.refused()
            self.assertEqual((refused.cause, refused.status, refused.who), (cause, 401, ""))
            self.assertEqual(refused.repo, repo_of())
        self.request("PUT", URL, {"Authorization": "Bearer rita"}, DATA)
        refused = self.refused()
        self.assertEqual((refused.cause, refused.who), ("forbidden", "rita"))

    def test_requests_to_nothing_have_no_repository(self) -> None:
        self.serve(**self.recorded())
        for method, target, cause in (
            ("GET", "/nothing", "no-endpoint"),
            ("DELETE", URL, "method-not-allowed"),
            ("GET", "/org/repo%2f/x", "malformed"),
        ):
            self.request(method, target)
            refused = self.refused()
            self.assertEqual((refused.cause, refused.repo, refused.who), (cause, None, ""))

    def test_what_cannot_be_parsed_is_told_with_its_address(self) -> None:
        self.serve(**self.recorded())
        for data, cause, status in (
            (b"nonsense\r\n\r\n", "malformed", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "malformed", 400),
            (b"GET /" + b"x" * 20000, "headers-too-large", 431),
        ):
            connection = self.connect()
            connection.send(data)
            refused = self.refused()
            self.assertEqual((refused.cause, refused.status), (cause, status))
            self.assertEqual(refused.address, CLIENT.host)
            response = connection.response()
            self.assertEqual(refused.request_id, response.headers["x-request-id"])

    def test_headers_that_take_too_long_are_told(self) -> None:
        self.serve(**self.recorded())
        self.connect().send(b"GET / HTTP/1.1\r\n")
        self.pass_time(11)
        self.assertEqual(self.refused().cause, "timeout")

    def test_a_connection_too_many_is_told(self) -> None:
        self.serve(limits=Limits(connections_per_address=1), **self.recorded())
        peers = [IPv4Address("TCP", "203.0.113.1", port) for port in (1, 2)]
        self.connect(peers[0])
        response = self.connect(peers[1]).request("GET", URL)
        refused = self.refused()
        self.assertEqual(refused.request_id, response.headers["x-request-id"])
        self.assertEqual((refused.cause, refused.status), ("too-many-connections", 429))
        self.assertEqual(refused.address, "203.0.113.1")

    def test_a_broken_body_is_told_once(self) -> None:
        """Its handler answers, not the connection."""
        self.serve(**self.recorded())
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Transfer-Encoding": "chunked"}, b"nonsense\r\n")
        )
        self.assertEqual(connection.response().status, 400)
        refused = self.refused()
        self.assertEqual((refused.cause, refused.repo), ("malformed", repo_of()))

    def test_a_client_that_leaves_is_not_refused(self) -> None:
        self.serve(**self.recorded())
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}, b"abc"))
        connection.disconnect()
        self.assertEqual(self.recorder.seen, [])

    def test_a_failure_of_the_server_is_told(self) -> None:
        store = MemoryStore()
        store.failure = ZeroDivisionError("oops")
        self.serve(store=store, **self.recorded())
        self.assertEqual(self.request("GET", URL).status, 500)
        refused = self.refused()
        self.assertEqual((refused.cause, refused.status), ("failed", 500))
        self.assertNotIn("oops", refused.message)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_batch_that_is_refused_with_its_object_is_told_beside_it(self) -> None:
        """It is refused to giftless-client at the short URL, and answered otherwise."""
        self.serve(**self.recorded())
        member = {"oid": oid_of(DATA), "size": len(DATA)}
        body = batch_body("download", member, transfers=["multipart-basic", "basic"])
        for url, causes in (
            ("/org/repo/objects/batch", ["not-found", "batch-refused"]),
            (LONG, ["not-found"]),
        ):
            self.request("POST", url, {}, body)
            (answered,) = self.recorder.of(BatchAnswered)
            self.assertEqual(answered.refused, {"not-found": 1})
            self.assertEqual([each.cause for each in self.recorder.of(Refused)], causes)
            self.recorder.take()
