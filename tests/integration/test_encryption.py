"""Encryption at rest, as operators and clients have it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from tests.integration.support import (
    REPO,
    IntegrationTestCase,
    object_path,
    oid_of,
    stored_objects,
)
from tests.support.bodies import altered
from tests.support.commands import run_command, start_command
from tests.support.processes import PATIENCE
from tests.support.rounds import rounds
from tests.support.servers import shared, versitygw
from tests.support.threads import working_beside

#: How often commands are killed while clients work.
ROUNDS: Final = int(os.environ.get("TESTS_ROUNDS") or rounds(2, 500))

#: Files of every kind; an empty one is no object for git-lfs.
FILES: Final = {
    "small.bin": os.urandom(1000),
    "text.bin": b"all work and no play\n" * 10_000,
    "large.bin": os.urandom(3 * 1024 * 1024 + 5),
}


class EncryptionTestCase(IntegrationTestCase):
    """Has a key file, and a daemon that may be started with or without encryption."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = self.directory / "keys"
        self.generate("one")
        self.settings: dict[str, Any] = {"workers": 2, "log_format": "json"}
        self.daemon = self.make_daemon(config=self.settings)

    def inner(self) -> dict[str, Any]:
        """Return the storage inside."""
        return {"type": "local", "path": str(self.daemon.directory / "objects")}

    def configure(self, encrypts: bool, **options: Any) -> None:
        """Say whether the daemon encrypts, from its next start on."""
        storage = self.inner()
        if encrypts:
            keys = {"type": "file", "path": str(self.keys)}
            storage = {"type": "encrypted", "keys": keys, "store": storage, **options}
        self.settings["storage"] = storage
        self.daemon.write_config()

    def restart(self, encrypts: bool, **options: Any) -> None:
        """Start the daemon with another configuration."""
        if self.daemon.process is not None:
            self.daemon.stop()
        self.configure(encrypts, **options)
        self.daemon.start()

    def generate(self, key_id: str) -> None:
        """Append a key to the file."""
        self.command("keys", "generate", "--id", key_id, str(self.keys), config=False)

    def command(
        self, *arguments: str, config: bool = True, status: int = 0, kill_after: float | None = None
    ) -> str:
        """Run a command of giftless to its end, or kill it some seconds after its start."""
        options = ["--config", str(self.daemon.directory / "giftless.yaml")] if config else []
        # The daemon's state directory is relative to where it runs.
        directory = self.daemon.directory if config else self.directory
        timer: threading.Timer | None = None

        def started(pid: int) -> None:
            nonlocal timer
            if kill_after is not None:
                timer = threading.Timer(kill_after, os.kill, (pid, signal.SIGKILL))
                timer.start()

        done = run_command("giftless", *arguments, *options, directory=directory, started=started)
        if timer is not None:
            timer.cancel()
            timer.join()
        else:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        for line in self.keys.read_bytes().splitlines() if self.keys.exists() else ():
            for word in line.split()[1:]:
                if len(word) > 40:
                    self.assertNotIn(word.decode(), done.stdout + done.stderr)
        return done.stdout

    def summary(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with ``--json``, and return its summary."""
        *_, last = self.command(*arguments, "--json", status=status).splitlines()
        return json.loads(last)["summary"]

    def leave_keys(self, *ids: str) -> None:
        """Remove all keys but some from the file."""
        lines = self.keys.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.split()[0] in ids]
        temporary = self.keys.with_suffix(".new")
        temporary.touch(0o600)
        temporary.write_text("".join(kept))
        temporary.rename(self.keys)

    def files(self) -> dict[str, bytes]:
        """Return every file of the store, those of its own as well."""
        store = self.daemon.directory / "objects"
        return {
            str(path.relative_to(store)): path.read_bytes()
            for path in store.rglob("*")
            if path.is_file()
        }

    def assert_no_plaintext(self, *objects: bytes) -> None:
        """Check that no piece of some objects is in the store or in the server's state."""
        state = self.daemon.directory / "giftless-state"
        files = {
            **self.files(),
            **{str(p): p.read_bytes() for p in state.rglob("*") if p.is_file()},
        }
        for data in objects:
            for at in range(0, len(data) - 32, max(1, len(data) // 10)):
                for name, content in files.items():
                    self.assertNotIn(data[at : at + 32], content, name)


class LocalTests(EncryptionTestCase):
    def test_what_git_pushes_is_stored_encrypted(self) -> None:
        self.restart(True, compression="zstd")
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        self.assert_round_trip(repo, FILES)
        self.assertEqual(len([*stored_objects(self.daemon.directory / "objects")]), len(FILES))
        self.assert_no_plaintext(*FILES.values())
        self.command("fsck", "--read-data")

    def test_what_was_stored_before_is_encrypted_while_it_is_served(self) -> None:
        self.restart(False)
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        self.assert_round_trip(repo, FILES)
        deleted = b"in the trash " * 100
        self.daemon.put(deleted)
        self.restart(True)
        self.daemon.put(new := os.urandom(5000))
        self.command("rm", REPO, oid_of(deleted), "--reason", "test")
        for data in (*FILES.values(), new):
            self.assertEqual(self.daemon.get(oid_of(data)).body, data)
        dry = self.summary("encrypt", "--dry-run")
        self.assertEqual((dry["done"]["objects"], dry["before"]["objects"]), (4, 1))
        self.assertEqual(dry["done"]["size"], len(deleted) + sum(map(len, FILES.values())))
        done = self.summary("encrypt")
        self.assertEqual((done["done"], done["complete"]), (dry["done"], True))
        self.assert_no_plaintext(*FILES.values(), new, deleted)
        for data in (*FILES.values(), new):
            self.assertEqual(self.daemon.get(oid_of(data)).body, data)
        self.command("fsck", "--read-data")
        # What a client asks for comes back from the trash.
        reply = self.daemon.batch("download", (oid_of(deleted), len(deleted))).json
        self.assertIn("actions", reply["objects"][0])
        self.assertEqual(self.daemon.get(oid_of(deleted)).body, deleted)
        self.restart(True, plaintext="refuse")
        self.assertEqual(self.daemon.get(oid_of(new)).body, new)

    def test_wrong_bytes_are_not_encrypted_but_named(self) -> None:
        self.restart(False)
        good, bad = os.urandom(1000), os.urandom(1000)
        for data in (good, bad):
            self.daemon.put(data)
        path = self.daemon.directory / "objects" / REPO / oid_of(bad)
        path.write_bytes(altered(bad, 0))
        self.restart(True)
        printed = self.command("encrypt", status=2)
        self.assertIn(f"damaged: {REPO}/{oid_of(bad)}", printed)
        self.assertIn("Encrypted now: 1 object", printed)
        self.assertEqual(path.read_bytes(), altered(bad, 0))

    def test_keys_are_rotated_while_it_serves(self) -> None:
        self.restart(True)
        data = [os.urandom(1000 * number) for number in range(1, 20)]
        for each in data:
            self.daemon.put(each)
        self.generate("two")
        report = self.summary("keys", "rotate")
        self.assertEqual(report["done"]["objects"], len(data))
        self.assertEqual(self.summary("keys", "rotate")["before"]["objects"], len(data))
        listed = [json.loads(line) for line in self.keys_listed()]
        self.assertEqual(
            [(each["key"], each["primary"], each["objects"]) for each in listed],
            [("one", False, 0), ("two", True, len(data))],
        )
        self.leave_keys("two")
        self.restart(True)
        for each in data:
            self.assertEqual(self.daemon.get(oid_of(each)).body, each)

    def keys_listed(self) -> list[str]:
        """Return what ``keys list`` says."""
        return self.command("keys", "list", "--count", "--json").splitlines()

    def test_a_lost_key_is_told_and_marks_nothing(self) -> None:
        self.restart(True)
        self.daemon.put(data := os.urandom(1000))
        self.generate("two")
        lost = self.keys.read_text()
        self.leave_keys("two")
        self.restart(True)
        reply = self.daemon.get(oid_of(data))
        self.assertEqual(reply.status, 503)
        self.assertIn("'one'", reply.json["message"])
        self.command("fsck", "--read-data", "--quarantine", status=4)
        self.assertEqual(self.summary("keys", "rotate", status=2)["left"], {"unreadable": 1})
        listed = [json.loads(line) for line in self.keys_listed()]
        self.assertIn(("one", False, 1), [(e["key"], e["available"], e["objects"]) for e in listed])
        self.keys.write_text(lost)
        self.restart(True)
        self.assertEqual(self.daemon.get(oid_of(data)).body, data)

    def test_it_does_not_start_with_a_key_file_that_others_may_read(self) -> None:
        self.keys.chmod(0o640)
        self.configure(True)
        done = run_command(
            *("twistd", "-n", "--pidfile=", "giftless", "--config", "giftless.yaml"),
            directory=self.daemon.directory,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("storage.keys.path", done.stderr)
        self.assertIn("chmod 600", done.stderr)

    def test_damage_is_found_and_never_served(self) -> None:
        self.restart(True)
        self.daemon.put(data := os.urandom(3 * 1024 * 1024))
        (path,) = stored_objects(self.daemon.directory / "objects")
        content = bytearray(path.read_bytes())
        content[2 * 1024 * 1024] ^= 1
        path.write_bytes(content)
        connection = self.daemon.connect()
        connection.sendall(f"GET {object_path(oid_of(data))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
        connection.close()
        body = received.partition(b"\r\n\r\n")[2]
        self.assertLess(len(body), len(data))
        self.assertEqual(body, data[: len(body)])
        self.command("fsck", "--read-data", "--quarantine", status=2)
        self.assertEqual(self.daemon.get(oid_of(data)).status, 410)
        self.assertIn(self.daemon.put(data), (200, 201))
        self.assertEqual(self.daemon.get(oid_of(data)).body, data)

    def test_two_who_make_keys_at_once_lose_none(self) -> None:
        files = [self.enterContext(tempfile.TemporaryFile()) for _ in range(4)]
        generate = ("giftless", "keys", "generate", str(self.keys))
        with open(os.devnull) as nothing:
            processes = [
                start_command(
                    *generate, directory=self.directory, files=(nothing.fileno(), file.fileno(), 2)
                )
                for file in files
            ]
        self.assertEqual([process.wait(PATIENCE) for process in processes], [0] * 4)
        for file in files:
            file.seek(0)
        made = {file.read().decode().strip() for file in files}
        self.assertEqual(len(made), 4)
        ids = [
            line.split()[0]
            for line in self.keys.read_text().splitlines()
            if not line.startswith("#")
        ]
        self.assertEqual(set(ids), made | {"one"})
        self.assertEqual(self.keys.stat().st_mode & 0o777, 0o600)
        self.assertEqual([path.name for path in self.directory.glob("keys*")], ["keys"])

    def test_a_key_is_appended_to_any_file_that_can_be_read(self) -> None:
        for content, status in (
            (b"", 0),
            (b"# mine", 0),
            (b"one broken", 1),
            (b"\xff\n", 1),
        ):
            self.keys.write_bytes(content)
            printed = self.command(
                *("keys", "generate", "--id", "new", str(self.keys)), config=False, status=status
            )
            self.assertEqual(printed, "" if status else "new\n")
            if status:
                self.assertEqual(self.keys.read_bytes(), content)
            else:
                self.assertTrue(self.keys.read_bytes().startswith(content or b"# Keys"))
            self.keys.unlink()
        self.generate("new")
        before = self.keys.read_bytes()
        self.command("keys", "generate", "--id", "new", str(self.keys), config=False, status=1)
        self.assertEqual(self.keys.read_bytes(), before)


class RoundsTestCase(EncryptionTestCase):
    """Commands are killed at any moment, while clients push and pull.

    :ivar chance: is the same for the same ``TESTS_SEED``.
    :ivar stored: what has been acknowledged, by oid.
    """

    def setUp(self) -> None:
        super().setUp()
        self.seed = int(os.environ.get("TESTS_SEED") or random.SystemRandom().getrandbits(32))
        print(f"seed {self.seed}")
        self.chance = random.Random(self.seed)
        self.stored: dict[str, bytes] = {}
        self.failures: list[str] = []

    @contextlib.contextmanager
    def clients(self) -> Iterator[None]:
        """Let two clients push and pull meanwhile; nothing that they see may be wrong."""
        clients = [partial(self.use, random.Random(self.seed + number)) for number in range(2)]
        with working_beside(clients):
            yield
        self.assertEqual(self.failures, [])

    def push(self, data: bytes) -> None:
        """Store an object, which counts when that is acknowledged."""
        status = self.daemon.put(data)
        if status in (200, 201):
            self.stored[oid_of(data)] = data
        else:
            self.failures.append(f"PUT ended with {status}")

    def use(self, chance: random.Random, over: threading.Event) -> None:
        """Push and pull until it is over."""
        for number in itertools.count():
            if over.is_set():
                return
            if number % 20 == 0:
                self.push(chance.randbytes(chance.choice((10, 3000, 100_000))))
            oid, data = chance.choice(list(self.stored.items()))
            reply = self.daemon.get(oid)
            if reply.body != data:
                self.failures.append(f"GET {oid}: {reply.status} {reply.body[:200]!r}")
                return
            time.sleep(0.005)

    def assert_nothing_is_lost(self) -> None:
        """Check that all that was acknowledged is stored and served."""
        found = self.summary("fsck", "--read-data")
        self.assertGreaterEqual(found["read"], len(self.stored))
        for oid, data in self.stored.items():
            self.assertEqual(self.daemon.get(oid).body, data)


class RoundTests(RoundsTestCase):
    def test_nothing_is_lost_or_wrong(self) -> None:
        self.restart(False)
        for number in range(60):
            size = self.chance.choice((1, 500, 40_000, 1_200_000))
            self.push(self.chance.randbytes(size) + bytes([number]))
        self.restart(True)
        with self.clients():
            for number in range(ROUNDS):
                self.one_round(number)
                if self.failures:
                    break
        self.assert_nothing_is_lost()

    def one_round(self, number: int) -> None:
        """Kill a command, and let the same command end; then the older key is not needed."""
        command = ("encrypt",) if number == 0 else ("keys", "rotate")
        if number:
            self.generate(f"key-{number}")
        moment = 0.2 + self.chance.random() * (3 if number == 0 else 1.5)
        self.command(*command, kill_after=moment)
        report = self.summary(*command)
        self.assertTrue(report["complete"], report)
        if number:
            # Uploads that began with the old key have ended by now.
            time.sleep(1)
            self.assertTrue(self.summary("keys", "rotate")["complete"])
            self.leave_keys(f"key-{number}")


class S3Tests(EncryptionTestCase):
    """The same in a bucket, where heads cannot be replaced in place."""

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"encryption-{next(self._numbers)}"
        super().setUp()

    def inner(self) -> dict[str, Any]:
        return self.server.options(self.bucket, mode="proxy")

    def test_a_bucket_has_nothing_but_sealed_objects(self) -> None:
        self.restart(False)
        self.daemon.put(old := os.urandom(5000))
        self.restart(True, compression="zstd")
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        self.assert_round_trip(repo, FILES)
        self.assertEqual(self.summary("encrypt")["done"]["objects"], 1)
        self.generate("two")
        report = self.summary("keys", "rotate")
        self.assertEqual(report["done"]["objects"], len(FILES) + 1)
        self.leave_keys("two")
        self.restart(True, plaintext="refuse")
        for data in (*FILES.values(), old):
            self.assertEqual(self.daemon.get(oid_of(data)).body, data)
        for name, content in self.server.objects(self.bucket).items():
            for data in (*FILES.values(), old):
                self.assertNotIn(data[100:140], content, name)
        self.command("fsck", "--read-data")

    def test_signed_urls_would_go_past_it(self) -> None:
        options = self.server.options(self.bucket)
        keys = {"type": "file", "path": str(self.keys)}
        self.settings["storage"] = {"type": "encrypted", "keys": keys, "store": options}
        self.daemon.write_config()
        done = run_command(
            *("twistd", "-n", "--pidfile=", "giftless", "--config", "giftless.yaml"),
            directory=self.daemon.directory,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("mode: proxy", done.stderr)


class CacheTests(EncryptionTestCase):
    """With a cache inside, and around."""

    def inner(self) -> dict[str, Any]:
        store = super().inner()
        if not getattr(self, "cached", False):
            return store
        path = str(self.directory / "cache")
        return {"type": "cache", "path": path, "limit": "100M", "store": store}

    def test_copies_inside_are_sealed_and_outlast_rotation(self) -> None:
        self.cached = True
        self.restart(True)
        self.daemon.put(data := b"a cached object " * 1000)
        for _ in range(2):
            self.assertEqual(self.daemon.get(oid_of(data)).body, data)
        copies = [
            path.read_bytes() for path in (self.directory / "cache").rglob("*") if path.is_file()
        ]
        self.assertGreater(max(map(len, copies)), len(data))
        for copy in copies:
            self.assertNotIn(data[:64], copy)
        self.generate("two")
        self.assertEqual(self.summary("keys", "rotate")["done"]["objects"], 1)
        self.leave_keys("two")
        time.sleep(1.1)
        self.assertEqual(self.daemon.get(oid_of(data)).body, data)
