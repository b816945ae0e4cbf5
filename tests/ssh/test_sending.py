"""Objects on their way to a client: slow clients, stores without files, disks that fail."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from typing import Any

from giftless.base import producing
from giftless.interfaces import ObjectServed
from giftless.lfs.ssh.pkt_lines import MAX_PAYLOAD
from giftless.ssh import sending
from tests.ssh.client import Ended, Line, get_request
from tests.ssh.support import MB, SSHTestCase
from tests.support.making import key_of, oid_of
from tests.support.memory import MemoryStore

#: More than sockets and buffers take, and no multiple of a packet.
LARGE = random.Random("large").randbytes(5 * MB + 12_345)


class SendingTestCase(SSHTestCase):
    """Tests of downloads, each in a session of its own."""

    async def download(self, *objects: bytes) -> None:
        """Download objects in one session, and compare them."""

        def session(line: Line) -> None:
            line.open("download")
            for data in objects:
                self.assertEqual(hashlib.sha256(line.get(data).data).hexdigest(), oid_of(data))

        await self.session(session)
        await self.settled()

    async def fail_to_download(self) -> None:
        """Ask for an object, and check that the session ends in the middle of it."""

        def session(line: Line) -> None:
            line.open("download")
            with self.assertRaises((Ended, ConnectionError)):
                line.get(LARGE)

        await self.session(session)
        await self.until(lambda: not self.sessions._open)


class FileTests(SendingTestCase):
    async def test_a_client_that_reads_in_small_pieces_gets_everything(self) -> None:
        await self.serve()
        self.put(LARGE)

        def session(line: Line) -> None:
            line.open("download")
            line.send(get_request(LARGE))
            wire = 19 + len(f"size={len(LARGE)}\n") + 4 + 4
            wire += len(LARGE) + 4 * -(-len(LARGE) // MAX_PAYLOAD) + 4
            received = 0
            while received < wire - 4:
                piece = line.socket.recv(7001)
                received += len(piece)
                self.assertTrue(piece)

        await self.session(session)
        await self.settled()

    async def test_what_is_not_in_memory_is_read_in_a_thread(self) -> None:
        await self.serve()
        self.patch(sending, "read_now", lambda *_: None)
        self.patch(producing, "in_memory", lambda *_: False)
        small = LARGE[:1000]
        for data in (small, LARGE):
            self.put(data)
        await self.download(small, LARGE, small)

    async def test_a_file_larger_than_what_is_made_sure_of_at_once_arrives_whole(self) -> None:
        await self.serve()
        self.patch(producing, "WARM_BYTES", MB + 1)
        self.patch(sending, "SEND_BYTES", 100_001)
        self.put(LARGE)
        await self.download(LARGE)

    async def test_a_disk_that_fails_ends_the_session(self) -> None:
        await self.serve()
        self.put(LARGE)

        def fail(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(producing, "in_memory", lambda *_: False)
        self.patch(producing, "read_into_memory", fail)
        await self.fail_to_download()
        self.assertEqual(self.lines[0].split(" ")[4], "503")

    async def test_a_file_that_became_shorter_ends_the_session(self) -> None:
        """No byte that is not the object's takes the place of those that are missing."""
        await self.serve()
        path = os.path.join(self.directory, "objects", "org/repo", self.put(LARGE))

        def session(line: Line) -> None:
            line.open("download")
            line.send(get_request(LARGE))
            line.packet()
            os.truncate(path, MB)
            with self.assertRaises((Ended, ConnectionError)):
                while True:
                    line.packet()

        await self.session(session)
        await self.until(lambda: not self.sessions._open)
        (event,) = self.recorder.of(ObjectServed)
        self.assertFalse(event.complete)

    async def test_a_client_that_does_not_read_costs_no_memory(self) -> None:
        await self.serve()
        self.put(LARGE)
        line = await self.in_thread(lambda: self.line().open("download"))
        await self.in_thread(lambda: line.send(get_request(LARGE)))
        await self.in_thread(lambda: line.packet())
        (session,) = self.sessions._open
        transport: Any = session.transport  # type: ignore[attr-defined]
        self.assertEqual((transport.dataBuffer, transport._tempDataLen), (b"", 0))
        line.close()
        await self.settled()
        (event,) = self.recorder.of(ObjectServed)
        self.assertEqual((event.complete, event.sent < MB), (False, True))


class OtherStoreTests(SendingTestCase):
    """A store whose objects are no files: one in a cloud that gives its bytes to the daemon."""

    async def serve_from_memory(self) -> MemoryStore:
        store = MemoryStore()
        await self.serve(store)
        return store

    async def test_objects_are_passed_on_as_they_come(self) -> None:
        store = await self.serve_from_memory()

        def session(line: Line) -> None:
            line.open()
            for data in (b"", b"x", LARGE):
                self.assertEqual(line.put(data).status, 200)
                reply = line.get(data)
                self.assertEqual(reply.data, data)
                self.assertLessEqual(max(map(len, reply.lines or [b""])), MAX_PAYLOAD)

        await self.session(session)
        await self.settled()
        self.assertEqual(store.objects[key_of(LARGE).path], LARGE)
        events = self.recorder.of(ObjectServed)
        self.assertEqual([event.complete for event in events], [True] * 3)
        self.assertTrue(all(opened.closed for opened in store.opened))

    async def test_a_client_that_leaves_closes_the_object(self) -> None:
        store = await self.serve_from_memory()
        store.add(key_of(LARGE), LARGE)

        def session(line: Line) -> None:
            line.open("download")
            line.send(get_request(LARGE))
            line.packet()

        await self.session(session)
        await self.settled()
        self.assertTrue(all(opened.closed for opened in store.opened))
        (event,) = self.recorder.of(ObjectServed)
        self.assertFalse(event.complete)

    async def test_an_object_that_became_shorter_ends_the_session(self) -> None:
        store = await self.serve_from_memory()
        store.add(key_of(LARGE), LARGE)
        opened = store.open

        async def shortened(key: Any) -> Any:
            found: Any = await opened(key)
            found.size += 1
            return found

        self.patch(store, "open", shortened)
        await self.fail_to_download()
