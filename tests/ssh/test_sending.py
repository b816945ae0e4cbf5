"""Objects on their way to a client: slow clients, stores without files, disks that fail."""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.interfaces import ObjectServed
from giftless.lfs.ssh.pkt_lines import MAX_PAYLOAD, PacketDecoder
from giftless.ssh import sending
from giftless.ssh.sending import frame
from tests.ssh.client import Ended, Line, request
from tests.ssh.support import MB, SSHTestCase
from tests.support.making import key_of, oid_of
from tests.support.memory import MemoryStore

#: More than sockets and buffers take, and no multiple of a packet.
LARGE = random.Random("large").randbytes(5 * MB + 12_345)


class FrameTests(SynchronousTestCase):
    @given(st.integers(0, 5 * MAX_PAYLOAD))
    def test_a_frame_has_room_for_each_byte_between_the_lengths(self, size: int) -> None:
        buffer, places = frame(size)
        self.assertEqual(sum(map(len, places)), size)
        for number, place in enumerate(places):
            place[:] = bytes([number]) * len(place)
        decoder = PacketDecoder()
        decoder.feed(bytes(buffer))
        found = b"".join(filter(None, iter(decoder.piece, None)))  # type: ignore[arg-type]
        self.assertEqual((len(found), decoder.waiting), (size, 0))
        self.assertEqual(len(set(found)), len(places))


class FileTests(SSHTestCase):
    async def download(self, *objects: bytes) -> None:
        """Download objects in one session, and compare them."""

        def session(line: Line) -> None:
            line.open("download")
            for data in objects:
                self.assertEqual(hashlib.sha256(line.get(data).data).hexdigest(), oid_of(data))

        await self.session(session)
        await self.settled()

    async def test_a_client_that_reads_in_small_pieces_gets_everything(self) -> None:
        await self.serve()
        self.put(LARGE)

        def session(line: Line) -> None:
            line.open("download")
            line.send(request(f"get-object {oid_of(LARGE)}", [f"size={len(LARGE)}"]))
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
        self.patch(sending, "_read_now", lambda *_: False)
        small = LARGE[:1000]
        for data in (small, LARGE):
            self.put(data)
        await self.download(small, LARGE, small)

    async def test_what_is_in_memory_in_part_is_read_in_a_thread(self) -> None:
        await self.serve()
        self.put(LARGE)
        read = os.preadv
        calls = 0

        def preadv(fd: int, places: Any, offset: int, flags: int = 0) -> int:
            nonlocal calls
            calls += 1
            if flags and calls % 3 == 0:
                places = places[:1]
            return read(fd, places, offset, flags)

        self.patch(os, "preadv", preadv)
        await self.download(LARGE)

    async def test_a_file_that_became_shorter_ends_the_session(self) -> None:
        """No byte that is not the object's takes the place of those that are missing."""
        await self.serve()
        path = os.path.join(self.directory, "objects", "org/repo", self.put(LARGE))

        def session(line: Line) -> None:
            line.open("download")
            line.send(request(f"get-object {oid_of(LARGE)}", [f"size={len(LARGE)}"]))
            line.packet()
            os.truncate(path, MB)
            with self.assertRaises((Ended, ConnectionError)):
                while True:
                    line.packet()

        await self.session(session)
        await self.until(lambda: not self.sessions._open)
        (event,) = self.recorder.of(ObjectServed)
        self.assertFalse(event.complete)

    async def test_a_client_that_does_not_read_costs_one_buffer(self) -> None:
        await self.serve()
        self.put(LARGE)
        filled = 0
        fill = sending._FileSender._filled

        def note(sender: Any, count: int) -> None:
            nonlocal filled
            filled += count
            fill(sender, count)

        self.patch(sending._FileSender, "_filled", note)
        line = await self.in_thread(lambda: self.line().open("download"))
        await self.in_thread(
            lambda: line.send(request(f"get-object {oid_of(LARGE)}", [f"size={len(LARGE)}"]))
        )
        await self.until(lambda: filled)
        await self.in_thread(lambda: line.packet())
        self.assertLess(filled, 2 * MB)
        line.close()
        await self.settled()
        (event,) = self.recorder.of(ObjectServed)
        self.assertEqual((event.complete, event.sent < 2 * MB), (False, True))


class OtherStoreTests(SSHTestCase):
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
            line.send(request(f"get-object {oid_of(LARGE)}", [f"size={len(LARGE)}"]))
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

        def session(line: Line) -> None:
            line.open("download")
            with self.assertRaises((Ended, ConnectionError)):
                line.get(LARGE)

        await self.session(session)
        await self.until(lambda: not self.sessions._open)
