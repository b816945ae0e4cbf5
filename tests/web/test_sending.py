"""Downloads: the kernel's way and the other one, slow readers, broken files."""

from __future__ import annotations

import errno
import gc
import os
import socket
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.base import producing
from giftless.base.page_cache import WARM_BYTES
from giftless.interfaces import IGrowingFile, IStoredObject, IStreamingStore
from giftless.storage.local.store import LocalStore
from giftless.web.limits import Limits
from giftless.web.sending import LAST_BYTES, SEND_BYTES, SMALL_BYTES
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.making import oid_of
from tests.web.support import (
    Front,
    Incomplete,
    Peer,
    PortTestCase,
    Response,
    parse_response,
    render_request,
    storage_url,
)

MIB = 1024 * 1024

#: How many bytes the sockets of a connection hold at most, generously.
SOCKETS = 8 * MIB


@implementer(IStoredObject)
class NoFile:
    """An open object that cannot be sent by the kernel."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        self.size = stored.size
        self.extras = stored.extras
        self.read = stored.read
        self.close = stored.close


@implementer(IStreamingStore)
class NoFiles:
    """A store like another, but its objects are no files."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.sizes = store.sizes
        self.put = store.put

    async def open(self, key: Any) -> NoFile | None:
        stored = await self._store.open(key)
        return None if stored is None else NoFile(stored)


@implementer(IGrowingFile)
class Growing(NoFile):
    """An open object whose file grows in steps, and not to its end.

    :param whole: whether to its end.
    """

    #: How much it grows at once, and how much of it comes in another way, in bytes.
    STEP, REST = 700_000, 100_000

    def __init__(self, stored: Any, whole: bool) -> None:
        super().__init__(stored)
        self.fileno = stored.fileno
        self._end = self.size if whole else max(0, self.size - self.REST)

    async def grown(self, offset: int) -> int:
        await deferLater(reactor, 0)
        return max(offset, min(self._end, offset + self.STEP))


@implementer(IStreamingStore)
class GrowingFiles(NoFiles):
    """A store whose objects come while they are read; every other one not to its end."""

    opened = 0

    async def open(self, key: Any) -> Growing | None:
        stored = await self._store.open(key)
        self.opened += 1
        return None if stored is None else Growing(stored, bool(self.opened % 2))


