"""What clients cost in memory."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

from tests.integration.support import (
    LFS_JSON,
    REPO,
    Daemon,
    IntegrationTestCase,
    download_head,
    oid_of,
    read_reply,
    upload_head,
)
from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: What a worker may hold for its clients by default (limits.memory).
MEMORY = 64 * MIB


class UploadTests(IntegrationTestCase):
    """Uploads."""

    def test_sixteen_at_once(self) -> None:
        """Sixteen large uploads at once raise the peak by less than 64 MB."""
        daemon = self.start_daemon(forked=False)
        self.assertEqual(daemon.put(os.urandom(MIB)), 200)
        data = os.urandom(rounds(32, 128) * MIB)
        oid = oid_of(data)
        before = daemon.memory("VmHWM")

        def upload(index: int) -> int:
            with daemon.connect() as connection:
                connection.sendall(upload_head(oid, len(data), f"acme/rocket-{index}"))
                connection.sendall(data)
                return read_reply(connection)[0]

        with ThreadPoolExecutor(16) as pool:
            self.assertEqual(list(pool.map(upload, range(16))), [200] * 16)
        self.assertLess(daemon.memory("VmHWM") - before, 64_000_000)


class SlowReaderTests(IntegrationTestCase):
    """Downloads that nobody reads."""

    #: How many there are.
    READERS = 64

    def assert_cheap(self, daemon: Daemon, each: int) -> None:
        """Check that readers who have stopped cost at most ``each`` bytes of memory."""
        data = os.urandom(64 * MIB)
        oid = oid_of(data)
        self.assertEqual(daemon.put(data), 200)
        self.assertEqual(daemon.get(oid).body, data)
        before = daemon.memory("VmRSS")
        readers = []
        for _ in range(self.READERS):
            reader = daemon.connect()
            self.addCleanup(reader.close)
            reader.sendall(download_head(oid))
            readers.append(reader)
        for reader in readers:
            self.assertTrue(reader.recv(1))
        # Everybody is still served, and the daemon is as large as it will get.
        self.assertEqual(daemon.get(oid).body, data)
        self.assertLess(daemon.memory("VmRSS") - before, self.READERS * each + 4 * MIB)

    def test_slow_readers_cost_little_memory(self) -> None:
        """On plain TCP the kernel holds what is on its way."""
        self.assert_cheap(self.start_daemon(forked=False), 32 * 1024)

    def test_slow_readers_cost_little_memory_over_tls(self) -> None:
        """Over TLS a reader costs a piece or two of what is sent."""
        key, certificate = write_certificate(self.directory)
        port = free_port()
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        config = {"endpoints": [endpoint]}
        self.assert_cheap(
            self.start_daemon(forked=False, config=config, port=port, scheme="https"), MIB
        )


def batch_head(length: int) -> bytes:
    """Return the head of a batch request."""
    return (
        f"POST /{REPO}.git/info/lfs/objects/batch HTTP/1.1\r\nHost: lfs\r\n"
        f"Content-Type: {LFS_JSON}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


class HostileTests(IntegrationTestCase):
    """Many clients that send slowly, or do not read."""

    def assert_bounded(self, daemon: Daemon, before: int) -> None:
        """Check how large the daemon is, and that it serves others and gives memory back."""
        self.assertLess(daemon.memory("VmHWM") - before, MEMORY + 32 * MIB)
        self.assertEqual(daemon.batch("download", (oid_of(b"x"), 1)).status, 200)
        wait_until(lambda: daemon.memory("VmRSS") - before < MEMORY, "memory to be given back")

    def test_bodies_that_come_slowly(self) -> None:
        """300 MB of batches that never end; those that were first get 503."""
        daemon = self.start_daemon(forked=False, config={"limits": {"body_min_rate": 0}})
        before = daemon.memory("VmRSS")
        clients = [daemon.connect(f"127.0.0.{1 + number % 9}") for number in range(400)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(batch_head(1000 * 1000) + b'{"operation":' + b" " * 750 * 1000)
        status, body = read_reply(clients[0])
        self.assertEqual(status, 503, body)
        self.assert_bounded(daemon, before)

    def test_small_uploads_that_come_slowly(self) -> None:
        """80 MB of small objects of which the end is missing."""
        limits = {"body_min_rate": 0, "idle_timeout": 15}
        daemon = self.start_daemon(forked=False, config={"limits": limits})
        before = daemon.memory("VmRSS")
        for number in range(400):
            client = daemon.connect(f"127.0.0.{1 + number % 9}")
            self.addCleanup(client.close)
            head = upload_head(oid_of(b"%d" % number), 250 * 1000)
            client.sendall(head + b" " * 200 * 1000)
        self.assert_bounded(daemon, before)

    def test_long_lists_of_parts_that_nobody_reads(self) -> None:
        """Twelve answers of 30 MB; those for which there is no memory are 503."""
        daemon = self.start_daemon(
            forked=False,
            config={
                "storage": {"type": "local", "path": str(self.directory / "o"), "part_size": 1},
                "transfers": ["multipart-basic", "basic"],
            },
        )
        before = daemon.memory("VmRSS")
        heads = []
        for number in range(12):
            objects = [
                {"oid": oid_of(b"%d %d" % (number, item)), "size": 10_000} for item in range(5)
            ]
            body = json.dumps(
                {"operation": "upload", "transfers": ["multipart-basic"], "objects": objects}
            ).encode()
            client = daemon.connect()
            self.addCleanup(client.close)
            client.sendall(batch_head(len(body)) + body)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            heads.append(head)
        statuses = sorted(head[9:12] for head in heads)
        self.assertEqual(statuses, [b"200"] + [b"503"] * 11)
        self.assertTrue(all(b"\r\nRetry-After: " in head for head in heads if b" 503 " in head))
        self.assert_bounded(daemon, before)


class RateTests(IntegrationTestCase):
    """Downloads that are read slowly: 50 KB a second is the least."""

    def test_who_keeps_up_the_rate_is_served_and_who_does_not_is_cut_off(self) -> None:
        limits = {"response_min_rate": 50_000, "response_rate_window": 2}
        daemon = self.start_daemon(forked=False, config={"limits": limits, "log_format": "json"})
        data = os.urandom(64 * MIB)
        self.assertEqual(daemon.put(data), 200)
        with daemon.connect() as slow, daemon.connect() as steady:
            for client in (slow, steady):
                client.sendall(download_head(oid_of(data)))
            received = 0
            while not daemon.accesses("GET"):
                slow.recv(1)
                received += len(steady.recv(300_000))
                time.sleep(0.1)
            # The slow one, although the kernel had taken megabytes for it.
            (cut,) = daemon.accesses("GET")
            self.assertEqual(cut["status"], 499)
            while received < len(data):
                received += len(steady.recv(MIB))
