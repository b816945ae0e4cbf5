"""A session from its first line to its last, over a Unix socket and a real store."""

from __future__ import annotations

import select
from typing import Any

from zope.interface.verify import verifyObject

from giftless.interfaces import IFront
from tests.ssh.client import Line
from tests.ssh.support import SSHTestCase
from tests.support.making import oid_of

SMALL = b"a small object\n"
#: More than all buffers on the way hold, and no multiple of anything.
LARGE = bytes(range(256)) * 12_345 + b"end"


class WholeSessionTests(SSHTestCase):
    async def test_it_is_a_front(self) -> None:
        await self.serve()
        verifyObject(IFront, self.front)

    async def test_objects_come_and_go(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            self.assertEqual(line.command("version 1").status, 200)
            for data in (SMALL, LARGE, b""):
                reply = line.batch(data)
                self.assertEqual(reply.arguments, ["hash-algo=sha256"])
                self.assertEqual(reply.texts, [f"{oid_of(data)} {len(data)} upload"])
                self.assertEqual(line.put(data).status, 200)
                oid, size = oid_of(data), [f"size={len(data)}"]
                self.assertEqual(line.command(f"verify-object {oid}", size).status, 200)
                self.assertEqual(line.batch(data).texts, [f"{oid} {len(data)} noop"])
                got = line.get(data)
                self.assertEqual((got.status, got.arguments), (200, size))
                self.assertEqual(got.data, data)
            quit = line.command("quit")
            self.assertEqual((quit.status, quit.lines), (200, None))
            self.assertEqual(line.rest(), b"")

        await self.session(session)
        await self.settled()
        for data in (SMALL, LARGE, b""):
            self.assertEqual(self.stored(data), data)
        (line,) = self.lines
        path = "/org/repo/git-lfs-transfer/upload"
        self.assertRegex(line, rf"\A198\.51\.100\.7 will SSH {path} 200 \d+ \S+ [0-9a-f]{{16}}\Z")

    async def test_the_end_of_a_session_is_not_that_of_its_worker(self) -> None:
        """Whoever relays it must tell them apart: the kernel ends both ways of the dead at once."""
        await self.serve()

        def session(line: Line) -> bool:
            line.open().command("quit")
            self.assertEqual(line.rest(), b"")
            looking = select.poll()
            looking.register(line.socket, 0)
            return any(events & select.POLLHUP for _, events in looking.poll(0))

        self.assertFalse(await self.session(session))
        await self.settled()

    async def test_several_sessions_run_at_once(self) -> None:
        await self.serve()
        objects = [bytes([number]) * 100_000 for number in range(8)]

        def session(data: bytes) -> Any:
            def client() -> None:
                with self.line() as line:
                    self.assertEqual(line.open().put(data).status, 200)
                    self.assertEqual(line.get(data).data, data)

            return self.in_background(client)

        for running in [session(data) for data in objects]:
            await running
        await self.settled()
