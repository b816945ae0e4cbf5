"""The daemon's own SSH listener: git-lfs over OpenSSH, and signals in the middle of it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.sharing import SharingTestCase, running
from tests.integration.ssh import Transfer, git_lfs_versions, git_over_ssh, ways
from tests.integration.support import Daemon, Git, IntegrationTestCase, temporaries
from tests.ssh.client import put_request
from tests.support.ports import free_port
from tests.support.processes import ENDED, PATIENCE, base_environ, wait_until
from tests.support.rounds import rounds
from tests.support.ssh_keys import make_key
from tests.support.sshd import ssh_command

MIB = 1024 * 1024

#: How many clients are killed in the middle of an upload.
KILLS = rounds(3, 500)


#: Connects to a port as a proxy does, for a client that is elsewhere.
PROXY = """
import os, socket, sys, threading
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
server.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 5 6\\r\\n")
def send():
    while data := os.read(0, 65536):
        server.sendall(data)
threading.Thread(target=send, daemon=True).start()
while data := server.recv(65536):
    os.write(1, data)
"""


class Server:
    """A daemon that knows a key, whose is ``ada``.

    :param proxied: whether clients come by way of a proxy.
    Another ``ada`` may do the same below the path ``git.example.com``, and everybody may read
    below ``public``.

    :ivar key: the file of the key.
    :ivar key_below: that of the other.
    """

    def __init__(self, directory: Path, proxied: bool = False, **config: Any) -> None:
        self.key = directory / "key"
        self.ssh_port = free_port()
        public = make_key(self.key).read_text()
        (directory / "keys").write_text(f'principals="ada" {public}')
        self.key_below = directory / "key-below"
        public = make_key(self.key_below).read_text()
        (directory / "keys-b").write_text(f'principals="ada" {public}')
        (directory / "access").write_text("ada: {'acme/*': admin}\n")
        keys = {"type": "file", "keys_file": str(directory / "keys")}
        keys_below = {**keys, "keys_file": str(directory / "keys-b"), "realm": "basic:b"}
        basic = {"type": "basic", "access": str(directory / "access")}
        for name in ("keys", "keys-b", "access"):
            (directory / name).chmod(0o600)
        protocol = "haproxy:" if proxied else ""
        self.daemon = Daemon(
            directory,
            config={
                "auth": [
                    basic,
                    {"type": "below", "path": "git.example.com", "auth": [{**basic, "realm": "b"}]},
                    {"type": "below", "path": "public", "auth": [{"type": "anonymous"}]},
                ],
                "ssh": {
                    "endpoints": [f"{protocol}tcp:{self.ssh_port}:interface=127.0.0.1"],
                    "keys": [keys, keys_below],
                },
                **config,
            },
        )

    def url(self, repo: str) -> str:
        return f"ssh://git@127.0.0.1:{self.ssh_port}/{repo}.git"

    def pids(self, module: str) -> list[int]:
        """Return the processes of the daemon that run a module."""
        found = []
        for pid in self.daemon.workers:
            with contextlib.suppress(FileNotFoundError):
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    @property
    def ssh_processes(self) -> list[int]:
        return self.pids("giftless.runtime.ssh_worker")

    @property
    def workers(self) -> list[int]:
        """The processes of the daemon that do not serve SSH; the command line tells no more."""
        return [pid for pid in self.daemon.workers if pid not in self.ssh_processes]

    def command(self, *words: str, key: Path | None = None) -> list[str]:
        """Return a command line that runs words on the server."""
        return ssh_command(key or self.key, "-p", str(self.ssh_port), "git@127.0.0.1", *words)

    def transfer(self, operation: str) -> Transfer:
        """Open a session of ``git-lfs-transfer``."""
        transfer = Transfer(self.command("git-lfs-transfer", "acme/rocket", operation))
        assert transfer.command("version 1").status == 200
        return transfer

    def run(self, *words: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run words on the server, to the end."""
        return subprocess.run(
            self.command(*words, key=key),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=base_environ(),
            timeout=PATIENCE,
        )


