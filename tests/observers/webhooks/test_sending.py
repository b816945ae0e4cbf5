"""One request to one target: receivers that misbehave, addresses that change, certificates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from giftless.base.dialling import Lookups
from giftless.errors import ConfigError
from giftless.observers.webhooks.options import TargetOptions, WebhooksOptions, targets_of
from giftless.observers.webhooks.sending import LONGEST_PAUSE, Outcome, Sender, Verdict
from tests.observers.webhooks.certificates import Authority
from tests.observers.webhooks.test_signing import SECRET
from tests.support.reactor import reactor

#: How long a request may take in tests that wait for its end, in seconds.
TIMEOUT = 0.5

#: How long it may take in all others: much longer than on a loaded machine.
LONG = 60

#: The wall clock of these tests.
NOW = 1795885200


class Answering(Protocol):
    """A server that answers each request by calling a function with itself."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.received = b""

    def connectionMade(self) -> None:
        self.server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self.server.requests.append(self.received)
            self.received = b""
            self.server.answer(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.server.connections.remove(self)
        if self.server.gone is not None and not self.server.connections:
            self.server.gone.callback(None)

    def say(self, data: bytes) -> None:
        """Send something."""
        assert self.transport is not None
        self.transport.write(data)


class Server(Factory):
    """Answers on the loopback interface.

    :ivar requests: the whole requests that have come.
    """

    noisy = False

    def __init__(self, answer: Callable[[Answering], None]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections: list[Answering] = []
        self.gone: Deferred[None] | None = None

    def buildProtocol(self, addr: object) -> Answering:
        return Answering(self)


def saying(text: str) -> Callable[[Answering], None]:
    """Return what answers always the same."""
    data = text.replace("\n", "\r\n").encode()
    return lambda connection: connection.say(data)


#: What a good receiver says.
OK = saying("HTTP/1.1 204 No Content\n\n")


def flood(piece: bytes, first: bytes = b"HTTP/1.1 200 OK\r\n") -> Callable[[Answering], None]:
    """Return what sends a piece again and again, until the client has enough."""

    def answer(connection: Answering) -> None:
        def more() -> None:
            if connection in connection.server.connections:
                connection.say(piece)
                reactor.callLater(0, more)

        connection.say(first)
        more()

    return answer


class SenderTestCase(TestCase):
    """Has a receiver on the loopback interface.

    :ivar limit: how long a request may take, in seconds.
    """

    limit: float = LONG

    def serve(self, answer: Callable[[Answering], None], tls: Any = None) -> Server:
        """Start a receiver."""
        self.server = Server(answer)
        if tls is None:
            listening = reactor.listenTCP(0, self.server, interface="127.0.0.1")
        else:
            listening = reactor.listenSSL(0, self.server, tls, interface="127.0.0.1")
        self.port = listening.getHost().port
        self.addCleanup(self._end)
        self.addCleanup(listening.stopListening)
        return self.server

    def _end(self) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        if not self.server.connections:
            gone.callback(None)
        else:
            self.server.gone = gone
            for connection in self.server.connections:
                transport: Any = connection.transport
                transport.abortConnection()
        return gone

    def sender(self, lookup: Any = None, **options: Any) -> Callable[..., Deferred[Outcome]]:
        """Return what sends a message to a target with these options."""
        given = {
            "name": "ci",
            "url": f"http://127.0.0.1:{self.port}/hook?a=b",
            "secrets": [SECRET],
            "networks": ["127.0.0.0/8"],
            **options,
        }
        targets = targets_of(WebhooksOptions(targets=[TargetOptions(**given)]))
        wall_clock: Any = lambda: NOW  # noqa: E731
        sender = Sender(targets, reactor, lookup or Lookups(reactor), wall_clock, self.limit)
        self.addCleanup(lambda: Deferred.fromCoroutine(sender.close()))

        def send() -> Deferred[Outcome]:
            return Deferred.fromCoroutine(sender.send(targets["ci"], "msg_1", b'{"a":1}'))

        return send

    def send(self, lookup: Any = None, **options: Any) -> Deferred[Outcome]:
        """Send one message."""
        return self.sender(lookup, **options)()


class AnswerTests(SenderTestCase):
    @inlineCallbacks
    def test_a_request_is_as_the_specification_wants_it(self) -> Any:
        server = self.serve(OK)
        outcome = yield self.send()
        self.assertEqual(outcome, Outcome(Verdict.DELIVERED, "status 204"))
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.assertEqual(lines[0], "POST /hook?a=b HTTP/1.1")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.assertEqual(headers["host"], f"127.0.0.1:{self.port}")
        self.assertEqual(headers["webhook-id"], "msg_1")
        self.assertEqual(headers["webhook-timestamp"], str(NOW))
        self.assertTrue(headers["webhook-signature"].startswith("v1,"))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(json.loads(body), {"a": 1})

    @inlineCallbacks
    def test_a_connection_is_used_again(self) -> Any:
        server = self.serve(OK)
        send = self.sender()
        for _ in range(3):
            yield send()
        self.assertEqual((len(server.requests), len(server.connections)), (3, 1))

    @inlineCallbacks
    def test_each_answer_has_its_meaning(self) -> Any:
        self.serve(lambda connection: saying(answers.pop(0))(connection))
        send = self.sender()
        date = "Sat, 28 Nov 2026 17:02:00 GMT"
        for answer, verdict, pause in (
            ("200 OK", Verdict.DELIVERED, 0),
            ("299 OK", Verdict.DELIVERED, 0),
            ("301 Moved\nLocation: http://127.0.0.1/", Verdict.REFUSED, 0),
            ("307 Moved\nLocation: /other", Verdict.REFUSED, 0),
            ("400 Bad", Verdict.REFUSED, 0),
            ("404 No", Verdict.REFUSED, 0),
            ("500 No\nRetry-After: 5", Verdict.REFUSED, 0),
            ("410 Gone", Verdict.GONE, 0),
            ("429 Slower\nRetry-After: 7", Verdict.AWAY, 7),
            ("503 Later\nRetry-After: 99999999999", Verdict.AWAY, LONGEST_PAUSE),
            (f"503 Later\nRetry-After: {date}", Verdict.AWAY, 120),
            ("503 Later\nRetry-After: soon", Verdict.AWAY, 0),
            ("503 Later\nRetry-After: -5", Verdict.AWAY, 0),
            ("503 Later\nRetry-After: Sat, 28 Nov 2020 17:02:00 GMT", Verdict.AWAY, 0),
            ("502 Bad", Verdict.AWAY, 0),
            ("504 Late", Verdict.AWAY, 0),
        ):
            answers = [f"HTTP/1.1 {answer}\nContent-Length: 0\n\n"]
            outcome = yield send()
            self.assertEqual((outcome.verdict, outcome.pause), (verdict, pause), answer)
        self.assertEqual(len(self.server.requests), 16, "no redirect was followed")

    @inlineCallbacks
    def test_a_target_that_nobody_listens_for_is_away(self) -> Any:
        self.serve(OK)
        send = self.sender(url="http://127.0.0.1:1/")
        outcome = yield send()
        self.assertEqual(outcome.verdict, Verdict.AWAY)
        self.assertIn("refused", outcome.words)


class MisbehaviourTests(SenderTestCase):
    """Whatever a receiver does, an attempt ends in time and holds little memory."""

    def assert_away(self, outcome: Outcome, words: str) -> None:
        """Check that an attempt was in vain, and why."""
        self.assertEqual(outcome.verdict, Verdict.AWAY)
        self.assertIn(words, outcome.words)

    @inlineCallbacks
    def test_a_receiver_that_never_answers_is_away(self) -> Any:
        self.limit = TIMEOUT
        self.serve(lambda connection: None)
        outcome = yield self.send()
        self.assert_away(outcome, f"no whole answer within {TIMEOUT} seconds")

    @inlineCallbacks
    def test_an_answer_that_never_ends_is_no_delivery(self) -> Any:
        self.limit = TIMEOUT
        self.serve(saying("HTTP/1.1 200 OK\nContent-Length: 5\n\nabc"))
        outcome = yield self.send()
        self.assert_away(outcome, "no whole answer")

    @inlineCallbacks
    def test_a_body_without_an_end_is_cut_off(self) -> Any:
        """The status counts; the rest is not read."""
        server = self.serve(flood(b"\r\n" + b"x" * 65536))
        outcome = yield self.send()
        self.assertEqual(outcome.verdict, Verdict.DELIVERED)
        yield self._ended(server)

    @inlineCallbacks
    def test_headers_without_an_end_are_cut_off(self) -> Any:
        server = self.serve(flood(b"X-More: " + b"x" * 1000 + b"\r\n"))
        outcome = yield self.send()
        self.assert_away(outcome, "the connection failed")
        yield self._ended(server)

    @inlineCallbacks
    def test_interim_responses_without_an_end_are_cut_off(self) -> Any:
        server = self.serve(flood(b"HTTP/1.1 102 Processing\r\n\r\n" * 100, b""))
        outcome = yield self.send()
        self.assert_away(outcome, "the connection failed")
        yield self._ended(server)

    @inlineCallbacks
    def test_something_else_than_http_is_no_delivery(self) -> Any:
        self.serve(saying("220 smtp.example.com ESMTP\n"))
        outcome = yield self.send()
        self.assert_away(outcome, "the connection failed")

    @inlineCallbacks
    def test_a_connection_that_is_cut_is_no_delivery(self) -> Any:
        self.serve(lambda connection: connection.transport.loseConnection())  # type: ignore[union-attr]
        outcome = yield self.send()
        self.assert_away(outcome, "the connection failed")

    def _ended(self, server: Server) -> Deferred[None]:
        """Wait until the client has cut all connections: it took no more than the limit."""
        if not server.connections:
            return Deferred.fromCoroutine(_nothing())
        server.gone = Deferred()
        return server.gone


async def _nothing() -> None:
    pass


class AddressTests(SenderTestCase):
    """What was resolved and checked is what is dialled."""

    @inlineCallbacks
    def test_an_address_that_is_not_public_is_not_dialled(self) -> Any:
        server = self.serve(OK)
        for host in (
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f.1",
        ):
            send = self.sender(url=f"http://{host}:{self.port}/", networks=[])
            outcome = yield send()
            self.assertEqual(outcome.verdict, Verdict.AWAY, host)
            self.assertIn("no public address", outcome.words)
        self.assertEqual((server.requests, server.connections), ([], []))

    @inlineCallbacks
    def test_a_name_that_changes_its_address_is_checked_each_time(self) -> Any:
        """DNS rebinding: the answer to a second question leads to a private address."""
        server = self.serve(OK)
        asked: list[str] = []

        async def rebinding(host: str) -> Sequence[str]:
            asked.append(host)
            # The first answer leads nowhere, but may be dialled.
            return ["127.9.9.9"] if len(asked) == 1 else ["127.0.0.1"]

        url = f"http://evil.example.com:{self.port}/"
        send = self.sender(rebinding, url=url, networks=["127.9.9.9"])
        first = yield send()
        self.assertIn("refused", first.words)
        self.assertEqual(len(asked), 1, "it is asked once for one connection")
        second = yield send()
        self.assertIn("no public address", second.words)
        self.assertEqual(server.requests, [])

    @inlineCallbacks
    def test_of_several_addresses_only_those_that_may_be_are_dialled(self) -> Any:
        server = self.serve(OK)

        async def several(host: str) -> Sequence[str]:
            return ["10.0.0.1", "::1", "127.0.0.1"]

        url = f"http://ci.example.com:{self.port}/"
        outcome = yield self.send(several, url=url, networks=["127.0.0.1"])
        self.assertEqual(outcome.verdict, Verdict.DELIVERED)
        self.assertIn(b"Host: ci.example.com:", server.requests[0])

    @inlineCallbacks
    def test_the_next_address_is_tried_if_one_does_not_answer(self) -> Any:
        self.serve(OK)

        async def several(host: str) -> Sequence[str]:
            return ["127.9.9.9", "127.0.0.1"]

        outcome = yield self.send(several, url=f"http://ci.example.com:{self.port}/")
        self.assertEqual(outcome.verdict, Verdict.DELIVERED)

    @inlineCallbacks
    def test_a_name_that_does_not_exist_is_away(self) -> Any:
        self.serve(OK)

        async def unknown(host: str) -> Sequence[str]:
            raise OSError(-2, "Name or service not known")

        outcome = yield self.send(unknown, url="http://none.invalid/")
        self.assertEqual(outcome, Outcome(Verdict.AWAY, "Name or service not known"))

    @inlineCallbacks
    def test_a_resolver_that_hangs_holds_up_nobody(self) -> Any:
        self.limit = TIMEOUT
        self.serve(OK)
        outcome = yield self.send(lambda host: Deferred(), url="http://slow.example.com/")
        self.assertEqual(outcome.words, f"no whole answer within {TIMEOUT} seconds")

    @inlineCallbacks
    def test_names_are_looked_up_by_the_system(self) -> Any:
        lookups = Lookups(reactor)
        found = yield lookups("localhost")
        self.assertIn("127.0.0.1", found)
        yield self.assertFailure(lookups("none.invalid"), OSError)
        yield self.assertFailure(lookups("a" * 300), OSError)


class TLSTests(SenderTestCase):
    """TLS is verified against the name in the URL."""

    def serve_as(self, name: str) -> Authority:
        """Start a receiver with the certificate of a name."""
        authority = Authority()
        self.serve(OK, authority.server(name))
        return authority

    def to(self, host: str, ca: bytes) -> Deferred[Outcome]:
        """Send to a host that is here, and believe an authority."""
        file = self.mktemp()
        with open(file, "wb") as stream:
            stream.write(ca)

        async def here(name: str) -> Sequence[str]:
            return ["127.0.0.1"]

        return self.send(here, url=f"https://{host}:{self.port}/", ca_file=file)

    @inlineCallbacks
    def test_the_host_of_the_url_is_believed(self) -> Any:
        authority = self.serve_as("ci.example.com")
        outcome = yield self.to("ci.example.com", Authority().pem + authority.pem)
        self.assertEqual(outcome.verdict, Verdict.DELIVERED)

    @inlineCallbacks
    def test_another_host_is_not_believed(self) -> Any:
        authority = self.serve_as("evil.example.com")
        outcome = yield self.to("ci.example.com", authority.pem)
        self.assertEqual(outcome.verdict, Verdict.AWAY)
        self.assertEqual(self.server.requests, [])
        self.assertIn("certificate", outcome.words)

    @inlineCallbacks
    def test_an_authority_that_nobody_trusts_is_not_believed(self) -> Any:
        self.serve_as("ci.example.com")
        outcome = yield self.to("ci.example.com", Authority().pem)
        self.assertEqual(outcome.verdict, Verdict.AWAY)
        self.assertIn("certificate verify failed", outcome.words)

    def test_a_file_without_certificates_is_refused(self) -> None:
        self.port = 1
        file = self.mktemp()
        with open(file, "wb") as stream:
            stream.write(b"no certificate")
        error = self.assertRaises(ConfigError, self.sender, ca_file=file)
        self.assertEqual(error.path, "targets.0.ca_file")
