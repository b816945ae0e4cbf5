"""Connections that come by way of a proxy, which says where they come from."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.sockets.proxied import PATIENCE, Proxied, believes_of

PROXY = IPv4Address("TCP", "192.0.2.1", 5)
CLIENT = IPv4Address("TCP", "203.0.113.7", 6)


class Told(Protocol):
    """Notes what it is told."""

    transport: Any
    factory: Any

    def connectionMade(self) -> None:
        self.factory.told.append(self.transport.getPeer())

    def dataReceived(self, data: bytes) -> None:
        self.factory.told.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.told.append("lost")


class Behind(Factory):
    """What is behind a proxy: notes addresses too; takes nobody if told so."""

    protocol = Told

    def __init__(self) -> None:
        self.told: list[object] = []
        self.full = False

    def buildProtocol(self, addr: Any) -> Any:
        self.told.append(addr)
        return None if self.full else super().buildProtocol(addr)


class ProxiedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.behind = Behind()
        self.transport = StringTransport(peerAddress=PROXY)

    def connect(self, *trusted: str, proxy: Any = PROXY) -> Protocol:
        """Let a proxy connect."""
        factory = Proxied(self.behind, believes_of(trusted), self.clock)
        protocol = factory.buildProtocol(proxy)
        protocol.makeConnection(self.transport)
        return protocol

    def say(self, protocol: Protocol, data: bytes) -> None:
        """Let the client say something, behind what the proxy has said."""
        self.transport.peerAddr = CLIENT
        protocol.dataReceived(data)

    def test_a_connection_begins_when_its_client_speaks(self) -> None:
        protocol = self.connect()
        self.assertEqual(self.behind.told, [])
        self.say(protocol, b"one")
        self.say(protocol, b"two")
        protocol.connectionLost()
        self.assertEqual(self.behind.told, [CLIENT, CLIENT, b"one", b"two", "lost"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_is_silent_is_left(self) -> None:
        protocol = self.connect()
        self.clock.advance(PATIENCE)
        self.assertTrue(self.transport.disconnected)
        protocol.connectionLost()
        self.assertEqual(self.behind.told, [])

    def test_one_that_leaves_without_a_word_was_never_there(self) -> None:
        self.connect().connectionLost()
        self.assertEqual((self.behind.told, self.clock.getDelayedCalls()), ([], []))

    def test_only_trusted_proxies_are_believed(self) -> None:
        for trusted, proxy in (
            (["192.0.2.0/24"], PROXY),
            (["unix"], UNIXAddress("/run/proxy")),
        ):
            self.connect(*trusted, proxy=proxy)
            self.assertFalse(self.transport.disconnected)
        for trusted, proxy in (
            (["192.0.2.2"], PROXY),
            (["192.0.2.2"], UNIXAddress("/run/proxy")),
            (["unix"], PROXY),
        ):
            self.transport = StringTransport(peerAddress=proxy)
            protocol = self.connect(*trusted, proxy=proxy)
            self.assertTrue(self.transport.disconnected)
            self.say(protocol, b"I am somebody else")
            protocol.connectionLost()
        self.assertEqual(self.behind.told, [])

    def test_who_has_too_many_connections_gets_no_more(self) -> None:
        self.behind.full = True
        protocol = self.connect()
        self.say(protocol, b"one")
        self.assertTrue(self.transport.disconnected)
        protocol.connectionLost()
        self.assertEqual(self.behind.told, [CLIENT])

    def test_ports_begin_and_end_with_the_factory(self) -> None:
        factory = Proxied(self.behind, believes_of([]), self.clock)
        factory.doStart()
        self.assertEqual(self.behind.numPorts, 1)
        factory.doStop()
        self.assertEqual(self.behind.numPorts, 0)