class ServeTests(SharingTestCase):
    """What does not need a daemon of its own."""

    def serve(self) -> Server:
        @contextmanager
        def start(directory: Path) -> Iterator[Server]:
            server = Server(directory)
            with running(server.daemon):
                yield server

        return self.share("server", start)

    def make_git_of(self, server: Server, key: Path | None = None) -> Git:
        git = self.make_git()
        with (git.home / ".gitconfig").open("a") as file:
            file.write(f'[core]\n\tsshCommand = "{" ".join(ssh_command(key or server.key))}"\n')
        return git

    def test_git_pushes_clones_and_locks(self) -> None:
        server = self.serve()
        git = self.make_git_of(server)
        repo = git.create(self.directory / "work", server.url("acme/rocket"))
        files = {f"{number}.bin": os.urandom(10_000) for number in range(rounds(20, 10_000))}
        files["large.bin"] = os.urandom(rounds(5, 500) * MIB)
        self.assert_round_trip(repo, files)
        repo.git("lfs", "lock", "large.bin")
        self.assertIn("ada", repo.git("lfs", "locks"))
        repo.git("lfs", "unlock", "large.bin")

    def test_versions_push_clone_pull_and_lock(self) -> None:
        """In the long rounds every version that there is, and the newest in short ones."""
        server = self.serve()
        versions = sorted(each for each in git_lfs_versions() if "always" in ways(each))
        for version in versions[-rounds(1, len(versions)) :]:
            name = "-".join(map(str, version))
            ssh = " ".join(ssh_command(server.key))
            git = git_over_ssh(self.directory / f"home-{name}", ssh, version)
            git.run(git.home, "config", "--global", "lfs.sshtransfer", "always")
            work = git.create(self.directory / f"work-{name}", server.url(f"acme/git-lfs-{name}"))
            clone = self.assert_round_trip(work, {"1.bin": b"1", "2.bin": os.urandom(MIB)})
            clone.commit({"later.bin": name.encode()})
            clone.push()
            work.git("pull", "--quiet", "origin", "main")
            self.assertEqual(work.read("later.bin"), name.encode())
            work.git("lfs", "lock", "1.bin")
            self.assertIn("ada", clone.git("lfs", "locks"))
            work.git("lfs", "unlock", "1.bin")
            self.assertEqual(clone.git("lfs", "locks").strip(), "")

    def test_a_key_opens_what_is_below_the_path_of_its_owner(self) -> None:
        server = self.serve()
        git = self.make_git_of(server, server.key_below)
        repo = git.create(self.directory / "work", server.url("git.example.com/acme/rocket"))
        self.assert_round_trip(repo, {"one.bin": os.urandom(1000)})
        for way in ("git-lfs-transfer", "git-lfs-authenticate"):
            for key, path in (
                (server.key, "git.example.com/acme/rocket"),
                (server.key_below, "acme/rocket"),
                (server.key, "Git.Example.com/acme/rocket"),
                (server.key_below, "public/rocket"),
            ):
                ended = server.run(way, path, "upload", key=key)
                self.assertNotEqual(ended.returncode, 0, path)
                self.assertIn("giftless: ", ended.stderr)

    def test_whoever_has_no_grant_gets_nothing(self) -> None:
        server = self.serve()
        ended = server.run("git-lfs-transfer", "other/rocket", "download")
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("giftless: ", ended.stderr)

    def test_other_commands_end_at_once_with_words(self) -> None:
        server = self.serve()
        for words in (["id"], ["sh", "-c", "id"], ["git-upload-pack", "'/acme/rocket'"], []):
            ended = server.run(*words)
            self.assertNotEqual(ended.returncode, 0, words)
            self.assertEqual(ended.stdout, "")
            self.assertIn("giftless: ", ended.stderr)

    def test_a_token_for_http_is_handed_out(self) -> None:
        ended = self.serve().run("git-lfs-authenticate", "acme/rocket", "download")
        self.assertIn('"Authorization"', ended.stdout, ended.stderr)

    def test_a_stranger_does_not_log_in(self) -> None:
        server = self.serve()
        other = self.directory / "other"
        make_key(other)
        command = [each.replace(str(server.key), str(other)) for each in server.command("id")]
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(ended.returncode, 255)
        self.assertIn("Permission denied (publickey)", ended.stderr)

    def test_the_process_inherits_no_secret(self) -> None:
        server = self.serve()
        (pid,) = server.ssh_processes
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        self.assertNotIn(b"GIFTLESS_", environ)

    def test_a_client_that_is_killed_leaves_nothing_behind(self) -> None:
        server = self.serve()
        data = os.urandom(4 * MIB)
        pids = [*server.ssh_processes, *server.pids("giftless.runtime.worker")]

        def descriptors() -> list[int]:
            return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

        def run(kill_at: int) -> None:
            transfer = server.transfer("upload")
            transfer.send(put_request(data)[: kill_at * MIB])
            transfer.kill()

        run(0)
        wait_until(lambda: not temporaries(server.daemon.store), "no temporary files")
        before = descriptors()
        for number in range(KILLS):
            run((0, 1, 3)[number % 3])
        wait_until(lambda: not temporaries(server.daemon.store), "no temporary files")
        wait_until(
            lambda: all(now <= then for now, then in zip(descriptors(), before, strict=True)),
            "no descriptors",
        )


