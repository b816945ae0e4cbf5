"""The listener over TCP: what clients may do, and that all else is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from socket import (
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_KEEPIDLE,
    TCP_NODELAY,
)
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.conch.ssh.keys import Key
from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy import proxyEndpoint
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.base.ssh_greeting import Owned, Session, WhoseKey
from giftless.base.ssh_wire import string, uint32
from giftless.interfaces import IFront
from giftless.runtime.sockets.proxied import Proxied, everybody
from giftless.runtime.ssh_instance import build_listener
from giftless.sshd.channel import MAX_DATA
from giftless.sshd.options import ListenerOptions
from giftless.sshd.wire import Fields
from giftless.sshd.workers import ATTEMPTS
from tests.sshd.client import Client, connect, log_in, reactor
from tests.sshd.workers import BLOCK, StandIn
from tests.support.processes import PATIENCE

#: How often is looked whether something has happened, in seconds.
LOOK = 0.02


class ListenerTestCase(TestCase):
    """A listener with a key that it knows, whose is ``ada``."""

    max_channels = 64
    timeout = PATIENCE

    def setUp(self) -> Any:
        return Deferred.fromCoroutine(self.start())

    async def start(self) -> None:
        """Start the listener, and a worker behind it."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        # Paths of Unix sockets are short.
        short = Path(tempfile.mkdtemp(prefix="giftless"))
        self.addCleanup(short.rmdir)
        self.workers = StandIn(short / "socket")
        await self.workers.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.workers.stop()))
        options = ListenerOptions(
            host_keys=[],
            state_dir=str(folder / "state"),
            socket=str(self.workers.path),
            login_timeout=60,
            login_attempts=3,
            max_logins=100,
            max_channels=self.max_channels,
        )
        tally = Tally()
        counted = tally.open()
        self.front = build_listener(options, reactor, Counts(Slab(counted.descriptor)))
        self.addCleanup(tally.retire, counted)
        self.tally = tally
        port = reactor.listenTCP(0, self.front.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.addCleanup(lambda: Deferred.fromCoroutine(self.front.drain(0)))
        self.key = Key(ed25519.Ed25519PrivateKey.generate())
        self.workers.owners[self.key.public().blob()] = Owned("ada", "test")

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the numbers of a family that are not 0, by the values of its labels."""
        for family, series in self.tally.sums():
            if family.name == name:
                return {labels: number for labels, (number,) in series.items() if number}
        raise AssertionError(f"nobody counts {name}")

    async def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so; the test's own time-out ends that."""
        while not condition():
            await deferLater(reactor, LOOK)

    async def run_command(self, client: Client, command: bytes) -> int:
        """Open a channel and run a command; returns the channel's number."""
        number = await client.open()
        client.request(number, b"exec", string(command))
        await client.get(99)
        return number


class LoginTests(ListenerTestCase):
    async def test_the_front_is_one_for_endpoints(self) -> None:
        verifyObject(IFront, self.front)

    async def test_a_known_key_logs_in(self) -> None:
        client = await log_in(self.port, self.key)
        self.assertFalse(client.lost)
        (greeting,) = self.workers.greetings
        assert isinstance(greeting, WhoseKey)
        self.assertEqual((greeting.login, greeting.address), ("git", "127.0.0.1"))

    async def started(self) -> Client:
        client = await connect(self.port)
        client.sendPacket(5, string(b"ssh-userauth"))
        await client.get(6)
        return client

    async def test_a_proxy_says_where_a_client_comes_from(self) -> None:
        endpoint = proxyEndpoint(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        factory = Proxied(self.front.factory, everybody, reactor)
        port: Any = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        await log_in(port.getHost().port, self.key, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n")
        (greeting,) = self.workers.greetings
        assert isinstance(greeting, WhoseKey)
        self.assertEqual(greeting.address, "192.0.2.7")
        (connection,) = self.front.factory._open
        # What one address may have is counted by this.
        self.assertEqual(connection.network, "192.0.2.7")

    async def test_only_keys_are_offered_as_a_way_to_log_in(self) -> None:
        client = await self.started()
        client.request_login(b"none")
        self.assertEqual(Fields(await client.get(51)).string(), b"publickey")
        client.request_login(b"password", b"\0" + string(b"secret"))
        await client.get(51)
        client.request_login(b"keyboard-interactive", string(b"") + string(b""))
        await client.get(51)

    async def test_a_key_is_confirmed_before_it_signs(self) -> None:
        client = await self.started()
        client.ask(self.key)
        fields = Fields(await client.get(60))
        self.assertEqual(fields.string(), b"ssh-ed25519")
        self.assertEqual(fields.string(), self.key.public().blob())

    async def test_an_unknown_key_is_refused(self) -> None:
        client = await self.started()
        client.sign(Key(ed25519.Ed25519PrivateKey.generate()))
        await client.get(51)

    async def test_a_signature_of_another_connection_is_refused_unasked(self) -> None:
        client = await self.started()
        client.sign(self.key, session=b"another session")
        await client.get(51)
        self.assertEqual(self.workers.greetings, [])

    async def test_a_key_that_somebody_else_signs_with_is_refused(self) -> None:
        """The known key is named, another one signs."""
        client = await self.started()
        other = Key(ed25519.Ed25519PrivateKey.generate())
        client.sign(other, blob=self.key.public().blob())
        await client.get(51)

    async def test_attempts_are_counted(self) -> None:
        client = await self.started()
        for _ in range(3):
            client.sign(Key(ed25519.Ed25519PrivateKey.generate()))
        await self.wait_for(lambda: client.lost)
        self.assertEqual(client.disconnected, b"Too many authentication failures")

    async def test_the_count_cannot_be_started_anew(self) -> None:
        client = await self.started()
        client.sendPacket(5, string(b"ssh-userauth"))
        await self.wait_for(lambda: client.lost)

    async def test_nobody_asks_about_keys_without_end(self) -> None:
        client = await self.started()
        for _ in range(100):
            client.ask(self.key)
        await self.wait_for(lambda: client.lost)
        self.assertLess(len(self.workers.greetings), 20)

    async def test_a_worker_that_dies_meanwhile_is_asked_again(self) -> None:
        self.workers.broken = 2
        await log_in(self.port, self.key)

    async def test_users_are_told_if_nobody_knows_now_whose_keys_are(self) -> None:
        self.workers.broken = ATTEMPTS
        client = await self.started()
        client.sign(self.key)
        self.assertIn(b"try again later", await client.get(53))
        await client.get(51)

    async def test_a_problem_of_a_keyring_is_no_yes(self) -> None:
        self.workers.owners[self.key.public().blob()] = Owned(problem="the forge is down")
        client = await self.started()
        client.sign(self.key)
        await client.get(53)
        await client.get(51)

    async def test_sessions_need_a_login(self) -> None:
        for number, payload in (
            (90, string(b"session") + bytes(12)),
            (5, string(b"ssh-connection")),
            (20, b""),
            (30, string(b"x" * 32)),
            (21, b""),
            (0, b""),
            (255, b"?"),
        ):
            client = await self.started()
            client.sendPacket(number, payload)
            await self.wait_for(partial(getattr, client, "lost"))
        self.assertEqual(self.workers.greetings, [])


class SessionTests(ListenerTestCase):
    async def test_bytes_pass_both_ways_until_the_end(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"echo 'a b'")
        client.send(number, b"hello")
        self.assertEqual(Fields((await client.get(94))[4:]).string(), b"hello")
        client.sendPacket(96, uint32(number))
        await client.get(96)
        self.assertIn(b"exit-status\0" + uint32(0), await client.get(98))
        await client.get(97)
        session = self.workers.greetings[-1]
        self.assertEqual(session, Session("ada", "test", "echo 'a b'", "127.0.0.1"))

    async def test_short_messages_are_passed_on_at_once(self) -> None:
        """Without a turn of the reactor for each, and what comes together in one piece."""
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"echo")
        await self.wait_for(lambda: any(each.command for each in self.workers.connections))
        (worker,) = self.workers.connections
        pieces, waited = [], []
        received, add_writer = worker.received, reactor.addWriter

        def receive(data: bytes) -> None:
            pieces.append(data)
            received(data)

        def add(writer: Any) -> None:
            waited.append(type(writer))
            add_writer(writer)

        self.patch(worker, "received", receive)
        self.patch(reactor, "addWriter", add)
        for word in (b"one ", b"two ", b"three"):
            client.send(number, word)
        self.assertEqual(Fields((await client.get(94))[4:]).string(), b"one two three")
        self.assertEqual(pieces, [b"one two three"])
        self.assertNotIn(tcp.Server, waited)
        self.assertNotIn(unix.Client, waited)

    async def test_a_refusal_has_its_words_and_its_status(self) -> None:
        client = await log_in(self.port, self.key)
        await self.run_command(client, b"refuse")
        self.assertEqual(Fields((await client.get(94))[4:]).string(), b"some\n")
        self.assertEqual(Fields((await client.get(95))[8:]).string(), b"giftless: no\n")
        self.assertIn(uint32(3), await client.get(98))

    async def test_data_that_comes_early_is_not_lost(self) -> None:
        client = await log_in(self.port, self.key)
        number = await client.open()
        client.request(number, b"exec", string(b"take"))
        client.send(number, b"x" * 1000)
        client.sendPacket(96, uint32(number))
        self.assertEqual(Fields((await client.get(94))[4:]).string(), b"1000\n")

    async def test_a_user_who_wants_a_shell_is_greeted(self) -> None:
        client = await log_in(self.port, self.key)
        number = await client.open()
        client.request(number, b"shell")
        await client.get(99)
        self.assertIn(b"you are ada here", await client.get(95))
        self.assertIn(uint32(1), await client.get(98))

    async def test_everything_else_is_refused(self) -> None:
        client = await log_in(self.port, self.key)
        number = await client.open()
        for name in (
            b"pty-req",
            b"env",
            b"x11-req",
            b"subsystem",
            b"auth-agent-req@openssh.com",
            b"signal",
            b"window-change",
            b"__class__",
            b"\xff\0",
        ):
            client.request(number, name, string(b"x") + string(b"y"))
            await client.get(100)
        for kind in (b"direct-tcpip", b"x11", b"forwarded-tcpip", b"tun@openssh.com"):
            client.sendPacket(90, string(kind) + uint32(5) + uint32(1000) + uint32(1000))
            await client.get(92)
        for name in (b"tcpip-forward", b"streamlocal-forward@openssh.com", b"keepalive@x"):
            client.sendPacket(80, string(name) + b"\1" + string(b"") + uint32(0))
            await client.get(82)
        client.request(number, b"exec", string(b"echo"))
        await client.get(99)
        client.request(number, b"exec", string(b"echo"))
        await client.get(100)

    async def test_so_many_sessions_and_no_more(self) -> None:
        client = await log_in(self.port, self.key)
        numbers = [await self.run_command(client, b"echo") for _ in range(self.max_channels)]
        client.sendPacket(90, string(b"session") + uint32(9) + uint32(1000) + uint32(1000))
        await client.get(92)
        for number in numbers:
            client.send(number, b"%d" % number)
        answers = {Fields((await client.get(94))[4:]).string() for _ in numbers}
        self.assertEqual(answers, {b"%d" % number for number in numbers})
        client.sendPacket(97, uint32(numbers[0]))
        await client.get(97)
        await self.run_command(client, b"echo")

    async def test_a_key_that_is_taken_away_opens_no_more_sessions(self) -> None:
        client = await log_in(self.port, self.key)
        self.workers.owners.clear()
        await self.run_command(client, b"echo")
        self.assertIn(b"no longer one of ada", await client.get(95))

    async def test_a_client_that_goes_takes_everything_along(self) -> None:
        client = await log_in(self.port, self.key)
        for command in (b"echo", b"take", b"give 100000000"):
            await self.run_command(client, command)
        await self.wait_for(lambda: len(self.workers.connections) == 3)
        client.transport.abortConnection()
        await self.wait_for(lambda: not self.workers.connections)
        await self.front.drain(60)

    async def test_a_worker_that_dies_ends_the_session_with_words(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"stall")
        await self.wait_for(lambda: any(each.command for each in self.workers.connections))
        # It has something to read, so the kernel says that it is gone.
        client.send(number, b"x" * 1000)
        await deferLater(reactor, LOOK)
        (worker,) = self.workers.connections
        worker.transport.abortConnection()
        await client.get(97)
        self.assertFalse(client.lost)
        await self.run_command(client, b"echo")

    async def test_a_worker_that_dies_while_nothing_is_said_ends_the_session_with_a_failure(
        self,
    ) -> None:
        client = await log_in(self.port, self.key)
        await self.run_command(client, b"echo")
        await self.wait_for(lambda: any(each.command for each in self.workers.connections))
        (worker,) = self.workers.connections
        worker.transport.abortConnection()
        self.assertIn(b"broken off", await client.get(95))
        self.assertIn(b"exit-status\0" + uint32(1), await client.get(98))

    async def test_a_worker_that_dies_before_it_answers_is_asked_again(self) -> None:
        client = await log_in(self.port, self.key)
        self.workers.broken = 2
        number = await self.run_command(client, b"echo")
        client.send(number, b"hello")
        await client.get(94)

    async def test_hostile_command_lines_come_as_they_are(self) -> None:
        client = await log_in(self.port, self.key)
        for command in (b"refuse '; rm -rf /", b"refuse $(id)\n\0", b"refuse \xff\xfe", b"refuse"):
            await self.run_command(client, command)
            await client.get(97)
            session = self.workers.greetings[-1]
            assert isinstance(session, Session)
            self.assertEqual(session.command, command.decode(errors="replace"))

    async def test_a_command_line_that_is_too_long_ends_with_words(self) -> None:
        client = await log_in(self.port, self.key)
        await self.run_command(client, b"refuse " + b"x" * 100_000)
        self.assertIn(b"giftless: ", await client.get(95))


class BackPressureTests(ListenerTestCase):
    async def test_a_client_is_held_up_by_a_worker_that_does_not_read(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"stall")
        await self.wait_for(lambda: any(each.command for each in self.workers.connections))
        (worker,) = self.workers.connections
        room, sent = client.room, 0
        while True:
            while room >= MAX_DATA:
                client.send(number, bytes(MAX_DATA))
                room, sent = room - MAX_DATA, sent + MAX_DATA
            await deferLater(reactor, 10 * LOOK)
            more = [message for message in client.got if message[0] == 93]
            if not more:
                break
            client.got.clear()
            room += sum(Fields(payload[4:]).uint32() for _, payload in more)
        # A window, and what lies in the kernel.
        self.assertLess(sent, 4 * 2**20)
        worker.transport.resumeProducing()
        await client.get(93)
        await self.wait_for(lambda: worker.taken == sent)

    async def test_a_worker_is_held_up_by_a_client_that_does_not_read(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"give 10000000")
        await self.wait_for(lambda: any(each.command for each in self.workers.connections))
        (worker,) = self.workers.connections
        left = 0
        while left != worker.left:
            left = worker.left
            await deferLater(reactor, 10 * LOOK)
        # The client's window, and what lies in the kernel and in one buffer.
        self.assertGreater(left, 5_000_000)
        got = bytearray()
        while len(got) < 10_000_000:
            data = Fields((await client.get(94))[4:]).string()
            got += data
            client.sendPacket(93, uint32(number) + uint32(len(data)))
        self.assertEqual(got, (BLOCK * 153)[:10_000_000])
        await client.get(97)

    async def test_one_channel_that_stalls_does_not_hold_up_another(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"stall")
        for _ in range(client.room // MAX_DATA):
            client.send(number, bytes(MAX_DATA))
        other = await self.run_command(client, b"echo")
        client.send(other, b"hello")
        self.assertEqual(Fields((await client.get(94))[4:]).string(), b"hello")

    async def test_answers_that_nobody_reads_do_not_pile_up(self) -> None:
        client = await log_in(self.port, self.key)
        client.transport.pauseProducing()
        (transport,) = self.front.factory._open
        # The kernel takes little.
        for socket, option in (
            (transport.transport.socket, SO_SNDBUF),
            (client.transport.socket, SO_RCVBUF),
        ):
            socket.setsockopt(SOL_SOCKET, option, 4096)
        for _ in range(20):
            for _ in range(1000):
                client.sendPacket(80, string(b"keepalive@openssh.com") + b"\1")
            await deferLater(reactor, 0)
        await self.wait_for(lambda: transport._deaf)
        waits = len(transport.transport.dataBuffer) + transport.transport._tempDataLen
        self.assertLess(waits, 700_000)
        client.transport.resumeProducing()
        await client.open()


class BrokenProtocolTests(ListenerTestCase):
    async def test_logins_are_counted_by_their_results(self) -> None:
        client = await log_in(self.port, self.key)
        strangers = [await connect(self.port) for _ in range(3)]
        self.assertEqual(self.counted("giftless_ssh_connections"), {(): 4})
        strangers[0].transport.loseConnection()
        strangers[1].sendPacket(90, b"")
        await self.wait_for(lambda: len(self.counted("giftless_ssh_logins_total")) == 3)
        await self.front.drain(0)
        await self.wait_for(lambda: strangers[2].lost and client.lost)
        self.assertEqual(
            self.counted("giftless_ssh_logins_total"),
            {(result,): 1 for result in ("succeeded", "refused", "turned_away", "left")},
        )
        self.assertEqual(self.counted("giftless_ssh_connections"), {})

    async def test_whatever_breaks_the_protocol_ends_the_connection_alone(self) -> None:
        window = 2 * 2**20
        for number, payload in (
            (94, uint32(7) + string(b"no such channel")),
            (94, uint32(0) + uint32(1000) + b"short"),
            (94, b""),
            (94, uint32(0) + string(bytes(MAX_DATA + 1))),
            (93, uint32(0) + uint32(2**32 - 1)),
            (98, uint32(0) + string(b"exec")),
            (98, uint32(0) + string(b"exec") + b"\1" + uint32(2**31) + b"x"),
            (90, string(b"session")),
            (80, uint32(2**32 - 1)),
            (91, bytes(16)),
            (50, b"again"),
            (99, uint32(0)),
            (30, b"x"),
            (7, uint32(2**32 - 1)),
            (1, b""),
        ):
            client = await log_in(self.port, self.key)
            await client.open(window=window)
            client.sendPacket(number, payload)
            await self.wait_for(partial(getattr, client, "lost"))
        await self.wait_for(lambda: not self.front.factory._open)

    async def test_the_kernel_finds_out_whether_a_client_is_still_there(self) -> None:
        await log_in(self.port, self.key)
        (transport,) = self.front.factory._open
        socket = transport.transport.getHandle()
        self.assertTrue(socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE))
        self.assertEqual(socket.getsockopt(IPPROTO_TCP, TCP_KEEPIDLE), 600)
        self.assertTrue(socket.getsockopt(IPPROTO_TCP, TCP_NODELAY))

    async def test_nothing_is_kept_of_what_comes_behind_the_end(self) -> None:
        transport = self.front.factory.buildProtocol(None)
        transport.makeConnection(StringTransport(peerAddress=UNIXAddress(None)))
        transport.dataReceived(b"SSH-2.0-client\r\n" + bytes(100))
        for _ in range(10):
            transport.dataReceived(bytes(100_000))
        self.assertLess(len(transport.buf), 1000)
        transport.connectionLost()

    async def test_more_than_the_window_is_refused(self) -> None:
        client = await log_in(self.port, self.key)
        number = await client.open()
        for _ in range(client.room // MAX_DATA + 1):
            client.send(number, bytes(MAX_DATA))
        await self.wait_for(lambda: client.lost)

    async def test_packets_that_are_too_small_are_not_made(self) -> None:
        client = await log_in(self.port, self.key)
        client.sendPacket(90, string(b"session") + uint32(0) + uint32(1000) + uint32(0))
        await client.get(92)

    async def test_keys_can_be_exchanged_again_meanwhile(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"give 1000000")
        client.sendKexInit()
        got = 0
        while got < 1_000_000:
            got += len(Fields((await client.get(94))[4:]).string())
        await client.get(97)
        number = await self.run_command(client, b"echo")
        client.send(number, b"hello")
        await client.get(94)


class EndTests(ListenerTestCase):
    async def test_a_listener_that_retires_waits_for_sessions(self) -> None:
        busy = await log_in(self.port, self.key)
        number = await self.run_command(busy, b"echo")
        idle = await log_in(self.port, self.key)
        used = await self.run_command(idle, b"refuse")
        await idle.get(97)
        idle.sendPacket(97, uint32(used))
        retired = Deferred.fromCoroutine(self.front.retire())
        await self.wait_for(lambda: idle.lost)
        # As long as it has a session, it may open others.
        other = await self.run_command(busy, b"echo")
        for each in (number, other):
            self.assertFalse(busy.lost)
            busy.send(each, b"hello")
            await busy.get(94)
            busy.sendPacket(97, uint32(each))
        await self.wait_for(lambda: busy.lost)
        await retired

    async def test_whoever_has_just_logged_in_may_still_open_a_session(self) -> None:
        client = await log_in(self.port, self.key)
        retired = Deferred.fromCoroutine(self.front.retire())
        number = await self.run_command(client, b"echo")
        client.sendPacket(97, uint32(number))
        await self.wait_for(lambda: client.lost)
        await retired

    async def test_at_the_end_sessions_finish_and_no_others_begin(self) -> None:
        client = await log_in(self.port, self.key)
        number = await self.run_command(client, b"echo")
        stranger = await connect(self.port)
        drained = Deferred.fromCoroutine(self.front.drain(600))
        await self.wait_for(lambda: stranger.lost)
        client.sendPacket(90, string(b"session") + uint32(9) + uint32(1000) + uint32(1000))
        await client.get(92)
        client.send(number, b"hello")
        await client.get(94)
        client.sendPacket(97, uint32(number))
        await drained
        await self.wait_for(lambda: client.lost)

    async def test_what_does_not_finish_in_time_is_cut_off(self) -> None:
        client = await log_in(self.port, self.key)
        await self.run_command(client, b"take")
        await self.front.drain(0.1)
        await self.wait_for(lambda: client.lost)
        await self.wait_for(lambda: not self.workers.connections)
