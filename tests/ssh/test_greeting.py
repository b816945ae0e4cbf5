"""The first line of a connection: who may send it, what it may be, and what answers it."""

from __future__ import annotations

import os
import pwd
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.client_memory import Memory
from giftless.base.ssh_greeting import (
    MAX_LINE,
    Admitted,
    Listed,
    ListedKey,
    Owned,
    WhichKeys,
    WhoseKey,
)
from giftless.errors import ConfigError, Forbidden
from giftless.interfaces import Credentials, Vouched
from giftless.lfs.objects import Operation, Repo
from giftless.ssh.caller import Caller
from giftless.ssh.context import Context
from giftless.ssh.front import SSHFront
from giftless.ssh.peers import Peers
from giftless.ssh.sessions import Sessions
from tests.ssh.client import ADDRESS, REALM, Ended, Line, request
from tests.ssh.support import MB, SSHTestCase
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import repo_of

#: The id of a user that no process of the tests has.
NOBODY = 4_000_000


class SomeKeys:
    """Knows one key."""

    async def owner(self, asked: WhoseKey) -> Owned:
        return Owned("will", REALM) if asked.blob == b"a key" else Owned()

    async def keys(self, asked: WhichKeys) -> Listed:
        return Listed((ListedKey("will", REALM, "ssh-ed25519 AAAA"),))


class SomeAuthentication:
    """Answers whatever it is asked, but for one repository."""

    def __init__(self) -> None:
        self.asked: list[tuple[Credentials, Repo, Operation]] = []

    async def answer(self, caller: Caller) -> str:
        repo = caller.command.repo
        self.asked.append((caller.credentials, repo, caller.command.operation))
        if repo == repo_of("org/other"):
            raise Forbidden("will may not\nread org/other")
        return '{"header": {}}\n'


class GreetingTests(SSHTestCase):
    async def test_whose_a_key_is_is_asked_of_the_keyrings(self) -> None:
        await self.serve(keys=SomeKeys())

        def clients() -> None:
            for blob, owned in ((b"a key", Owned("will", REALM)), (b"another", Owned())):
                with self.line() as line:
                    self.assertEqual(line.ask(WhoseKey(blob, "git", ADDRESS), Owned), owned)
                    self.assertEqual(line.rest(), b"")
            with self.line() as line:
                (key,) = line.ask(WhichKeys(), Listed).keys
                self.assertEqual((key.user, key.line), ("will", "ssh-ed25519 AAAA"))

        await self.in_thread(clients)
        await self.settled()

    async def test_without_keyrings_no_key_is_anybodys(self) -> None:
        await self.serve()

        def clients() -> None:
            with self.line() as line:
                self.assertEqual(line.ask(WhoseKey(b"a key"), Owned), Owned())
            with self.line() as line:
                listed = line.ask(WhichKeys(), Listed)
                self.assertEqual(listed.keys, ())
                self.assertIn("ssh.keys", listed.problem)

        await self.in_thread(clients)

    async def test_a_command_line_that_makes_no_sense_is_in_the_access_log(self) -> None:
        await self.serve()
        refused = await self.session(lambda line: line.admit("rm -rf /"))
        self.assertEqual(refused.status, 1)
        await self.settled()
        (line,) = self.lines
        self.assertRegex(line, r"\A198\.51\.100\.7 - SSH - 400 0 0\.0 [0-9a-f]{16}\Z")

    async def test_how_to_go_on_over_http_is_told_in_one_answer(self) -> None:
        authentication = SomeAuthentication()
        await self.serve(authentication=authentication)

        def client(line: Line) -> None:
            admitted = line.admit("git-lfs-authenticate /org/repo.git upload")
            self.assertEqual(admitted, Admitted(stdout='{"header": {}}\n'))
            self.assertEqual(line.rest(), b"")

        await self.session(client)
        wanted = Credentials((Vouched("will", REALM),), ADDRESS)
        self.assertEqual(authentication.asked, [(wanted, repo_of(), Operation.UPLOAD)])
        refused = await self.session(
            lambda line: line.admit("git-lfs-authenticate org/other download")
        )
        wanted_words = "giftless: will may not read org/other\n"
        self.assertEqual(refused, Admitted(status=1, stderr=wanted_words))

    async def test_without_anything_to_answer_authenticate_it_is_refused(self) -> None:
        await self.serve()
        refused = await self.session(
            lambda line: line.admit("git-lfs-authenticate org/repo upload")
        )
        self.assertEqual((refused.open, refused.status), (False, 1))

    async def test_objects_that_do_not_pass_through_the_server_have_no_sessions(self) -> None:
        """git-lfs asks ``git-lfs-authenticate`` then."""
        await self.serve(processor=None)
        refused = await self.session(lambda line: line.admit("git-lfs-transfer org/repo upload"))
        self.assertEqual((refused.open, refused.status), (False, 1))
        self.assertIn("git-lfs-authenticate", refused.stderr)

    async def test_an_address_has_as_many_sessions_as_it_may(self) -> None:
        await self.serve(limit=2)

        def clients() -> None:
            lines = [self.line().open() for _ in range(2)]
            with self.line() as line:
                refused = line.admit("git-lfs-transfer org/repo upload")
                self.assertEqual((refused.open, refused.status), (False, 1))
                self.assertIn("too many sessions", refused.stderr)
            for address in ("192.0.2.1", ""):
                with self.line() as line:
                    command = "git-lfs-transfer org/repo upload"
                    self.assertTrue(line.admit(command, address=address).open)
            lines.pop().command("quit")
            lines.append(self.line())
            for _ in range(1000):
                if lines[-1].admit("git-lfs-transfer org/repo upload").open:
                    break
                lines[-1] = self.line()
            else:
                self.fail("the end of a session makes room for no other")
            for line in lines:
                line.close()

        await self.in_thread(clients)
        await self.settled()

    async def test_what_comes_behind_the_first_line_belongs_to_the_session(self) -> None:
        await self.serve()

        def client(line: Line) -> None:
            ask = b'{"ask":"session","user":"will","realm":"basic","command":"%b"}\n'
            line.send(ask % b"git-lfs-transfer org/repo upload" + request("version 1"))
            self.assertEqual(line._file.readline()[:12], b'{"open":true')
            self.assertEqual(line.texts(), ["version=1", "locking"])
            self.assertEqual(line.reply().status, 200)

        await self.session(client)

    async def test_first_lines_that_make_no_sense_are_not_answered(self) -> None:
        await self.serve()

        def clients() -> None:
            for sent in (
                b"\n",
                b"{}\n",
                b'{"ask":"session"}\n',
                b'{"ask":"everything"}\n',
                b"[" * 5000 + b"\n",
                b"\xff\xfe\n",
                b"SSH-2.0-OpenSSH_9.2\r\n",
                b"x" * (MAX_LINE + 10),
                b"x" * (3 * MB),
            ):
                with self.line() as line:
                    try:
                        line.send(sent)
                        self.assertEqual(line.rest(), b"")
                    except (ConnectionResetError, BrokenPipeError):
                        pass

        await self.in_thread(clients)
        await self.settled()

    async def test_who_leaves_before_the_answer_leaves_nothing_behind(self) -> None:
        await self.serve()

        def clients() -> None:
            ask = b'{"ask":"session","user":"will","realm":"basic","command":'
            ask += b'"git-lfs-transfer org/repo upload"}\n'
            for length in range(0, len(ask) + 1, 7):
                with self.line() as line:
                    line.send(ask[:length])
            with self.line() as line:
                line.send(ask)

        await self.in_thread(clients)
        await self.settled()


