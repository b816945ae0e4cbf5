"""Sessions of SSH through a daemon's Unix socket: the stock git-lfs, reloads, and the end."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import Daemon, GitRepo, temporaries
from tests.ssh.client import Ended, Line, get_request, put_request
from tests.support import ssh_stand_in
from tests.support.processes import wait_until
from tests.support.rounds import rounds

MB = 1024 * 1024

#: What each user may do below ``acme/``.
ACCESS = {"alice": "write", "bob": "write", "carol": "admin", "rita": "read"}


def config(directory: Path, **more: Any) -> dict[str, Any]:
    """Return a configuration whose users are known by their keys alone."""
    access = directory / "access.yaml"
    access.touch(0o600)
    access.write_text(yaml.safe_dump({user: {"acme/**": what} for user, what in ACCESS.items()}))
    return {
        "auth": [{"type": "basic", "access": str(access)}],
        "ssh": {"trusted": [str(os.getuid())]},
        "admin": {"public_health": True},
        **more,
    }


class ClientTests(SharingTestCase):
    """What users do, with one daemon for all."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon: Daemon = self.share("daemon", self.started)
        self.git = self.make_git()
        stand_in = [sys.executable, "-S", ssh_stand_in.__file__]
        command = shlex.join([*stand_in, str(self.daemon.ssh_socket)])
        self.git.run(self.git.home, "config", "--global", "core.sshCommand", command)

    @staticmethod
    def started(directory: Path) -> Any:
        """Start the daemon."""
        more = {"limits": {"object_size": 8 * MB}}
        return running(Daemon(directory, config=config(directory, **more)))

    def repo_of(self, user: str = "alice") -> GitRepo:
        """Make a repository whose objects go through sessions of a user."""
        return self.git.create(
            self.directory / f"work-{user}", f"ssh://{user}@localhost/{self.repo}.git"
        )

    def test_files_come_back_byte_for_byte(self) -> None:
        seed = random.Random("files")
        files = {f"{number}.bin": seed.randbytes(10_000) for number in range(20)}
        files["large.bin"] = seed.randbytes(5 * MB + 1)
        files["again.bin"] = files["0.bin"]
        self.assert_round_trip(self.repo_of(), files)

    def test_locks_are_made_listed_and_removed(self) -> None:
        alice, bob = self.repo_of("alice"), self.repo_of("bob")
        carol = self.repo_of("carol")
        alice.commit({"a.bin": b"a"})
        alice.git("lfs", "lock", "a.bin")
        self.assertIn("alice", bob.git("lfs", "locks"))
        self.assertTrue(alice.git("lfs", "locks", "--verify").startswith("O a.bin"))
        self.assertTrue(bob.git("lfs", "locks", "--verify").startswith("  a.bin"))
        alice.push()
        refused = self.git.try_run(bob.directory, "lfs", "lock", "a.bin")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("a.bin is locked by alice", refused.stderr)
        refused = self.git.try_run(bob.directory, "lfs", "unlock", "--force", "a.bin")
        self.assertNotEqual(refused.returncode, 0)
        carol.git("lfs", "unlock", "--force", "a.bin")
        self.assertEqual(alice.git("lfs", "locks"), "")

    def test_a_push_that_a_lock_is_in_the_way_of_is_stopped(self) -> None:
        alice, bob = self.repo_of("alice"), self.repo_of("bob")
        url = f"lfs.https://localhost/{self.repo}.git.locksverify"
        for repo in (alice, bob):
            repo.git("config", url, "true")
        alice.git("lfs", "lock", "a.bin")
        bob.commit({"a.bin": b"bob's"})
        refused = bob.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("Cannot update locked files", refused.stderr)
        alice.commit({"a.bin": b"alice's"})
        alice.push()

    def test_an_upload_that_is_refused_fails_the_push_with_the_reason(self) -> None:
        repo = self.repo_of()
        repo.commit({"small.bin": b"small", "large.bin": b"x" * (8 * MB + 1)})
        refused = repo.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("this_server_takes_up_to_8388608", refused.stderr)
        stored = self.daemon.store / self.repo
        small = hashlib.sha256(b"small").hexdigest()
        self.assertEqual([path.name for path in stored.iterdir()], [small])

    def test_a_missing_object_fails_a_pull_and_hinders_no_other(self) -> None:
        repo = self.repo_of()
        repo.commit({"here.bin": b"here", "gone.bin": b"gone"})
        repo.push()
        oid = hashlib.sha256(b"gone").hexdigest()
        (self.daemon.store / self.repo / oid).unlink()
        clone = repo.clone(self.directory / "clone", "--no-checkout")
        pulled = self.git.try_run(clone.directory, "lfs", "fetch")
        self.assertNotEqual(pulled.returncode, 0)
        self.assertIn(f"{oid}:_the_object_does_not_exist_on_this_server", pulled.stderr)
        self.assertEqual(clone.objects(), [hashlib.sha256(b"here").hexdigest()])
        pruned = self.git.try_run(
            repo.directory, "lfs", "prune", "--verify-remote", "--force", "--dry-run"
        )
        self.assertNotEqual(pruned.returncode, 0)
        self.assertIn(oid, pruned.stdout + pruned.stderr)

    def test_who_may_only_read_cannot_push(self) -> None:
        repo = self.repo_of()
        repo.commit({"a.bin": b"alice's"})
        repo.push()
        rita = self.repo_of("rita")
        rita.commit({"b.bin": b"rita's"})
        refused = rita.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("rita does not have write access", refused.stderr)


