"""SIGTERM: what runs may finish, in time."""

import contextlib
import os
import signal
import socket
import sys
import time

from tests.integration.support import (
    Daemon,
    IntegrationTestCase,
    download_head,
    oid_of,
    read_reply,
    stored_objects,
    temporaries,
    upload_head,
)
from tests.support.processes import ENDED, wait_until

MIB = 1024 * 1024


class StopTests(IntegrationTestCase):
    """A clean stop."""

    def begin_upload(self, daemon: Daemon, data: bytes) -> socket.socket:
        """Send the first half of an upload, and wait until it is on disk."""
        connection = daemon.connect()
        self.addCleanup(connection.close)
        half = len(data) // 2
        connection.sendall(upload_head(oid_of(data), len(data)) + data[:half])
        wait_until(lambda: temporaries(daemon.store), "the upload's temporary file")
        return connection

    def test_running_transfers_finish(self) -> None:
        """A slow upload and a slow download end well; nobody else is let in."""
        daemon = self.start_daemon()
        stored, uploaded = os.urandom(64 * MIB), os.urandom(32 * MIB)
        self.assertEqual(daemon.put(stored), 200)
        upload = self.begin_upload(daemon, uploaded)
        download = daemon.connect()
        self.addCleanup(download.close)
        download.sendall(download_head(oid_of(stored)))
        self.assertTrue(download.recv(1, socket.MSG_PEEK))

        daemon.terminate()
        wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
        self.assertIsNone(daemon.running.poll())
        self.assertEqual(read_reply(download), (200, stored))
        self.assertIsNone(daemon.running.poll())
        upload.sendall(uploaded[len(uploaded) // 2 :])
        self.assertEqual(read_reply(upload), (200, b"{}"))

        self.assertEqual(daemon.wait(), ENDED)
        self.assertEqual(
            sorted(self.assert_intact(daemon.store)), sorted([oid_of(stored), oid_of(uploaded)])
        )
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)

    def test_connection_is_closed_after(self) -> None:
        """The response that was waited for says that the connection closes, and it does."""
        daemon = self.start_daemon()
        data = os.urandom(32 * MIB)
        upload = self.begin_upload(daemon, data)
        daemon.terminate()
        wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
        upload.sendall(data[len(data) // 2 :])
        received = b""
        while chunk := upload.recv(65536):
            received += chunk
        self.assertIn(b"\r\nconnection: close\r\n", received.lower())
        self.assertEqual(daemon.wait(), ENDED)

    def test_what_exceeds_the_shutdown_timeout_is_cut(self) -> None:
        """What does not finish within ``shutdown_timeout`` is cut, and leaves nothing."""
        daemon = self.start_daemon(config={"shutdown_timeout": 1})
        upload = self.begin_upload(daemon, os.urandom(32 * MIB))
        began = time.monotonic()
        daemon.terminate()
        self.assertEqual(daemon.wait(), ENDED)
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(upload.recv(65536), b"")
        self.assertEqual(list(stored_objects(daemon.store)), [])
        self.assertEqual(temporaries(daemon.store), [])
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)

    def test_idle_connections_do_not_delay_the_end(self) -> None:
        """Connections on which nothing happens hold nothing up."""
        daemon = self.start_daemon(config={"shutdown_timeout": 3600})
        silent, kept = daemon.connect(), daemon.connect()
        self.addCleanup(silent.close)
        self.addCleanup(kept.close)
        kept.sendall(download_head(oid_of(b"absent")))
        self.assertEqual(read_reply(kept)[0], 404)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual((silent.recv(1), kept.recv(1)), (b"", b""))

    def test_several_signals_at_once_stop_it_once(self) -> None:
        daemon = self.start_daemon()
        # Both are there when the process goes on.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            os.kill(daemon.running.pid, number)
        self.assertIn(daemon.wait(), (ENDED, -signal.SIGINT))
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)

    def test_a_daemon_that_is_to_ignore_interrupts_stops_by_sigterm(self) -> None:
        """A shell lets what it starts in the background ignore them."""
        ignore = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
            " os.execv(sys.argv[1], sys.argv[1:])"
        )
        daemon = self.make_daemon(wrapper=[sys.executable, "-c", ignore]).start()
        daemon.running.send_signal(signal.SIGINT)
        self.assertEqual(daemon.put(b"still there"), 200)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)
