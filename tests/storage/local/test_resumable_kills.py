"""Uploads on a local disk whose processes are killed, or stopped and woken up again."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.local.growing import path_of
from tests.support.bodies import ListBody
from tests.support.making import environment, key_of, oid_of, payload_of
from tests.support.processes import wait_until
from tests.support.reactor import reactor
from tests.support.rounds import rounds
from tests.support.scripts import Process, start_script
from tests.support.threads import running_threads

MIB = 1024 * 1024

#: How often a process is killed while bytes come, and while it makes an object of them.
KILLS = rounds(4, 200)
COMMITS = rounds(3, 60)

#: How large the object is, in bytes: what a process appends until it is killed.
SIZE = 8 * MIB
DATA = random.Random("kills").randbytes(SIZE)
OID = oid_of(DATA)
KEY = key_of(DATA)

#: Goes on with an upload in pieces, says what is acknowledged, and makes the object.
WRITER = """
import os, random, signal, sys, threading
from functools import partial
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from giftless.app.plugins import PartBuilder
from giftless.base.threads import Threads
from giftless.interfaces import Environment, Payload
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.storage.local.factory import LocalFactory, LocalOptions

top, source, oid, way = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
key = ObjectKey(Repo(("org", "repo")), Oid(oid))
chance = random.Random(os.getpid())

class Body:
    def __init__(self, start, end):
        self.start, self.end = start, end

    async def read(self):
        start = self.start
        self.start = min(self.end, start + chance.randrange(1, 65536))
        return [data[start : self.start]] if start < self.end else []

def stop_at_the_next_write():
    # After all that it looks at before; then it writes other bytes than it should.
    real = os.writev
    def stop(fd, buffers):
        os.writev = real
        # To this very thread, which goes no further.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return real(fd, [bytes(len(buffer)) for buffer in buffers])
    os.writev = stop

async def go_on():
    threads = Threads(reactor, 2)
    threads.startService()
    parts = PartBuilder(partial(Environment, reactor, threads, None, top + "-state"))
    store = LocalFactory().build(LocalOptions(path=top), parts.environment)
    upload = await store.claim(key, len(data))
    print("offset", upload.offset, flush=True)
    await upload.begin({})
    try:
        while upload.offset < len(data):
            if way != "write" and upload.offset >= len(data) // 2:
                stop_at_the_next_write()
            end = min(len(data), upload.offset + chance.randrange(1, 2 * 1024 * 1024))
            await upload.append(Body(upload.offset, end))
            print("came", upload.offset, flush=True)
        print("committing", flush=True)
        await upload.commit(Payload(len(data), oid), {}, False)
        print("committed", flush=True)
    except Exception as error:
        print("failed", type(error).__name__, flush=True)
    await upload.release()
    threads.stopService()