class SignalTests(IntegrationTestCase):
    """What comes while a session runs."""

    def start(self, **config: Any) -> Server:
        folder = self.directory / "daemon"
        folder.mkdir()
        server = Server(folder, **config)
        self.addCleanup(server.daemon.kill)
        server.daemon.start()
        return server

    def begin(self, server: Server, data: bytes) -> Transfer:
        """Begin an upload, and wait until half of it has arrived."""
        transfer = server.transfer("upload")
        self.assertEqual(transfer.batch(data).status, 200)
        transfer.send(put_request(data)[: len(data) // 2])
        wait_until(lambda: temporaries(server.daemon.store), "the upload")
        return transfer

    def finish(self, transfer: Transfer, data: bytes) -> None:
        transfer.send(put_request(data)[len(data) // 2 :])
        self.assertEqual(transfer.reply().status, 200)

    def test_a_reload_disturbs_no_session(self) -> None:
        server = self.start()
        data = os.urandom(4 * MIB)
        transfer = self.begin(server, data)
        before = server.ssh_processes
        server.daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: len(set(server.ssh_processes) - set(before)) == 1, "another process")
        # Both serve: the old one whom it has, the new one whoever comes.
        wait_until(
            lambda: (
                server.daemon.stdout.count("SSH process") > 2
                and server.transfer("download").leave() == 0
            ),
            "a new session",
        )
        self.assertLessEqual(set(before), set(server.ssh_processes))
        self.finish(transfer, data)
        self.assertEqual(transfer.leave(), 0)
        wait_until(lambda: not set(before) & set(server.ssh_processes), "the end of the old one")

    def test_sigterm_lets_a_session_finish(self) -> None:
        server = self.start(shutdown_timeout=600)
        data = os.urandom(4 * MIB)
        transfer = self.begin(server, data)
        server.daemon.terminate()
        wait_until(lambda: not server.daemon.listens(server.ssh_port), "no more connections")
        self.finish(transfer, data)
        self.assertEqual(transfer.leave(), 0)
        self.assertEqual(server.daemon.wait(), ENDED)

    def test_a_killed_process_is_replaced_and_leaves_nothing(self) -> None:
        server = self.start()
        transfer = self.begin(server, os.urandom(4 * MIB))
        (before,) = server.ssh_processes
        os.kill(before, signal.SIGKILL)
        self.assertEqual(transfer.leave(), 255)
        wait_until(lambda: not temporaries(server.daemon.store), "no temporary file")
        self.assertEqual(server.transfer("download").leave(), 0)

    def test_a_killed_worker_ends_its_sessions_alone(self) -> None:
        server = self.start(workers=2)
        transfer = self.begin(server, os.urandom(4 * MIB))
        before = server.ssh_processes
        for pid in server.workers:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(server.transfer("download").leave(), 0)
        transfer.leave()
        self.assertEqual(server.ssh_processes, before)

    def test_a_silent_session_fails_when_its_worker_is_killed(self) -> None:
        server = self.start()
        transfer = server.transfer("download")
        for pid in server.workers:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(transfer.process.wait(PATIENCE), 1)
        transfer.close()

    def test_a_session_that_is_stopped_goes_on(self) -> None:
        server = self.start(
            limits={"idle_timeout": 1, "stall_timeout": 1, "body_min_rate": 1_000_000_000}
        )
        data = os.urandom(4 * MIB)
        transfer = self.begin(server, data)
        transfer.process.send_signal(signal.SIGSTOP)
        with contextlib.suppress(subprocess.TimeoutExpired):
            transfer.process.wait(rounds(3, 600))
        transfer.process.send_signal(signal.SIGCONT)
        self.finish(transfer, data)
        self.assertEqual(transfer.leave(), 0)

    def test_a_proxy_says_where_a_client_comes_from(self) -> None:
        """By the PROXY protocol, of a version that is a line of text."""
        server = self.start(proxied=True, trusted_proxies=["127.0.0.1"])
        command = server.command("git-lfs-authenticate", "acme/rocket", "download")
        way = [sys.executable, "-c", PROXY, str(server.ssh_port)]
        command[1:1] = ["-o", f"ProxyCommand={shlex.join(way)}"]
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=base_environ(),
            timeout=PATIENCE,
        )
        self.assertIn('"Authorization"', ended.stdout, ended.stderr)
        wait_until(lambda: "203.0.113.7 ada SSH" in server.daemon.stdout, "the access log")

    def test_a_bad_host_key_changes_nothing(self) -> None:
        server = self.start()
        before = server.daemon.workers
        config = dict(server.daemon.config or {})
        config["ssh"] = {**config["ssh"], "host_keys": ["/none/key"]}
        server.daemon.config = config
        server.daemon.write_config()
        server.daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: "stays as it was" in server.daemon.stdout, "the refusal")
        self.assertIn("ssh.host_keys.0", server.daemon.stdout)
        wait_until(lambda: server.run("id").returncode == 1, "the listener")
        self.assertLessEqual(set(server.ssh_processes), set(before))