class DownloadsMixin:
    """What holds in either way."""

    async def test_objects_around_every_step_arrive_whole(self: Any) -> None:
        """Around every step that sending is made in."""
        await self.serve()
        for size in (
            0,
            1,
            SMALL_BYTES,
            SMALL_BYTES + 1,
            SEND_BYTES - 1,
            SEND_BYTES,
            SEND_BYTES + 1,
            WARM_BYTES + 1,
        ):
            data = os.urandom(size)
            response = await self.request("GET", storage_url(self.front.put(data)))
            self.assertEqual(response.status, 200)
            self.assert_same_bytes(response.body, data)
            self.assertEqual(self.access[-1]["bytes"], size)

    async def test_parts_of_an_object_arrive(self: Any) -> None:
        await self.serve()
        data = os.urandom(5 * MIB)
        url = storage_url(self.front.put(data))
        for first, last in ((0, 0), (1, 4 * MIB), (4 * MIB - 1, 5 * MIB - 1), (5 * MIB - 1,) * 2):
            response = await self.request("GET", url, {"Range": f"bytes={first}-{last}"})
            self.assertEqual(response.status, 206)
            self.assert_same_bytes(response.body, data[first : last + 1])
            self.assertEqual(self.access[-1]["bytes"], last + 1 - first)

    async def test_many_on_one_connection(self: Any) -> None:
        """Also when all are asked for at once."""
        await self.serve()
        objects = [os.urandom(MIB + n) for n in range(5)]
        requests = [render_request("GET", storage_url(self.front.put(data))) for data in objects]

        def client() -> list[Response]:
            with self.peer() as peer:
                peer.send(b"".join(requests))
                return [peer.response() for _ in objects]

        for response, data in zip(await self.in_thread(client), objects, strict=True):
            self.assert_same_bytes(response.body, data)

    async def test_download_and_upload_in_turns(self: Any) -> None:
        await self.serve()
        first, second = os.urandom(2 * MIB), os.urandom(2 * MIB)
        url = storage_url(self.front.put(first))
        other = storage_url(oid_of(second))

        def client() -> list[Response]:
            with self.peer() as peer:
                return [
                    peer.request("GET", url),
                    peer.request("PUT", other, {}, second),
                    peer.request("GET", other),
                    peer.request("HEAD", other),
                    peer.request("GET", url),
                ]

        responses = await self.in_thread(client)
        self.assertEqual([response.status for response in responses], [200] * 5)
        self.assert_same_bytes(responses[0].body, first)
        self.assert_same_bytes(responses[2].body, second)
        self.assert_same_bytes(responses[4].body, first)

    async def test_a_slow_reader_gets_everything(self: Any) -> None:
        """Who reads, however slowly, gets everything."""
        await self.serve(limits=Limits(stall_timeout=6))
        data = os.urandom(SOCKETS)
        url = storage_url(self.front.put(data))

        peer = await self.connected(receive_buffer=65536)
        await self.in_thread(lambda: peer.send(render_request("GET", url)))
        for step in range(1, 5):
            await self.in_thread(lambda size=step * MIB: peer.read_ahead(size))
            await self.sleep(1.6)
        response = await self.in_thread(peer.response)
        self.assert_same_bytes(response.body, data)

    async def test_a_stalled_reader_is_cut_off(self: Any) -> None:
        """It is cut off after a while, and costs no memory until then."""
        await self.serve(limits=Limits(stall_timeout=1))
        oid = self.put_sparse(256 * MIB)
        before = resident_bytes()
        started = self.now()
        peer = await self.connected(receive_buffer=65536)
        await self.in_thread(lambda: peer.send(render_request("GET", storage_url(oid))))
        await self.until(lambda: self.access)
        self.assertLess(self.now() - started, 30)
        self.assertLess(resident_bytes() - before, 32 * MIB)
        received = await self.in_thread(peer.read_to_end)
        self.assertLess(len(received), SOCKETS)
        self.assertRaises(Incomplete, parse_response, received)
        self.assertEqual([line["status"] for line in self.access], [499])

    async def test_client_that_leaves(self: Any) -> None:
        """Everything is freed, and nothing is said but a line in the log."""
        await self.serve()
        oid = self.put_sparse(256 * MIB)
        descriptors = open_files()

        def client() -> None:
            with self.peer(receive_buffer=65536) as peer:
                peer.send(render_request("GET", storage_url(oid)))
                peer.read_ahead(MIB)

        await self.in_thread(client)
        await self.until(lambda: self.access)
        self.assertEqual([line["status"] for line in self.access], [499])
        await self.until(lambda: open_files() == descriptors)

    async def test_file_that_becomes_shorter(self: Any) -> None:
        """The client cannot take what it gets for the whole object."""
        await self.serve()
        oid = self.put_sparse(64 * MIB)
        peer = await self.connected(receive_buffer=65536)
        await self.in_thread(lambda: peer.send(render_request("GET", storage_url(oid))))
        await self.in_thread(lambda: peer.read_ahead(MIB))
        os.truncate(os.path.join(self.front.directory, "org/repo", oid), 2 * MIB)
        received = await self.in_thread(peer.read_to_end)
        self.assertRaises(Incomplete, parse_response, received)
        self.assertIn("shorter", self.only_error())
        (line,) = self.access
        self.assertLess(line["bytes"], 64 * MIB)

    async def test_file_that_is_deleted(self: Any) -> None:
        """A download that has begun is not concerned."""
        await self.serve()
        data = os.urandom(2 * SOCKETS)
        oid = self.front.put(data)
        peer = await self.connected(receive_buffer=65536)
        await self.in_thread(lambda: peer.send(render_request("GET", storage_url(oid))))
        await self.in_thread(lambda: peer.read_ahead(MIB))
        os.unlink(os.path.join(self.front.directory, "org/repo", oid))
        response = await self.in_thread(peer.response)
        self.assert_same_bytes(response.body, data)
        self.assert_error(await self.request("GET", storage_url(oid)), 404)

    async def test_eight_at_once(self: Any) -> None:
        await self.serve()
        data = os.urandom(4 * MIB)
        url = storage_url(self.front.put(data))
        for result in [self.in_background(lambda: self.fetch(url)) for _ in range(8)]:
            self.assert_same_bytes((await result).body, data)

    def fetch(self: Any, url: str) -> Response:
        with self.peer() as peer:
            return peer.request("GET", url)

    def put_sparse(self: Any, size: int) -> str:
        """Put an object of ``size`` zero bytes in place, that take no room."""
        oid = "0" * 64
        os.makedirs(os.path.join(self.front.directory, "org/repo"), exist_ok=True)
        with open(os.path.join(self.front.directory, "org/repo", oid), "wb") as file:
            file.truncate(size)
        return oid


