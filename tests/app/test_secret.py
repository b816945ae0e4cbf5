"""The daemon's secret: given, or made once and kept."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.secret import MIN_BYTES, load_secret
from giftless.errors import ConfigError

LONG = "x" * MIN_BYTES


class GivenSecretTests(SynchronousTestCase):
    def refusal(self, secret: str | None, secret_file: str | None = None) -> ConfigError:
        """Return why a secret is not taken; nothing is made instead."""
        state = self.mktemp()
        error: ConfigError = self.assertRaises(ConfigError, load_secret, secret, secret_file, state)
        self.assertFalse(os.path.exists(state))
        return error

    def test_a_secret_from_the_configuration_is_taken(self) -> None:
        state = self.mktemp()
        self.assertEqual(load_secret(LONG, None, state), LONG.encode())
        self.assertFalse(os.path.exists(state))

    def test_a_secret_from_a_file_is_taken_without_white_space_around(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"\n " + b"\xff" * MIN_BYTES + b"\r\n")
        self.assertEqual(load_secret(None, str(path), "unused"), b"\xff" * MIN_BYTES)

    def test_a_short_secret_is_refused_and_not_shown(self) -> None:
        for secret in ("", "change-me", "y" * (MIN_BYTES - 1)):
            error = self.refusal(secret)
            self.assertEqual(error.path, "secret")
            self.assertIn(f"has {len(secret)} bytes, but needs {MIN_BYTES}", error.problem)
            if secret:
                self.assertNotIn(secret, str(error))

    def test_a_short_secret_in_a_file_is_refused_and_not_shown(self) -> None:
        path = Path(self.mktemp())
        path.write_text("change-me" + " " * MIN_BYTES)
        error = self.refusal(None, str(path))
        self.assertEqual(error.path, "secret_file")
        self.assertNotIn("change-me", str(error))

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        for path in ("/etc/nowhere", "/"):
            error = self.refusal(None, path)
            self.assertEqual(error.path, "secret_file")
            self.assertIn(f"{path!r} cannot be read: ", error.problem)


class MadeSecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = self.mktemp()
        self.path = os.path.join(self.state, "secret")

    def load(self) -> bytes:
        """Load the secret that is kept, or to be made."""
        return load_secret(None, None, self.state)

    def test_a_secret_is_made_and_kept(self) -> None:
        secret = self.load()
        self.assertGreaterEqual(len(secret), MIN_BYTES)
        self.assertEqual(self.load(), secret)
        self.assertEqual(Path(self.path).read_bytes().strip(), secret)

    def test_there_is_no_default_value(self) -> None:
        """Two daemons never have the same one by chance."""
        first = self.load()
        self.state = self.mktemp()
        self.assertNotEqual(self.load(), first)

    def test_nobody_else_can_read_it(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.load()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.state).st_mode), 0o700)

    def test_a_directory_that_exists_is_used(self) -> None:
        os.makedirs(self.state)
        Path(self.path).write_text(LONG + "\n")
        self.assertEqual(self.load(), LONG.encode())

    def test_nothing_else_is_left(self) -> None:
        before = os.listdir("/proc/self/fd")
        self.load()
        self.assertEqual(os.listdir(self.state), ["secret"])
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_of_two_that_make_it_at_once_one_counts(self) -> None:
        """Both have looked and seen nothing; the second keeps what the first made."""
        first = self.load()
        self.patch(os.path, "exists", lambda path: False)
        self.assertEqual(self.load(), first)
        self.assertEqual(os.listdir(self.state), ["secret"])

    def test_many_that_start_at_once_agree(self) -> None:
        count = 16
        barrier = threading.Barrier(count)
        secrets: list[bytes] = []

        def start() -> None:
            barrier.wait(60)
            secrets.append(self.load())

        threads = [threading.Thread(target=start) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(len(secrets), count)
        self.assertEqual(len(set(secrets)), 1)
        self.assertEqual(os.listdir(self.state), ["secret"])

    def test_it_is_on_disk_before_it_is_seen(self) -> None:
        """A crash must not leave an empty secret that is then taken."""
        calls: list[str] = []
        real_fsync, real_link = os.fsync, os.link

        def fsync(fd: int) -> None:
            calls.append("fsync")
            real_fsync(fd)

        def link(source: str, target: str) -> None:
            calls.append("link")
            real_link(source, target)

        self.patch(os, "fsync", fsync)
        self.patch(os, "link", link)
        self.load()
        self.assertEqual(calls[:2], ["fsync", "link"])

    def test_a_file_that_was_emptied_is_refused(self) -> None:
        self.load()
        Path(self.path).write_bytes(b"")
        error = self.assertRaises(ConfigError, self.load)
        self.assertEqual(error.path, "state_dir")
        self.assertIn("has 0 bytes", error.problem)

    def test_a_directory_that_cannot_be_used_is_named(self) -> None:
        Path(self.state).write_bytes(b"")
        error = self.assertRaises(ConfigError, self.load)
        self.assertEqual(error.path, "state_dir")
        self.assertIn(f"{self.state!r} cannot be used: ", error.problem)
        self.assertIn(f"may write to, which runs as user {os.geteuid()}", error.problem)