react(lambda reactor: Deferred.fromCoroutine(go_on()))
"""


class WriterTestCase(TestCase):
    """A test case with a store, an object to be sent, and processes that do.

    :ivar source: a file with the object's bytes.
    :ivar file: what has come of them.
    """

    #: Disks may be busy; trial would wait for two minutes.
    timeout = rounds(600, 7200)

    def setUp(self) -> None:
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        self.top, self.source = base / "objects", base / "source"
        self.source.write_bytes(DATA)
        self.object = self.top / KEY.path
        self.file = self.top / os.fsdecode(path_of(KEY.path.encode(), SIZE))
        self.threads = running_threads(self, 2)
        around = environment(f"{self.top}-state", reactor, self.threads)
        self.store: Any = LocalFactory().build(LocalOptions(path=str(self.top)), around)

    def start(self, way: str = "write") -> Process:
        """Start a process that goes on with the upload."""
        process = start_script(WRITER, self.top, self.source, OID, way)

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def lines(self, process: Process) -> list[list[str]]:
        """Return what a process has said until its end."""
        said, _ = process.communicate()
        return [line.split() for line in said.splitlines()]

    async def offset(self) -> int | None:
        """Ask how much has come."""
        upload = await self.store.claim(KEY, SIZE)
        await upload.release()
        offset: int | None = upload.offset
        return offset

    def assert_stored(self) -> None:
        """Fail unless the object is right, and nothing is left of its upload."""
        self.assert_equal_to_source(self.object)
        own = self.top / ".giftless"
        for name in ("resumable", "holds"):
            self.assertEqual(list((own / name).rglob("*")), [])

    def assert_equal_to_source(self, path: Path) -> None:
        self.assertEqual(hashlib.sha256(path.read_bytes()).hexdigest(), OID)


class KillTests(WriterTestCase):
    async def test_an_offset_is_what_came_and_at_least_what_was_acknowledged(self) -> None:
        """Killed at whatever offset, again and again."""
        chance = random.Random()
        seed = chance.randrange(2**32)
        chance.seed(seed)
        offset, killed = 0, 0
        while killed < KILLS:
            process = self.start()
            target = offset + chance.randrange(SIZE // 3)
            wait_until(functools.partial(self.has_come, process, target), "bytes")
            process.kill()
            said = self.lines(process)
            told = [int(words[1]) for words in said if words[1:] and words[1].isdigit()]
            if self.object.exists():
                # It was faster; what it said is not what counts here.
                self.assert_equal_to_source(self.object)
                self.object.unlink()
                offset = 0
                continue
            killed += 1
            before, offset = offset, await self.offset() or 0
            self.assertGreaterEqual(offset, max(told, default=before), f"seed {seed}")
            with open(self.file, "rb") as file:
                came = file.read()
            self.assertEqual(len(came), offset)
            self.assertTrue(DATA.startswith(came), f"seed {seed}")
        last = self.start()
        self.assertEqual(self.lines(last)[-1], ["committed"])
        self.assert_stored()

    def has_come(self, process: Process, offset: int) -> bool:
        """Whether the file is so long, or nobody makes it longer."""
        try:
            return self.file.stat().st_size > offset or process.poll() is not None
        except FileNotFoundError:
            return process.poll() is not None

    async def test_a_commit_that_is_killed_is_done_or_can_be_done(self) -> None:
        chance = random.Random()
        upload = await self.store.claim(KEY, SIZE)
        await upload.begin({})
        await upload.append(ListBody([DATA]))
        await upload.release()
        for _ in range(COMMITS):
            process = self.start()
            assert process.stdout is not None
            while process.stdout.readline() != "committing\n":
                self.assertIsNone(process.poll())
            time.sleep(chance.random() * 0.08)
            process.kill()
            process.communicate()
            if self.object.exists():
                self.assert_equal_to_source(self.object)
                self.assertIsNone(await self.offset())
                # Once more.
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.object.rename(self.file)
            self.assertEqual(await self.offset(), SIZE)
            self.assert_equal_to_source(self.file)
        upload = await self.store.claim(KEY, SIZE)
        await upload.commit(payload_of(DATA), {}, False)
        await upload.release()
        self.assert_stored()


class StopTests(WriterTestCase):
    def start_and_stop(self) -> Process:
        """Start a process that is stopped between its last look and a write, of wrong bytes."""
        process = self.start("stop")
        wait_until(lambda: is_stopped(process.pid) or process.poll() is not None, "it to stop")
        self.assertIsNone(process.poll())
        return process

    def wake(self, process: Process) -> None:
        """Let a process go on, until it sees that it has lost the upload."""
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.lines(process)[-1], ["failed", "Conflict"])

    async def finish(self, upload: Any) -> None:
        """Append what is missing, and believe that it is right."""
        await upload.append(ListBody([DATA[upload.offset :]]))
        await upload.commit(payload_of(DATA), {}, True)
        await upload.release()

    async def test_a_process_that_wakes_up_while_another_goes_on_harms_nothing(self) -> None:
        process = self.start_and_stop()
        upload = await self.store.claim(KEY, SIZE)
        self.assertGreaterEqual(upload.offset, SIZE // 2)
        self.wake(process)
        await self.finish(upload)
        self.assert_stored()

    async def test_a_process_that_wakes_up_after_the_commit_harms_nothing(self) -> None:
        process = self.start_and_stop()
        await self.finish(await self.store.claim(KEY, SIZE))
        self.wake(process)
        self.assert_stored()

    async def test_an_upload_is_taken_over_again_and_again(self) -> None:
        processes = [self.start_and_stop() for _ in range(3)]
        upload = await self.store.claim(KEY, SIZE)
        for process in processes:
            self.wake(process)
        await self.finish(upload)
        self.assert_stored()


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    status = Path(f"/proc/{pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"
