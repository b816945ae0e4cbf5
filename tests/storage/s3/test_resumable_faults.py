"""Uploads that come bit by bit to an S3 that fails, by processes that are killed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from giftless.base import whole_object
from giftless.errors import Disconnected, ServiceUnavailable
from giftless.storage.remote.resumable import staged
from giftless.storage.remote.resumable.found import list_all
from giftless.storage.remote.resumable.staging import UPLOADS, Piece, Staging
from tests.contracts.multipart import bytes_of
from tests.storage.s3.test_parts import S3PartsTestCase
from tests.support.bodies import ListBody, read_all
from tests.support.faulty import HANG, PATIENT, RESET, SLOW_DOWN, Fault, FaultyProxy, answer
from tests.support.making import key_of, payload_of
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds
from tests.support.scripts import Process, start_module

#: The smallest parts that S3 takes, in bytes; an object of three, and one of one part.
PART = 5 * 1024**2
LARGE = 2 * PART + 7
SMALL = 1_500_000


class UploadTestCase(S3PartsTestCase):
    """Has a bucket, and a proxy in front of the server."""

    def setUp(self) -> None:
        super().setUp()
        self.state_dir = self.mktemp()
        self.proxy = FaultyProxy(self.server.port)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.patch(staged, "DELAY", 0.01)
        self.patch(whole_object, "READ_DELAY", 0.01)
        self.store = self.open_store(endpoint_url=self.proxy.url, timeout=PATIENT)
        self.think_of(LARGE)

    def open_store(self, **options: Any) -> Any:
        store = self.build(**options)
        store._context = replace(store._context, part_size=PART)
        return store

    @contextmanager
    def failing(self, fault: Callable[[bytes], Fault | None]) -> Iterator[None]:
        """Let the store fail, and wait for it no longer than a moment."""
        clients = self.store.container.client, self.store.container._patient
        before = [(client.timeout, client.stall_timeout) for client in clients]
        for client in clients:
            client.timeout = client.stall_timeout = 1
        self.proxy.fault = fault
        try:
            yield
        finally:
            self.proxy.always(None)
            for client, timeouts in zip(clients, before, strict=True):
                client.timeout, client.stall_timeout = timeouts

    def think_of(self, size: int) -> None:
        """Choose which object is uploaded."""
        self.data = bytes_of(size)
        self.key = key_of(self.data)

    async def claim(self) -> Any:
        return await self.store.claim(self.key, len(self.data))

    async def begin(self) -> Any:
        upload = await self.claim()
        await upload.begin({})
        return upload

    async def append(self, upload: Any, end: int, failure: Exception | None = None) -> None:
        """Append the bytes up to an offset."""
        start, step = upload.offset, 1024**2
        chunks = [self.data[at : min(at + step, end)] for at in range(start, end, step)]
        await upload.append(ListBody(chunks, failure))

    async def finish(self) -> None:
        """Go on with the upload to its end, past the proxy."""
        self.store = self.open_store()
        upload = await self.begin()
        await self.append(upload, len(self.data))
        await upload.commit(payload_of(self.data), {}, False)
        await upload.release()
        await self.assert_stored()

    async def assert_stored(self) -> None:
        """Fail unless the object is there and right, and nothing else."""
        self.proxy.always(None)
        stored = await self.store.open(self.key)
        assert stored is not None
        digest = hashlib.sha256(await read_all(stored.read(0, stored.size))).hexdigest()
        stored.close()
        self.assertEqual((stored.size, digest), (len(self.data), self.key.oid))
        await self.assert_nothing_staged()

    async def assert_nothing_staged(self) -> None:
        container = self.store.container
        self.assertEqual(await list_all(container, f"{UPLOADS.path}/", nested=True), [])
        self.assertEqual(list(await container.running_uploads(f"{UPLOADS.path}/")), [])

    async def assert_absent(self) -> None:
        """Fail if an object is visible."""
        self.assertEqual(list(await self.open_store().sizes([self.key])), [None])


def requests(method: bytes, word: bytes, fault: Fault | None) -> Callable[[bytes], Fault | None]:
    """Return what does something to all requests that are made like this."""
    return lambda head: fault if head.startswith(method) and word in _line(head) else None


def _line(head: bytes) -> bytes:
    return head.partition(b"\r\nHost")[0] if b"copy-source" not in head else head


class FaultTests(UploadTestCase):
    """The store fails."""

    async def test_what_passes_soon_is_not_noticed(self) -> None:
        for fault in (SLOW_DOWN, RESET, Fault("cut", after=0)):
            upload = await self.begin()
            left = iter([fault] * 2)
            self.proxy.fault = lambda head, left=left: (  # type: ignore[misc]
                next(left, None) if b"partNumber=2" in head else None
            )
            await self.append(upload, len(self.data))
            self.assertEqual(upload.offset, len(self.data))
            self.assertIsNone(next(left, None))
            self.proxy.always(None)
            await upload.discard()
            await upload.release()

    async def test_a_part_that_the_store_does_not_take(self) -> None:
        for fault in (SLOW_DOWN, RESET, Fault("stall-upload", after=1_000_000)):
            upload = await self.begin()
            await self.append(upload, PART + 10)
            failing = self.failing(requests(b"PUT", b"partNumber=2", fault))
            with failing, self.assertRaises(ServiceUnavailable) as caught:
                await self.append(upload, len(self.data))
            self.assertGreater(caught.exception.retry_after, 0)
            self.assertEqual(upload.offset, PART + 10)
            await upload.release()
            upload = await self.claim()
            # What was sent may have come in spite of all.
            self.assertIn(upload.offset, (PART + 10, 2 * PART))
            await upload.discard()
            await upload.release()
        await self.finish()

    async def test_what_was_acknowledged_outlasts_a_store_that_is_away(self) -> None:
        for size in (SMALL, LARGE):
            self.think_of(size)
            upload = await self.begin()
            await self.append(upload, 1000)
            with self.failing(lambda _: RESET):
                with self.assertRaises(ServiceUnavailable):
                    await self.append(upload, size // 3, Disconnected("gone"))
                self.assertEqual(upload.offset, 1000)
                await upload.release()
                with self.assertRaises(ServiceUnavailable):
                    await self.claim()
            upload = await self.claim()
            self.assertEqual(upload.offset, 1000)
            await upload.release()
            await self.finish()
            self.store = self.open_store(endpoint_url=self.proxy.url, timeout=PATIENT)

    async def test_a_commit_that_fails_can_be_made_again(self) -> None:
        upload = await self.begin()
        await self.append(upload, len(self.data))
        refused = answer("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>")
        for method, word, faults in (
            (b"POST", b"uploadId", (RESET, HANG)),
            (b"HEAD", upload._staged.staging.name.encode(), (refused, SLOW_DOWN)),
            (b"PUT", b"copy-source", (refused, SLOW_DOWN)),
        ):
            for fault in faults:
                failing = self.failing(requests(method, word, fault))
                with failing, self.assertRaises(ServiceUnavailable):
                    await upload.commit(payload_of(self.data), {}, True)
                await self.assert_absent()
                await upload.release()
                upload = await self.claim()
                self.assertEqual(upload.offset, len(self.data))
        await upload.commit(payload_of(self.data), {}, False)
        await upload.release()
        await self.assert_stored()

    async def test_answers_that_are_lost(self) -> None:
        """What was asked for has been done, and is asked for again."""
        for method, word in ((b"POST", b"uploadId"), (b"PUT", b"copy-source")):
            upload = await self.begin()
            await self.append(upload, len(self.data))
            lost, matches = iter([Fault("cut", after=0)]), requests(method, word, RESET)
            self.proxy.fault = lambda head, lost=lost, matches=matches: (  # type: ignore[misc]
                next(lost, None) if matches(head) else None
            )
            await upload.commit(payload_of(self.data), {}, True)
            await upload.release()
            await self.assert_stored()
            await self.store.delete(self.key)

    async def test_reading_back_goes_on_where_it_broke_off(self) -> None:
        upload = await self.begin()
        await self.append(upload, len(self.data))
        name = upload._staged.staging.name.encode()
        cuts = iter([Fault("cut", after=PART), RESET])
        self.proxy.fault = lambda head: (
            next(cuts, None) if head.startswith(b"GET") and name + b"/" + name in head else None
        )
        await upload.commit(payload_of(self.data), {}, False)
        await upload.release()
        self.assertIsNone(next(cuts, None))
        await self.assert_stored()

    async def test_what_cannot_be_removed_does_not_fail_a_commit(self) -> None:
        upload = await self.begin()
        await self.append(upload, len(self.data))
        with self.failing(requests(b"DELETE", b"", SLOW_DOWN)):
            await upload.commit(payload_of(self.data), {}, True)
        await upload.release()
        self.assertEqual(list(await self.store.sizes([self.key])), [len(self.data)])
        upload = await self.claim()
        await upload.discard()
        await upload.release()
        await self.assert_stored()


class ReadingBackTests(UploadTestCase):
    """Whether what is staged is read."""

    async def times_read(self, verified: bool, **options: Any) -> int:
        """Upload the object by one request; return how often it was read back."""
        self.store = self.open_store(endpoint_url=self.proxy.url, **options)
        upload = await self.begin()
        await self.append(upload, len(self.data))
        name = Staging.of(self.key, len(self.data)).name
        self.proxy.requests.clear()
        await upload.commit(payload_of(self.data), {}, verified)
        await upload.release()
        await self.store.delete(self.key)
        whole = f"{name}/{name}"
        return sum(line.startswith("GET") and f"{whole} " in line for line in self.proxy.requests)

    async def test_only_what_nobody_has_seen_as_a_whole(self) -> None:
        self.assertEqual(await self.times_read(True), 0)
        self.assertEqual(await self.times_read(False), 1)

    async def test_always_if_the_store_is_not_believed(self) -> None:
        self.assertEqual(await self.times_read(True, verify_checksum=True), 1)

    async def test_objects_above_what_is_copied_at_once(self) -> None:
        """They are copied in parts: at 5 GiB in truth."""
        self.store = self.open_store()
        self.patch(self.store.container, "max_copy", PART)
        upload = await self.begin()
        await self.append(upload, len(self.data))
        await upload.commit(payload_of(self.data), {}, True)
        await upload.release()
        await self.assert_stored()


class KillTests(UploadTestCase):
    """A process is killed in the middle of something; another one goes on."""

    #: How much the process has sent after each of its bodies, in bytes.
    ENDS = (3 * 1024**2, PART + 3 * 1024**2, LARGE)

    def setUp(self) -> None:
        super().setUp()
        self.staging = Staging.of(self.key, LARGE)
        bucket = self.server.buckets / self.bucket
        self.whole, self.object = bucket / self.staging.whole.path, bucket / self.key.path

    async def kill_at(self, method: bytes, word: bytes, what: Fault | Path) -> None:
        """Run a process until it sends a certain request, kill it, and go on with its upload.

        :param what: what happens to the request; or the file that is there when the store has
            done what it asks for, but has not answered.
        """
        reached = threading.Event()
        at = requests(method, word, HANG)

        def meet(head: bytes) -> Fault | None:
            if at(head) is None:
                return None
            self.proxy.latency = 1000.0
            reached.set()
            return what if isinstance(what, Fault) else None

        self.proxy.fault = meet
        process = self.start()
        try:
            self.assertTrue(reached.wait(PATIENCE), "it was never sent")
            if isinstance(what, Path):
                wait_until(what.exists, "the store")
        finally:
            process.kill()
            said, _ = process.communicate()
        self.proxy.latency = 0.0
        self.proxy.always(None)
        await self.go_on(int(said.split()[-1]) if said else 0)

    def start(self) -> Process:
        numbers = map(str, (LARGE, PART, *self.ENDS))
        state = Path(self.state_dir).absolute()
        return start_module(
            "tests.storage.s3.uploader", self.proxy.url, self.bucket, state, *numbers
        )

    async def go_on(self, acknowledged: int) -> None:
        """Fail if something is lost that was acknowledged, or something wrong to be seen."""
        (visible,) = await self.open_store().sizes([self.key])
        self.assertEqual(visible, LARGE if self.object.exists() else None)
        upload = await self.claim()
        if not visible:
            self.assertGreaterEqual(upload.offset or 0, acknowledged)
        await upload.release()
        await self.finish()

    async def test_in_the_middle_of_a_part(self) -> None:
        await self.kill_at(b"PUT", b"partNumber=2", Fault("stall-upload", after=1024**2))

    async def test_after_all_parts_have_become_one_object(self) -> None:
        await self.kill_at(b"POST", b"uploadId", self.whole)

    async def test_after_the_copy(self) -> None:
        await self.kill_at(b"PUT", b"copy-source", self.object)
        self.assertTrue(self.object.exists())

    async def test_somewhere_else_on_the_way(self) -> None:
        first = Piece(0, self.ENDS[0]).name.encode()
        points: list[tuple[bytes, bytes, Fault | Path]] = [
            (b"PUT", first, Fault("stall-upload", after=1024**2)),
            (b"PUT", first, self.whole.parent / first.decode()),
            (b"POST", b"uploadId", HANG),
            (b"PUT", b"copy-source", HANG),
            (b"DELETE", str(self.staging.whole.path).encode(), HANG),
        ]
        for point in points[: rounds(1, len(points))]:
            await self.kill_at(*point)
            await self.store.delete(self.key)