class PeerTests(SSHTestCase):
    async def test_a_process_of_another_user_is_not_listened_to(self) -> None:
        peers = Peers([])
        self.patch(peers, "_trusted", {NOBODY})
        await self.serve(peers=peers)
        said: list[str] = []
        observe(self, lambda event: said.append(formatEvent(event)))

        def client(line: Line) -> None:
            with self.assertRaises((Ended, ConnectionError)):
                line.admit("git-lfs-transfer org/repo download")

        for _ in range(3):
            await self.session(client)
        await self.settled()
        (warning,) = [line for line in said if "ssh.trusted" in line]
        self.assertIn(f"the user {os.geteuid()} ", warning)

    def test_the_daemons_own_user_and_those_listed_are_trusted(self) -> None:
        peers = Peers([str(NOBODY), pwd.getpwuid(0).pw_name])
        for uid, trusted in ((os.geteuid(), True), (NOBODY, True), (0, True), (NOBODY + 1, False)):
            self.assertEqual(peers.trusts(uid), trusted)
        self.assertFalse(peers.trusts(None))

    def test_names_that_no_user_has_are_refused(self) -> None:
        for name in ("no-such-user", "", "-1", "٣"):
            with self.assertRaises(ConfigError) as raised:
                Peers([name])
            self.assertEqual(raised.exception.path, "ssh.trusted.0")

    def test_nobody_is_known_over_a_network(self) -> None:
        with socket.socket() as other:
            transport: Any = StringTransport()
            transport.getHandle = lambda: other
            self.assertIsNone(Peers([]).uid(transport))


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(10, self.clock)
        memory = Memory(4 * MB, self.clock)
        context = Context(self.clock, InlineBlocking(), memory, MB, Peers([]), self.sessions, None)
        self.front = SSHFront(context)

    def connect(self) -> Any:
        """Connect; return the transport."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        protocol: Any = self.front.factory.buildProtocol(None)
        transport: Any = StringTransport()
        transport.getHandle = lambda: ours
        transport.abortConnection = lambda: protocol.connectionLost()
        protocol.makeConnection(transport)
        return transport

    def test_the_first_line_must_come_soon(self) -> None:
        transport = self.connect()
        self.clock.advance(29)
        self.assertEqual(len(self.sessions._open), 1)
        self.clock.advance(2)
        self.assertEqual(len(self.sessions._open), 0)
        self.assertEqual((transport.value(), self.clock.getDelayedCalls()), (b"", []))

    def test_a_connection_without_a_question_does_not_hold_up_the_end(self) -> None:
        transport = self.connect()
        over = self.front.drain(60)
        self.assertTrue(transport.disconnecting)
        transport.abortConnection()
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])
