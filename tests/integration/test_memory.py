"""What clients cost in memory."""

import os
from concurrent.futures import ThreadPoolExecutor

from tests.integration.support import (
    Daemon,
    IntegrationTestCase,
    download_head,
    oid_of,
    read_reply,
    upload_head,
)
from tests.integration.test_endpoints import write_certificate
from tests.support.ports import free_port

MIB = 1024 * 1024


class UploadTests(IntegrationTestCase):
    """Uploads."""

    def test_sixteen_at_once(self) -> None:
        """Sixteen 128 MiB uploads at once raise the peak by less than 64 MB."""
        daemon = self.start_daemon()
        self.assertEqual(daemon.put(os.urandom(MIB)), 200)
        data = os.urandom(128 * MIB)
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
        self.assert_cheap(self.start_daemon(), 32 * 1024)

    def test_slow_readers_cost_little_memory_over_tls(self) -> None:
        """Over TLS a reader costs a piece or two of what is sent."""
        key, certificate = write_certificate(self.directory)
        port = free_port()
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        config = {"endpoints": [endpoint]}
        self.assert_cheap(self.start_daemon(config=config, port=port, scheme="https"), MIB)