class KernelTests(DownloadsMixin, PortTestCase):
    """Files on plain TCP."""

    async def test_the_kernel_does_it(self) -> None:
        calls: list[int] = []
        real = os.sendfile

        def sendfile(*args: int) -> int:
            sent = real(*args)
            calls.append(sent)
            return sent

        self.patch(os, "sendfile", sendfile)
        await self.serve()
        data = os.urandom(3 * MIB)
        await self.request("GET", storage_url(self.front.put(data)))
        self.assertEqual(sum(calls), len(data))

    async def test_a_unix_socket_serves_downloads(self) -> None:
        await self.serve()
        path = os.path.join(self.front.directory, "socket")
        port = await serverFromString(reactor, f"unix:{path}").listen(self.front.site)
        self.addCleanup(port.stopListening)
        self.assertEqual(port.getHost(), UNIXAddress(os.fsencode(path)))
        data = os.urandom(3 * MIB)
        oid = self.front.put(data)

        def client() -> Response:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(60)
                peer.connect(path)
                peer.sendall(render_request("GET", storage_url(oid), {"Connection": "close"}))
                received = b"".join(iter(lambda: peer.recv(MIB), b""))
            return parse_response(received)[0]

        self.assert_same_bytes((await self.in_thread(client)).body, data)


class SmallFileTests(PortTestCase):
    """What is small and in memory goes with the headers."""

    async def test_it_is_sent_at_once(self) -> None:
        """Nothing but opening it goes to a thread, and the kernel is not asked to copy it."""
        blocking = InlineBlocking()
        await self.serve(blocking=blocking)
        self.patch(os, "sendfile", self.fail)
        data = os.urandom(SMALL_BYTES)
        url = storage_url(self.front.put(data))
        blocking.jobs.clear()
        response = await self.request("GET", url)
        self.assertEqual(response.body, data)
        self.assertEqual(len(blocking.jobs), 1)
        response = await self.request("GET", url, {"Range": "bytes=10-19"})
        self.assertEqual((response.status, response.body), (206, data[10:20]))
        self.assertEqual([line["bytes"] for line in self.access], [SMALL_BYTES, 10])

    async def test_what_is_not_in_memory_is_read_in_a_thread(self) -> None:
        """As it is where nobody can tell."""
        await self.serve()
        data = os.urandom(SMALL_BYTES)
        url = storage_url(self.front.put(data))
        real = os.preadv
        for error in (errno.EAGAIN, errno.EOPNOTSUPP):

            def preadv(
                fd: int, buffers: list[Any], offset: int, flags: int = 0, error: int = error
            ) -> int:
                if flags:
                    raise OSError(error, os.strerror(error))
                return real(fd, buffers, offset)

            self.patch(os, "preadv", preadv)
            self.assertEqual((await self.request("GET", url)).body, data)

    async def test_a_file_that_became_shorter(self) -> None:
        """It does not look complete."""
        await self.serve()
        data = os.urandom(100)
        oid = self.front.put(data)
        real = os.fstat

        def fstat(fd: int) -> os.stat_result:
            status = real(fd)
            if os.readlink(f"/proc/self/fd/{fd}").endswith(oid):
                os.truncate(os.path.join(self.front.directory, "org/repo", oid), 10)
            return status

        self.patch(os, "fstat", fstat)
        peer = await self.connected()
        await self.in_thread(lambda: peer.send(render_request("GET", storage_url(oid))))
        received = await self.in_thread(peer.read_to_end)
        self.assertRaises(Incomplete, parse_response, received)
        self.assertIn("shorter", self.only_error())