class ProcessTests(SharingTestCase):
    """Daemons that are reloaded and stopped, and sessions meanwhile."""

    def start(self, **more: Any) -> Daemon:
        """Start a daemon of its own."""
        daemon = self.make_daemon()
        daemon.config = config(daemon.directory, **more)
        return daemon.start()

    def session(self, daemon: Daemon, operation: str = "upload") -> Line:
        """Open a session."""
        line = Line(str(daemon.ssh_socket))
        self.addCleanup(line.close)
        return line.open(operation, "acme/rocket", "alice")

    def test_the_socket_is_open_to_those_who_are_asked_who_they_are(self) -> None:
        daemon = self.start()
        status = os.stat(daemon.ssh_socket)
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o666)
        self.assertEqual(stat.S_IMODE(os.stat(daemon.directory / "giftless-state").st_mode), 0o700)
        daemon.stop()
        self.assertFalse(daemon.ssh_socket.exists())

    def test_without_trusted_users_the_socket_is_the_daemons_own(self) -> None:
        daemon = self.start(ssh={"socket": str(self.directory / "own.sock")})
        self.assertEqual(stat.S_IMODE(os.stat(self.directory / "own.sock").st_mode), 0o600)
        daemon.stop()

    def test_without_the_section_there_is_no_socket(self) -> None:
        daemon = self.start(ssh={})
        self.assertFalse(daemon.ssh_socket.exists())
        daemon.stop()

    def test_a_session_goes_on_while_the_daemon_is_reloaded(self) -> None:
        daemon = self.start()
        (before,) = daemon.workers
        line = self.session(daemon)
        data = b"r" * (3 * MB)
        sent = put_request(data)
        line.send(sent[: len(sent) // 2])
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.stdout.count(" is ready") == 2, "the worker that takes over")
        line.send(sent[len(sent) // 2 :])
        self.assertEqual(line.reply().status, 200)
        self.assertEqual(line.get(data).data, data)
        self.assertIn(before, daemon.workers)
        with Line(str(daemon.ssh_socket)) as other:
            other.open("download", "acme/rocket", "alice")
            self.assertEqual(other.get(data).data, data)
        line.command("quit")
        self.assertEqual(line.rest(), b"")
        line.close()
        wait_until(lambda: before not in daemon.workers, "the end of the worker before")
        self.assertEqual(daemon.stop(), -signal.SIGTERM)

    def test_an_upload_that_runs_is_finished_when_the_daemon_is_stopped(self) -> None:
        daemon = self.start()
        line = self.session(daemon)
        data = b"s" * (3 * MB)
        sent = put_request(data)
        line.send(sent[: len(sent) // 2])
        daemon.terminate()
        wait_until(lambda: not daemon.ssh_socket.exists(), "the daemon to end")
        line.send(sent[len(sent) // 2 :])
        self.assertEqual(line.reply().status, 200)
        self.assertEqual(line.rest(), b"")
        self.assertEqual(daemon.wait(), -signal.SIGTERM)
        self.assertEqual(temporaries(daemon.store), [])

    def test_a_worker_that_is_killed_ends_its_sessions_and_another_serves(self) -> None:
        daemon = self.start()
        line = self.session(daemon)
        line.send(put_request(b"k" * MB)[:1000])
        (worker,) = daemon.workers
        os.kill(worker, signal.SIGKILL)
        with self.assertRaises((Ended, ConnectionError)):
            line.reply()
        wait_until(lambda: daemon.workers not in ([], [worker]), "another worker")
        again = self.session(daemon)
        self.assertEqual(again.put(b"k" * MB).status, 200)
        self.assertEqual(daemon.stop(), -signal.SIGTERM)

    def test_memory_stays_as_it_is_while_large_objects_pass(self) -> None:
        """Much more than may be added, up and down; 64 MB may wait for all clients together."""
        daemon = self.start(workers=1)
        line = self.session(daemon)
        block = random.Random("block").randbytes(MB)
        self.assertEqual(line.put(block * 16).status, 200)
        before = daemon.memory("VmHWM")
        data = block * rounds(96, 256)
        self.assertEqual(line.put(data).status, 200)
        oid = hashlib.sha256(data).hexdigest()
        line.send(get_request(data))
        received, digest = 0, hashlib.sha256()
        while (packet := line.packet()) != 0:
            if isinstance(packet, bytes) and not packet.startswith((b"status ", b"size=")):
                digest.update(packet)
                received += len(packet)
        self.assertEqual((received, digest.hexdigest()), (len(data), oid))
        self.assertLess(daemon.memory("VmHWM") - before, 48 * MB)
        line.command("quit")
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
