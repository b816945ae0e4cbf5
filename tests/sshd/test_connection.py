"""Messages behind the login, as strangers' programs may send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.ssh_wire import string, uint32
from giftless.sshd.channel import Channel
from giftless.sshd.connection import Connection
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.windows import Windows
from tests.support.rounds import rounds

LIMIT = 3

small = st.integers(0, 4).map(uint32)
number = st.one_of(small, st.integers(0, 2**32 - 1).map(uint32))
text = st.one_of(
    st.sampled_from([b"session", b"exec", b"shell", b"env", b"direct-tcpip"]), st.binary(max_size=9)
).map(string)
field = st.one_of(number, text, st.binary(max_size=3))
#: What a message begins with so that it is looked at.
begun = st.one_of(
    st.tuples(st.just(90), st.just(string(b"session")), number, number, number),
    st.tuples(st.sampled_from([93, 94, 96, 97]), small, field),
    st.tuples(st.just(98), small, text, st.sampled_from([b"\0", b"\1"]), field),
    st.tuples(st.integers(50, 255), field, field, field),
)


class Transport:
    """Counts what is sent, and takes it now and then."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    @property
    def writable(self) -> bool:
        return len(self.sent) % 3 != 0

    def sendPacket(self, messageType: int, payload: bytes) -> None:
        self.sent.append((messageType, payload))

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        raise AssertionError("nobody has told it to leave")


class Use:
    """Answers all that comes, and ends with it."""

    def __init__(self, channel: Channel, notes: list[str]) -> None:
        self._channel = channel
        self._notes = notes

    def request(self, name: bytes, rest: bytes) -> Callable[[], None] | None:
        return None if name == b"env" else lambda: self._channel.write(name, is_error=True)

    def received(self, data: bytes) -> None:
        self._channel.write(data)
        self._channel.taken(len(data))

    def pass_on(self) -> None:
        self._notes.append("pass on")

    def ended(self) -> None:
        self._channel.finish(0)

    def lost(self) -> None:
        self._notes.append("lost")

    def hold(self) -> None:
        self._notes.append("hold")

    def go_on(self) -> None:
        self._notes.append("go on")


class HostileTests(SynchronousTestCase):
    @settings(max_examples=rounds(200, 20_000), deadline=None)
    @given(st.lists(begun, max_size=30))
    def test_whatever_comes_ends_the_connection_at_most(self, messages: list[Any]) -> None:
        notes: list[str] = []
        windows, transport = Windows(), Transport()
        connection = Connection(lambda channel: Use(channel, notes), windows, LIMIT)
        as_transport: Any = transport
        connection.transport = as_transport
        try:
            for kind, *fields in messages:
                connection.packetReceived(kind, b"".join(fields))
                connection.pass_on()
                connection.go_on()
                self.assertLessEqual(len(connection.channels), LIMIT)
                self.assertEqual(windows.channels, len(connection.channels))
        except BrokenProtocol:
            pass
        opened = sum(kind == 91 for kind, _ in transport.sent)
        connection.serviceStopped()
        self.assertEqual(windows.channels, 0)
        self.assertEqual(notes.count("lost"), opened)