class ColdFileTests(PortTestCase):
    """Files that are not in memory are read in a thread first."""

    def setUp(self) -> None:
        super().setUp()
        # What is in memory is the system's affair; these tests are about the rest.
        self.patch(producing, "in_memory", lambda fd, begin, end: False)

    async def test_a_cold_file_is_downloaded(self) -> None:
        await self.serve()
        data = os.urandom(2 * WARM_BYTES + 1)
        response = await self.request("GET", storage_url(self.front.put(data)))
        self.assert_same_bytes(response.body, data)

    async def start(self) -> tuple[ManualBlocking, Peer]:
        """Start a download, up to where a thread would read from the disk."""
        blocking = ManualBlocking()
        await self.serve(blocking=blocking)
        url = storage_url(self.front.put(os.urandom(MIB)))
        peer = await self.connected()
        await self.in_thread(lambda: peer.send(render_request("GET", url)))
        await self.until(lambda: blocking.waiting == 1)
        blocking.do_next()  # the file is opened
        await self.until(lambda: blocking.waiting == 1)
        return blocking, peer

    async def test_client_leaves_meanwhile(self) -> None:
        """The file stays open for as long as the thread reads it."""
        blocking, peer = await self.start()
        descriptors = open_files()
        peer.close()
        await self.until(lambda: self.access)
        self.assertEqual([line["status"] for line in self.access], [499])
        self.assertEqual(open_files(), descriptors)
        blocking.do_next()
        await self.until(lambda: open_files() == descriptors - 1)
        gc.collect()  # a Deferred that failed unheard complains when it is freed
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_a_failing_disk_ends_the_download(self) -> None:
        blocking, peer = await self.start()
        blocking.fail_next(OSError(errno.EIO, "the disk is broken"))
        received = await self.in_thread(peer.read_to_end)
        self.assertRaises(Incomplete, parse_response, received)
        self.assertIn("the disk is broken", self.only_error())


class PassingOnTests(DownloadsMixin, PortTestCase):
    """Objects that are no files."""

    def make_front(self, **options: Any) -> Front:
        directory = self.mktemp()
        os.makedirs(directory)
        store = NoFiles(LocalStore(directory, "", options["blocking"]))
        return Front(directory, reactor, store=store, **options)


class GrowingTests(DownloadsMixin, PortTestCase):
    """Files that grow while they are sent, and whose rest may have to be passed on."""

    async def test_what_has_grown_is_sent_at_once(self) -> None:
        """In one piece if the socket takes it; the end of it all is sent by itself."""
        asked: list[int] = []
        real = os.sendfile

        def sendfile(out: int, file: int, offset: int, count: int) -> int:
            asked.append(count)
            return real(out, file, offset, count)

        self.patch(os, "sendfile", sendfile)
        self.patch(Growing, "STEP", LAST_BYTES + 100_000)
        await self.serve()
        size = 2 * Growing.STEP
        await self.request("GET", storage_url(self.front.put(os.urandom(size))))
        self.assertEqual(asked[0], Growing.STEP)
        self.assertIn(LAST_BYTES, asked)
        self.assertEqual(self.access[-1]["bytes"], size)

    async def test_a_client_leaves_while_nothing_comes(self) -> None:
        """It is noticed when more comes, or when none does."""
        await self.serve()
        grows: list[Deferred[bool]] = []
        real = Growing.grown

        async def grown(stored: Growing, offset: int) -> int:
            if offset:
                grows.append(Deferred())
                if not await grows[-1]:
                    return offset
            return await real(stored, offset)

        self.patch(Growing, "grown", grown)
        url = storage_url(self.front.put(os.urandom(3 * Growing.STEP)))
        descriptors = open_files()
        for more in (True, False):
            grows.clear()
            self.access.clear()
            peer = await self.connected()
            await self.in_thread(partial(peer.send, render_request("GET", url)))
            await self.until(lambda: grows)
            peer.close()
            await self.until(lambda: self.access)
            self.assertEqual([line["status"] for line in self.access], [499])
            grows[0].callback(more)
            await self.until(lambda: open_files() == descriptors)
            self.assertEqual(len(grows), 1)

    def make_front(self, **options: Any) -> Front:
        directory = self.mktemp()
        os.makedirs(directory)
        store = GrowingFiles(LocalStore(directory, "", options["blocking"]))
        return Front(directory, reactor, store=store, **options)


def resident_bytes() -> int:
    """Return how much memory this process uses."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    """Return how many descriptors of regular files this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.path.isfile(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return count
