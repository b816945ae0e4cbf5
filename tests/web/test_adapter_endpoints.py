"""A transfer adapter with endpoints of its own, from the batch to the bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import ConfigError, LFSError, NotFound, Unprocessable
from giftless.interfaces import (
    ActionKind,
    Endpoint,
    Fitness,
    IActionTokens,
    IBody,
    ICall,
    IDownload,
    IEndpoints,
    ILinks,
    IObjects,
    IObjectStore,
    IObserver,
    IRepoCall,
    ITransferAdapter,
    ITransferFactory,
    Lifetime,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Action, Actions, ObjectKey, Oid, Permission
from giftless.transfer.kinds import VERIFY
from giftless.usecases.downloads import Download
from giftless.usecases.events import NO_EVENTS, Events
from giftless.web.links import Links
from tests.support.making import oid_of, reader, writer
from tests.support.memory import MemoryObject
from tests.web.support import FrontTestCase, KeyAuthenticator, Response, batch_body, render_request

DATA = b"some bytes"
OID = oid_of(DATA)

REVERSE_UP = ActionKind(
    "reverse-up", Permission.WRITE, Lifetime.TRANSFER, {"X-Order": "last first"}
)
REVERSE_DOWN = ActionKind("reverse-down", Permission.READ, Lifetime.TRANSFER)

#: How people of these tests show who they are.
WILL, RITA = {"Authorization": "Bearer will"}, {"Authorization": "Bearer rita"}


@implementer(IBody)
class ReversedBody:
    """Bytes in the opposite order."""

    def __init__(self, data: bytes) -> None:
        self._chunks = [data[::-1]] if data else []

    async def read(self) -> Sequence[bytes]:
        chunks, self._chunks = self._chunks, []
        return chunks


@implementer(ITransferAdapter, IEndpoints)
class Reverse:
    """Moves objects from their last byte to their first.

    :ivar more: endpoints beside those that it needs.
    """

    name = "reverse"

    def __init__(self, tokens: IActionTokens, more: Sequence[Endpoint] = ()) -> None:
        self._tokens = tokens
        self._more = more

    def fitness(self, request: BatchRequest) -> Fitness:
        return Fitness.GOOD

    def _actions(
        self, name: str, kind: ActionKind, transfers: Sequence[Transfer], requester: Requester
    ) -> list[Actions]:
        signer = self._tokens.signer(kind, requester.repo, requester.identity)
        return [
            {
                name: signer.action(
                    transfer.key.oid,
                    requester.links.endpoint(f"reverse/{transfer.key.oid}"),
                    transfer.size,
                )
            }
            for transfer in transfers
        ]

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        return self._actions("upload", REVERSE_UP, transfers, requester)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        return self._actions("download", REVERSE_DOWN, transfers, requester)

    def endpoints(self, objects: IObjects) -> Sequence[Endpoint]:
        async def put(call: IRepoCall, oid: str) -> None:
            body = ReversedBody(await call.read_small_body())
            key = ObjectKey(call.repo, Oid.parse(oid))
            await objects.receive(call.identity, key, call.length, body, [REVERSE_UP])
            call.respond(
                201, b"stored", {"Content-Type": "text/plain", "X-Who": call.identity.name}
            )

        async def get(call: IRepoCall, oid: str) -> None:
            key = ObjectKey(call.repo, Oid.parse(oid))
            opened: IDownload = await objects.open(call.identity, key, [REVERSE_DOWN])
            try:
                start = int(call.argument("from") or "0")
                await call.send(opened, start, opened.stored.size, 203, {"X-Kept": "order"})
            finally:
                opened.close()

        return (
            Endpoint("reverse/{oid}", ("PUT",), put, REVERSE_UP),
            Endpoint("reverse/{oid}", ("GET",), get, REVERSE_DOWN),
            *self._more,
        )


class ReverseFactory:
    """Offers it for every store."""

    name = "reverse"
    kinds: ClassVar = (REVERSE_UP, REVERSE_DOWN)

    def __init__(self, *more: Endpoint) -> None:
        self.more = more

    def build(self, store: IObjectStore, tokens: IActionTokens) -> Reverse:
        return Reverse(tokens, self.more)


async def silent(call: ICall, **variables: str) -> None:
    """Answer nothing."""


def raising(error: BaseException) -> Callable[..., Awaitable[None]]:
    """Return a handler that fails."""

    async def handle(call: ICall, **variables: str) -> None:
        raise error

    return handle


class AdapterEndpointTestCase(FrontTestCase):
    def offer(self, *more: Endpoint, **options: Any) -> None:
        """Serve the transfer, with endpoints beside its own."""
        people = {"will": writer(), "rita": reader()}
        options.setdefault("authenticators", [KeyAuthenticator(people)])
        self.serve(more_transfers=[ReverseFactory(*more)], **options)

    def batch(self, operation: str, headers: Any = WILL) -> Action:
        """Ask what to do with the object."""
        response = self.request(
            "POST",
            "/org/repo/objects/batch",
            headers,
            batch_body(operation, {"oid": OID, "size": len(DATA)}, transfers=["reverse"]),
        )
        self.assertEqual((response.status, response.json["transfer"]), (200, "reverse"))
        action = response.json["objects"][0]["actions"][operation]
        return Action(action["href"], action["header"], action["expires_in"])

    def follow(self, method: str, action: Action, body: bytes = b"", query: str = "") -> Response:
        """Do what an action says."""
        path = action.href.removeprefix("http://lfs.example")
        return self.request(method, path + query, action.header, body)


class LifeTests(AdapterEndpointTestCase):
    """What works as the built-in transfers do."""

    def test_it_provides_what_it_is_asked_for(self) -> None:
        self.offer()
        adapter = Reverse(self.front.tokens)
        verifyObject(ITransferAdapter, adapter)
        verifyObject(IEndpoints, adapter)
        verifyObject(ILinks, Links("http://lfs.example", ["org"]))
        verifyObject(ITransferFactory, ReverseFactory(), tentative=True)

    def test_an_object_goes_up_and_comes_down(self) -> None:
        self.offer()
        upload = self.batch("upload")
        self.assertEqual(upload.href, f"http://lfs.example/org/repo/reverse/{OID}")
        self.assertEqual((upload.header or {})["X-Order"], "last first")
        response = self.follow("PUT", upload, DATA[::-1])
        self.assertEqual((response.status, response.body), (201, b"stored"))
        self.assertEqual(response.headers["content-type"], "text/plain")
        self.assertEqual(response.headers["x-who"], "will")
        self.assert_stored(DATA)
        download = self.batch("download", RITA)
        response = self.follow("GET", download)
        self.assertEqual((response.status, response.body), (203, DATA))
        self.assertEqual(response.headers["x-kept"], "order")
        self.assertEqual(self.follow("GET", download, query="?from=5").body, DATA[5:])

    def test_klein_serves_it_too(self) -> None:
        self.offer()
        self.front.forget_fast_routes()
        self.assertEqual(self.follow("PUT", self.batch("upload"), DATA[::-1]).status, 201)
        self.assertEqual(self.follow("GET", self.batch("download")).body, DATA)

    def test_both_forms_of_the_url_lead_to_it(self) -> None:
        self.offer()
        header = self.batch("upload").header
        path = f"/org/repo.git/info/lfs/reverse/{OID}"
        self.assertEqual(self.request("PUT", path, header, DATA[::-1]).status, 201)

    def test_head_tells_the_length_and_sends_nothing(self) -> None:
        self.offer()
        self.front.put(DATA)
        action = self.batch("download")
        connection = self.connect()
        path = action.href.removeprefix("http://lfs.example")
        response = connection.request("HEAD", path, action.header)
        self.assertEqual((response.status, response.headers["content-length"]), (203, "10"))
        self.assertEqual(connection.received, b"")

    def test_other_methods_are_refused_with_those_that_there_are(self) -> None:
        self.offer()
        response = self.request("DELETE", f"/org/repo/reverse/{OID}", WILL)
        self.assert_error(response, 405)
        self.assertEqual(response.headers["allow"], "GET, HEAD, PUT")

    def test_observers_are_told_of_its_objects(self) -> None:
        seen: list[Any] = []

        @implementer(IObserver)
        class Observer:
            def observe(self, event: Any) -> None:
                seen.append(type(event).__name__)

        self.offer(events=Events({"observers.0": Observer()}))
        self.follow("PUT", self.batch("upload"), DATA[::-1])
        self.follow("GET", self.batch("download"))
        self.assertEqual(seen, ["BatchAnswered", "ObjectStored", "BatchAnswered", "ObjectServed"])

    def test_an_object_that_is_not_there_is_404(self) -> None:
        self.offer()
        self.assert_error(self.request("GET", f"/org/repo/reverse/{OID}", WILL), 404)

    def test_bytes_that_are_not_the_objects_are_refused(self) -> None:
        self.offer()
        self.assert_error(self.follow("PUT", self.batch("upload"), DATA), 400)
        self.assert_stored()

    def test_an_upload_of_another_size_than_announced_is_refused(self) -> None:
        self.offer()
        self.assert_error(self.follow("PUT", self.batch("upload"), DATA + b"x"), 400)

    def test_an_empty_answer_may_have_no_length(self) -> None:
        async def empty(call: ICall) -> None:
            call.respond(204)

        self.offer(Endpoint("nothing", ("POST",), empty))
        connection = self.connect()
        response = connection.request("POST", "/org/repo/nothing", WILL)
        self.assertEqual(response.status, 204)
        self.assertNotIn("content-length", response.headers)
        self.assertEqual(connection.request("POST", "/org/repo/nothing", WILL).status, 204)


class PermissionTests(AdapterEndpointTestCase):
    """Who is let in."""

    def test_the_credentials_of_api_calls_are_good_too(self) -> None:
        self.offer()
        path = f"/org/repo/reverse/{OID}"
        self.assertEqual(self.request("PUT", path, WILL, DATA[::-1]).status, 201)
        self.assert_error(self.request("PUT", path, RITA, DATA[::-1]), 403)
        self.assert_error(self.request("PUT", path, {}, DATA[::-1]), 401)

    def test_tokens_of_other_kinds_are_refused(self) -> None:
        self.offer()
        up = self.batch("upload")
        self.assertEqual(self.follow("PUT", up, DATA[::-1]).status, 201)
        down = self.batch("download")
        self.assert_error(self.follow("GET", up), 403)
        self.assert_error(self.follow("PUT", down, DATA[::-1]), 403)
        path = f"/org/repo/objects/storage/{OID}"
        self.assert_error(self.request("PUT", path, up.header, DATA), 403)
        self.assert_error(self.request("GET", path, down.header), 403)

    def test_a_token_opens_its_object_and_no_other(self) -> None:
        self.offer()
        header = self.batch("upload").header
        other = b"other byte"
        path = f"/org/repo/reverse/{oid_of(other)}"
        self.assert_error(self.request("PUT", path, header, other[::-1]), 403)

    def test_an_endpoint_without_a_kind_takes_no_tokens(self) -> None:
        async def who(call: IRepoCall) -> None:
            verifyObject(IRepoCall, call)
            call.respond(200, call.identity.name.encode())

        self.offer(Endpoint("who", ("GET",), who))
        self.assertEqual(self.request("GET", "/org/repo/who", WILL).body, b"will")
        self.assert_error(self.request("GET", "/org/repo/who", self.batch("upload").header), 401)

    def test_a_token_of_a_kind_that_the_endpoint_does_not_name_is_refused_at_once(self) -> None:
        """Even if the handler decides nothing."""
        self.offer(Endpoint("careless", ("GET",), silent, VERIFY))
        header = self.batch("upload").header
        self.assert_error(self.request("GET", "/org/repo/careless", header), 403)

    def test_below_the_root_of_the_server_nobody_is_identified(self) -> None:
        async def about(call: ICall, part: str) -> None:
            verifyObject(ICall, call)
            self.assertFalse(IRepoCall.providedBy(call))
            call.respond(200, f"{part} {call.address} {call.header('x-y')}".encode())

        self.offer(Endpoint("about/{part}", ("GET",), about, server_level=True))
        response = self.request("GET", "/about/me", {"X-Y": "z", "Authorization": "nonsense"})
        self.assertEqual(response.body, b"me 198.51.100.7 z")


class FailureTests(AdapterEndpointTestCase):
    """What goes wrong in a handler."""

    def test_errors_are_answered_as_everywhere(self) -> None:
        self.offer(Endpoint("x", ("GET",), raising(NotFound("it is gone"))))
        response = self.request("GET", "/org/repo/x", WILL)
        self.assert_error(response, 404)
        self.assertEqual(response.json["message"], "it is gone")

    def test_a_failure_is_500_and_in_the_log(self) -> None:
        self.offer(Endpoint("x", ("GET",), raising(KeyError("oh"))))
        self.assert_error(self.request("GET", "/org/repo/x", WILL), 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_an_endpoint_that_exits_is_500_and_in_the_log(self) -> None:
        """Its client must not wait for an answer."""
        self.offer(Endpoint("x", ("GET",), raising(SystemExit(1))))
        self.assert_error(self.request("GET", "/org/repo/x", WILL), 500)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_422_becomes_400(self) -> None:
        """The stock client takes it for success."""

        async def respond(call: ICall) -> None:
            call.respond(422, b"no")

        self.offer(
            Endpoint("raised", ("PUT",), raising(Unprocessable("no"))),
            Endpoint("responded", ("PUT",), respond),
        )
        self.assertEqual(self.request("PUT", "/org/repo/raised", WILL).status, 400)
        self.assertEqual(self.request("PUT", "/org/repo/responded", WILL).status, 400)

    def test_an_object_sent_with_422_is_sent_with_400(self) -> None:
        async def send(call: IRepoCall) -> None:
            stored = MemoryObject(b"x", {})
            download = Download(stored, ObjectKey(call.repo, OID), call.identity, NO_EVENTS)
            await call.send(download, 0, 1, status=422)

        self.offer(Endpoint("sent", ("GET",), send))
        self.assertEqual(self.request("GET", "/org/repo/sent", WILL).status, 400)

    def test_an_endpoint_that_does_not_answer_is_500(self) -> None:
        self.offer(Endpoint("x", ("GET",), silent))
        self.assert_error(self.request("GET", "/org/repo/x", WILL), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_endpoint_that_answers_twice_fails(self) -> None:
        async def twice(call: ICall) -> None:
            call.respond(200, b"one")
            call.respond(200, b"two")

        self.offer(Endpoint("x", ("GET",), twice))
        self.assertEqual(self.request("GET", "/org/repo/x", WILL).body, b"one")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_body_that_is_too_large_for_memory_is_refused(self) -> None:
        self.offer()
        connection = self.connect()
        connection.send(
            render_request(
                "PUT", f"/org/repo/reverse/{OID}", {**WILL, "Content-Length": str(2**21)}
            )
        )
        self.assert_error(connection.response(), 413)


class StartTests(AdapterEndpointTestCase):
    """What is an error at start."""

    def assert_refused(self, endpoint: Endpoint, *words: str) -> None:
        error = self.assertRaises(ConfigError, self.offer, endpoint)
        self.assertEqual(error.path, "transfers.0")
        for word in ("'reverse'", *words):
            self.assertIn(word, error.problem)

    def test_a_url_that_is_taken(self) -> None:
        for path, taken in (
            ("objects/batch", "objects/batch"),
            ("objects/storage/{thing}", "objects/storage/verify"),
            ("objects/storage/{oid}/parts/7", "objects/storage/{oid}/parts/{number}"),
            ("batch", "objects/batch"),
            ("{anything}", "objects/batch"),
            ("reverse/{thing}", "reverse/{oid}"),
        ):
            self.assert_refused(Endpoint(path, ("PUT", "POST"), silent), repr(path), repr(taken))

    def test_a_url_of_the_server_that_some_repository_has(self) -> None:
        endpoint = Endpoint("org/repo/objects/batch", ("POST",), silent, server_level=True)
        self.assert_refused(endpoint, "'objects/batch'")

    def test_a_url_that_another_transfer_has(self) -> None:
        factory = ReverseFactory()
        error = self.assertRaises(
            ConfigError, self.serve, more_transfers=[factory, ReverseFactory()]
        )
        self.assertEqual(error.path, "transfers.1")

    def test_a_malformed_endpoint(self) -> None:
        self.assert_refused(Endpoint("a//b", ("GET",), silent), "'a//b'")
        self.assert_refused(Endpoint("a", ("get",), silent), "'a'")

    def test_tokens_below_the_root_of_the_server(self) -> None:
        self.assert_refused(Endpoint("a", ("GET",), silent, REVERSE_UP, server_level=True), "'a'")

    def test_a_kind_of_action_that_another_transfer_has(self) -> None:
        class Thief(ReverseFactory):
            kinds: ClassVar[Any] = (ActionKind("upload", Permission.READ, Lifetime.TRANSFER),)

        error = self.assertRaises(ConfigError, self.serve, more_transfers=[Thief()])
        self.assertEqual(error.path, "transfers.0")
        self.assertIn("'upload'", error.problem)
