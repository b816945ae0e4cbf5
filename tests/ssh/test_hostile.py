"""Clients that break off, send nonsense, or want more than there is."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.interfaces import Identity
from tests.ssh.client import Ended, Line, get_request, put_request, request
from tests.ssh.support import MB, SSHTestCase
from tests.support.making import oid_of
from tests.support.rounds import rounds

DATA = b"an object of some bytes\n"


def conversation() -> bytes:
    """Return all that the client of a short session sends."""
    oid, size = oid_of(DATA), [f"size={len(DATA)}"]
    return b"".join(
        (
            request("version 1"),
            request("batch", ["transfer=ssh"], [f"{oid} {len(DATA)}"]),
            put_request(DATA, packet=10),
            request(f"verify-object {oid}", size),
            request("lock", ["path=a"]),
            request("list-lock", ["refname=x"]),
            get_request(DATA),
            request("quit"),
        )
    )


class BrokenOffTests(SSHTestCase):
    async def test_an_end_at_any_byte_leaves_nothing_behind(self) -> None:
        """Half of the clients only say that they send no more, and read; the others vanish."""
        await self.serve(locking=False)
        sent = conversation()

        def clients() -> None:
            for length in range(len(sent)):
                with self.line() as line:
                    line.admit("git-lfs-transfer org/repo upload")
                    line.send(sent[:length])
                    if length % 2:
                        line.end()
                        line.rest()

        await self.in_thread(clients)
        await self.settled()
        self.assertEqual(self.stored(DATA), DATA)

    async def test_what_has_come_whole_is_answered_although_no_more_comes(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open().send(conversation())
            line.end()
            statuses = [line.reply().status for _ in range(8)]
            self.assertEqual(statuses, [200, 200, 200, 200, 201, 200, 200, 200])
            self.assertEqual(line.rest(), b"")

        await self.session(session)
        await self.settled()

    async def test_a_refused_upload_that_breaks_off_leaves_nothing_behind(self) -> None:
        """Nobody reads its bytes any more, and the client was to be answered behind them."""
        await self.serve()
        sent = put_request(DATA, "no oid")

        def clients() -> None:
            for length in range(len(sent) - 10, len(sent)):
                with self.line() as line:
                    line.open().send(sent[:length])
                    line.end()
                    self.assertEqual(line.rest(), b"")
                with self.line() as line:
                    line.open().send(sent[:length])

        await self.in_thread(clients)
        await self.settled()

    async def test_a_large_upload_that_breaks_off_leaves_nothing_behind(self) -> None:
        await self.serve()
        sent = put_request(b"x" * (3 * MB))

        def clients() -> None:
            for length in (100, 70_000, MB, 2 * MB, len(sent) - 4, len(sent) - 1):
                with self.line() as line:
                    line.open().send(sent[:length])

        await self.in_thread(clients)
        await self.settled()
        self.assertIsNone(self.stored(b"x" * (3 * MB)))

    async def test_a_client_that_vanishes_during_a_download_frees_the_file(self) -> None:
        await self.serve()
        data = b"y" * (8 * MB)
        self.put(data)

        def clients() -> None:
            for length in (0, 10, 100_000, MB):
                with self.line() as line:
                    line.open("download")
                    line.send(get_request(data))
                    line._file.read(length)

        await self.in_thread(clients)
        await self.settled()
        self.assertEqual([line.split(" ")[4] for line in self.lines], ["499"] * 4)

    async def test_many_sessions_end_at_once(self) -> None:
        await self.serve(limit=200)
        sent = put_request(b"z" * MB)

        def clients() -> None:
            lines = [self.line() for _ in range(100)]
            for number, line in enumerate(lines):
                line.open().send(sent[: number * 1000])
            for line in lines:
                line.close()

        await self.in_thread(clients)
        await self.settled()


class NonsenseTests(SSHTestCase):
    #: In seconds: rounds of ``make soak`` take longer than other tests may.
    timeout = rounds(120, 3600)

    async def test_what_is_no_packet_ends_the_session_with_words(self) -> None:
        await self.serve()

        def clients() -> None:
            for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"0003", b"ffff", b"8000", b"zzzz" * 9999):
                with self.line() as line:
                    line.open().send(request("version 1") + nonsense)
                    self.assertEqual(line.reply().status, 200)
                    reply = line.reply()
                    self.assertEqual((reply.status, len(reply.texts)), (400, 1))
                    # What is not read makes the end a reset.
                    with contextlib.suppress(ConnectionResetError):
                        self.assertEqual(line.rest(), b"")

        await self.in_thread(clients)
        await self.settled()

    async def test_nonsense_among_the_bytes_of_an_object_ends_the_session(self) -> None:
        await self.serve()

        def clients() -> None:
            for size in (10, 3 * MB):
                with self.line() as line:
                    line.open().send(put_request(b"x" * size)[:-4] + b"what")
                    self.assertEqual(line.reply().status, 400)
                    self.assertEqual(line.rest(), b"")

        await self.in_thread(clients)
        await self.settled()

    async def test_requests_that_come_all_at_once_are_answered_one_by_one(self) -> None:
        await self.serve(memory=4 * MB)
        self.put(b"w" * MB)
        number = 200

        def session(line: Line) -> None:
            line.open()
            sent = get_request(b"w" * MB) * number
            sender = threading.Thread(target=line.send, args=(sent,))
            sender.start()
            for _ in range(number):
                self.assertEqual(len(line.reply().data), MB)
            sender.join()

        await self.session(session)
        await self.settled()

    async def test_uploads_that_come_all_at_once_are_stored_one_by_one(self) -> None:
        await self.serve()
        objects = [bytes([number]) * size for number in range(5) for size in (10, MB)]

        def session(line: Line) -> None:
            line.open()
            sent = b"".join(map(put_request, objects))
            sender = threading.Thread(target=line.send, args=(sent,))
            sender.start()
            for _ in objects:
                self.assertEqual(line.reply().status, 200)
            sender.join()

        await self.session(session)
        await self.settled()

    async def test_lines_that_never_end_their_request_are_not_kept(self) -> None:
        await self.serve(memory=4 * MB, max_request=MB)

        def session(line: Line) -> None:
            line.open()
            line.send(request("batch", (), ["x" * 16_000] * 1000)[:-4])
            line.send(b"0000")
            self.assertEqual(line.reply().status, 413)
            self.assertEqual(line.batch(b"x").status, 200)

        await self.session(session)
        await self.settled()

    async def test_clients_that_hold_requests_back_do_not_take_all_memory(self) -> None:
        """The oldest is refused in favour of the newest."""
        await self.serve(memory=4 * MB, max_request=MB)

        def clients() -> None:
            lines = [self.line() for _ in range(8)]
            part = request("batch", (), ["x" * 16_000] * 50)[:-4]
            for line in lines:
                line.open().send(part)
                line.send(b"0004" * 10)
            for line in lines:
                line.send(b"0000")
            statuses = [line.reply().status for line in lines]
            self.assertIn(503, statuses)
            self.assertNotIn(200, statuses)
            for line in lines:
                self.assertEqual(line.batch(b"x").status, 200)
                line.close()

        await self.in_thread(clients)
        self.assertLessEqual(self.context.memory.bodies.used, MB)
        await self.settled()

    async def test_uploads_that_pause_do_not_take_the_memory_of_others(self) -> None:
        """What has come of them goes to the store after a moment, however little it is."""
        await self.serve(memory=4 * MB)
        sizes = (5, 5000, 100_000, 300_000)

        def begin() -> list[Line]:
            lines = []
            for size in sizes * 10:
                line = self.line().open()
                line.send(put_request(b"p" * (size + 10))[: size + 100])
                lines.append(line)
            return lines

        lines = await self.in_thread(begin)
        passing = self.context.memory.passing
        await self.until(lambda: passing._bodies == len(lines) and not passing.used)
        self.assertEqual((await self.session(lambda line: line.open().put(b"q" * MB))).status, 200)
        for line in lines:
            line.close()
        await self.settled()

    async def test_random_sessions_leave_nothing_behind(self) -> None:
        """Whatever comes is answered with replies, and a session more works."""
        await self.serve(locking=False)
        self.put(DATA)
        seed = random.Random("sessions")

        def clients() -> None:
            for _ in range(rounds(300, 100_000)):
                with self.line() as line:
                    line.admit("git-lfs-transfer org/repo upload")
                    line.texts()
                    line.send(scrambled(seed))
                    line.end()
                    try:
                        while True:
                            self.assertIn(line.reply().status // 100, (2, 4))
                    except (Ended, ConnectionResetError):
                        pass
            with self.line() as line:
                line.admit("git-lfs-transfer org/repo upload")
                line.texts()
                self.assertEqual(line.get(DATA).data, DATA)

        await self.in_thread(clients)
        await self.settled()
        self.assertEqual(self.stored(DATA), DATA)


def scrambled(seed: random.Random) -> bytes:
    """Return a session in which some things are wrong."""
    sent = bytearray(conversation())
    for _ in range(seed.randrange(4)):
        place = seed.randrange(len(sent))
        kind = seed.randrange(4)
        if kind == 0:
            sent[place] = seed.randrange(256)
        elif kind == 1:
            del sent[place : place + seed.randrange(60)]
        elif kind == 2:
            sent[place:place] = seed.choice((b"0000", b"0001", b"0004", b"\x00", b"fff0", b"0005"))
        else:
            other = seed.randrange(len(sent))
            sent[place:place] = sent[other : other + seed.randrange(80)]
    return bytes(sent)


class CommandLineTests(SSHTestCase):
    #: The same as above.
    timeout = rounds(120, 3600)

    async def test_command_lines_of_any_kind_are_refused_in_words(self) -> None:
        await self.serve()
        seed = random.Random("lines")
        words = [
            "git-lfs-transfer",
            "upload",
            "download",
            "..",
            "/",
            "org/repo",
            "'",
            '"',
            "\\",
            "$(id)",
            ";",
            "\n",
            "\0",
            "\u202e",
            "-",
            "--",
            "~",
            "%2e%2e",
            "git-lfs-authenticate",
        ]

        def clients() -> None:
            for _ in range(rounds(300, 100_000)):
                text = seed.choice(("", " ")).join(seed.choices(words, k=seed.randrange(6)))
                with self.line() as line:
                    admitted = line.admit(text)
                    if not admitted.open:
                        self.assertEqual(admitted.status, 1)
                        self.assertRegex(admitted.stderr, r"\Agiftless: [^\n]+\n\Z")

        await self.in_thread(clients)
        await self.settled()


class StrangerTests(SSHTestCase):
    async def test_two_people_get_nothing_of_each_other(self) -> None:
        """Each may use one repository, and tries everything in that of the other."""
        await self.serve()
        nothing: Any = RepoGrants(frozenset())

        async def authenticate(credentials: Any, repo: Any) -> Identity:
            (vouched,) = credentials.vouched
            own = repo.path == f"of/{vouched.user}"
            return Identity(vouched.user, RepoGrants(READ_WRITE) if own else nothing)

        self.patch(self.people, "authenticate", authenticate)
        secrets = {user: f"the secret of {user}".encode() for user in ("ann", "bob")}

        def clients() -> None:
            for user, data in secrets.items():
                with self.line() as line:
                    self.assertEqual(line.open("upload", f"of/{user}", user).put(data).status, 200)
            for user, other in (("ann", "bob"), ("bob", "ann")):
                for operation in ("upload", "download"):
                    for path in (
                        f"of/{other}",
                        f"of/{other}.git",
                        f"'of/{other}'",
                        f"/of/{other}/",
                    ):
                        with self.line() as line:
                            admitted = line.admit(f"git-lfs-transfer {path} {operation}", user)
                            self.assertEqual((admitted.open, line.rest()), (False, b""))
                with self.line() as line:
                    line.open("upload", f"of/{user}", user)
                    data = secrets[other]
                    self.assertEqual(line.get(data).status, 404)
                    (offer,) = line.batch(data).texts
                    self.assertTrue(offer.endswith(" upload"), "it is new to this repository")
                    verify = line.command(f"verify-object {oid_of(data)}", [f"size={len(data)}"])
                    self.assertEqual(verify.status, 404)

        await self.in_thread(clients)
        await self.settled()
