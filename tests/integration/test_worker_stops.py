"""SIGTERM and SIGINT: workers may finish what they do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from tests.integration.support import (
    oid_of,
    read_reply,
    temporaries,
    upload_head,
)
from tests.integration.workers import MIB, WorkersTestCase
from tests.support.processes import ENDED, is_running, wait_until


class StopTests(WorkersTestCase):
    """SIGTERM, and SIGINT from a terminal."""

    def test_running_uploads_finish_after_sigterm(self) -> None:
        """Uploads in workers finish, those in replaced ones too; nobody else is let in."""
        daemon = self.start(2)
        data = [os.urandom(8 * MIB) for _ in range(4)]
        with contextlib.ExitStack() as stack:
            uploads = []
            for number, content in enumerate(data):
                connection = stack.enter_context(daemon.connect())
                connection.sendall(upload_head(oid_of(content), len(content)) + content[:MIB])
                wait_until(lambda: len(temporaries(daemon.store)) > number, "the upload")  # noqa: B023
                uploads.append(connection)
                if number == 1:
                    self.hup(daemon)
            daemon.terminate()
            wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
            for connection, content in zip(uploads, data, strict=True):
                connection.sendall(content[MIB:])
                self.assertEqual(read_reply(connection), (200, b"{}"))
        self.assertEqual(daemon.wait(), ENDED)
        self.assertEqual(len(self.assert_intact(daemon.store)), 5)
        self.assert_no_traceback(daemon)

    def test_what_exceeds_the_shutdown_timeout_is_cut(self) -> None:
        """What does not finish in time is cut off, and no process is left."""
        daemon = self.start(2, shutdown_timeout=1)
        data = os.urandom(8 * MIB)
        workers = daemon.workers
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            self.assertEqual(daemon.stop(), ENDED)
        self.assertFalse(any(map(is_running, workers)))
        self.assertEqual(temporaries(daemon.store), [])

    def test_an_interrupt_from_a_terminal_lets_uploads_finish(self) -> None:
        """^C reaches all processes, and ends them well."""
        # These tests may have been started by a shell in the background, which lets
        # them ignore SIGINT.
        terminal = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
            " os.setsid(); os.execv(*[sys.argv[1], sys.argv[1:]])"
        )
        daemon = self.make_daemon(
            config={"workers": 2, "log_format": "json"}, wrapper=[sys.executable, "-c", terminal]
        ).start()
        data = os.urandom(8 * MIB)
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            os.killpg(daemon.running.pid, signal.SIGINT)
            wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
            connection.sendall(data[MIB:])
            self.assertEqual(read_reply(connection), (200, b"{}"))
        self.assertEqual(daemon.wait(), -signal.SIGINT)
        self.assert_no_traceback(daemon)
