"""git-lfs, OpenSSH's client and server, and the daemon behind ``giftless ssh-serve``."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest

from tests.integration.sharing import SharingTestCase, running
from tests.integration.ssh import (
    SSHGit,
    Transfer,
    giftless_command,
    git_lfs_versions,
    git_over_ssh,
    install_script,
    ways,
)
from tests.integration.support import (
    Daemon,
    GitRepo,
    IntegrationTestCase,
    oid_of,
    stored_objects,
    temporaries,
)
from tests.ssh.client import put_request, request
from tests.support import sshd
from tests.support.processes import installed, wait_until
from tests.support.rounds import rounds
from tests.support.ssh_keys import keygen, make_key
from tests.support.sshd import SSHServer

KIB = 1024
MIB = 1024 * KIB

USERS = ("alice", "bob", "rita")

#: What each may do.
GRANTS = {
    "alice": {"acme/*": "write", "alices/*": "admin"},
    "bob": {"acme/*": "write", "bobs/*": "admin"},
    "rita": {"acme/*": "read"},
}

#: Command lines that must come to nothing, each with words that say why; without any, the
#: line makes sense, and names a repository that its sender may not write to.
HOSTILE = {
    "": "fatal|usage|only|git-shell",
    "id": "only|unrecognized",
    "git-lfs-transfer": "path and an operation",
    "git-lfs-transfer acme/rocket": "path and an operation",
    "git-lfs-transfer acme/rocket delete": "path and an operation",
    "git-lfs-transfer ../../etc upload": "'.' or '..'",
    "git-lfs-transfer acme/../alices/rocket upload": "'.' or '..'",
    "git-lfs-transfer '/etc/../root' download": "'.' or '..'",
    "git-lfs-transfer acme/\\0rocket upload": "",
    "git-lfs-transfer -/api upload": "begins with -",
    "git-lfs-transfer acme/.giftless upload": "reserved",
    "git-lfs-transfer acme/rocket upload; id": "path and an operation",
    "git-lfs-transfer acme/$(id >&2) upload": "",
    "git-lfs-transfer `id` upload": "",
    "git-lfs-authenticate acme/rocket": "path and an operation",
    "git-lfs-authenticate acme/rocket upload upload": "",
    "git-lfs-authenticate " + "x/" * 2000 + " upload": "at most 32 segments",
    "git-lfs-authenticate " + "x" * 9000 + " upload": "more than",
    "git-lfs-lock acme/rocket": "only git-lfs-transfer",
    "git-lfs-transfer\nid": "only git-lfs-transfer",
    'git-lfs-transfer acme/rocket upload\n{"ask": "keys"}': "path and an operation",
    "git-lfs-transfer 'acme/ro\"cket": "path and an operation",
}


@dataclass
class Site:
    """A daemon, ``sshd`` before it, and users with keys.

    :ivar daemon: the daemon.
    :ivar server: the ``sshd``.
    :ivar root: where git's repositories are.
    :ivar keys: the directory of the users' private keys.
    """

    daemon: Daemon
    server: SSHServer
    root: Path
    keys: Path

    def key(self, user: str) -> Path:
        """Return a user's private key."""
        return self.keys / user

    def url(self, repo: str) -> str:
        """Return the URL of a repository; made if it is new."""
        directory = self.root / f"{repo}.git"
        if not directory.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", str(directory)], check=True)
        return f"127.0.0.1:{repo}.git"


@contextmanager
def site(directory: Path, **config: Any) -> Iterator[Site]:
    """Start a daemon and an ``sshd`` whose keys run :data:`GIT_AND_LFS`."""
    keys, root = directory / "keys", directory / "repositories"
    keys.mkdir()
    root.mkdir()
    make_key(keys / "ca")
    lines = []
    for user in USERS:
        public = make_key(keys / user).read_text()
        lines.append(f'principals="{user}" {public}')
    (directory / "authorized_keys").write_text("".join(lines))
    (directory / "access.yaml").write_text(yaml.safe_dump(GRANTS))
    (directory / "daemon").mkdir()
    daemon = Daemon(directory / "daemon")
    daemon.config = {
        "auth": [{"type": "basic", "access": str(directory / "access.yaml")}],
        "ssh": {
            "trusted": [str(os.getuid())],
            "keys": [
                {"type": "file", "keys_file": str(directory / "authorized_keys")},
                {"type": "certificates", "authorities_file": str(keys / "ca.pub")},
            ],
        },
        "public_url": daemon.url,
        "log_format": "json",
        **config,
    }
    (directory / "sshd").mkdir()
    with running(daemon), SSHServer(directory / "sshd").running() as server:
        made = Site(daemon, server, root, keys)
        wrapper = directory / "git-and-lfs"
        install_script(wrapper.name, wrapper, daemon.ssh_socket, root)
        printed = subprocess.run(
            [giftless_command(), "ssh-keys", "--socket", daemon.ssh_socket, "--command", wrapper],
            check=True,
            capture_output=True,
            env=installed().environ,
        )
        server.authorized_keys.write_bytes(printed.stdout)
        yield made


class SSHDTestCase(SharingTestCase):
    """Tests that share a daemon and an ``sshd``.

    :ivar site: both.
    """

    skip = sshd.MISSING or None

    def setUp(self) -> None:
        super().setUp()
        self.site = self.share("site", site)

    def git(self, user: str, version: tuple[int, ...] | None = None) -> SSHGit:
        """Set up git for a user.

        :param version: which git-lfs; ``None`` for the newest that there is.
        """
        home = self.directory / f"home-{len(list(self.directory.iterdir()))}"
        ssh = self.site.server.shell_command(self.site.key(user))
        git = git_over_ssh(home, ssh, version)
        git.run(home, "config", "--global", "lfs.locksverify", "true")
        return git

    def stored(self, repo: str) -> set[str]:
        """Return the oids of a repository's objects."""
        return {path.name for path in stored_objects(self.site.daemon.store / repo)}

    def settled(self) -> None:
        """Wait until no session is left, and check that none has left anything."""
        wait_until(lambda: not serving(self.site), "the sessions to end")
        self.assertEqual(temporaries(self.site.daemon.store), [])
        self.assertNotIn("Traceback", self.site.daemon.stdout)


def serving(site: Site) -> list[int]:
    """Return the ids of the processes that serve sessions of a site."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"ssh-serve" in words and str(site.daemon.ssh_socket).encode() in words:
                found.append(int(directory.name))
    return found


def versions_of(way: str) -> list[tuple[int, ...]]:
    """Return the versions that can go a way; in short rounds the one that differs most.

    That is the newest over SSH alone, and the oldest with a token.
    """
    found = sorted(version for version in git_lfs_versions() if way in ways(version))
    number = rounds(1, len(found))
    return found[-number:] if way == "always" else found[:number]


class ServerTests(IntegrationTestCase):
    skip = sshd.MISSING or None

    def test_a_server_ends_with_whoever_has_started_it(self) -> None:
        """Also if that is killed: tests that are cut off leave nothing behind."""
        program = (
            "import pathlib, sys, time; from tests.support.sshd import SSHServer;"
            " server = SSHServer(pathlib.Path(sys.argv[1]));"
            " running = server.running(); running.__enter__();"
            " print(server.port, flush=True); time.sleep(600)"
        )
        root = Path(__file__).parents[2]
        with subprocess.Popen(
            [sys.executable, "-c", program, str(self.directory)], cwd=root, stdout=subprocess.PIPE
        ) as starter:
            assert starter.stdout is not None
            port = int(starter.stdout.readline())
            starter.kill()

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return True
            return False

        wait_until(lambda: not listens(), "sshd to end")


class VersionTests(SSHDTestCase):
    """In the long rounds, every version of git-lfs that there is."""

    FILES = {"empty.bin": b"", "one.bin": b"1", "large.bin": os.urandom(MIB)}

    def round_trip(self, git: SSHGit, repo: str, files: dict[str, bytes]) -> GitRepo:
        """Push files, and clone them."""
        number = len(list(self.directory.iterdir()))
        work = git.start(self.directory / f"work-{number}", self.site.url(repo))
        work.commit(files)
        work.push()
        clone = git.fetch(self.site.url(repo), self.directory / f"clone-{number}")
        for name, data in files.items():
            self.assertEqual(clone.read(name), data, name)
        oids = {oid_of(data) for data in files.values() if data}
        self.assertEqual(set(clone.objects()), oids)
        self.assertEqual(self.stored(repo), oids)
        return clone

    def test_objects_go_and_come_over_pure_ssh(self) -> None:
        """Without any HTTP: push, clone, and pull what another has pushed."""
        for version in versions_of("always"):
            self.site.daemon.forget()
            git = self.git("alice", version)
            git.run(git.home, "config", "--global", "lfs.sshtransfer", "always")
            repo = f"{self.repo}-{'.'.join(map(str, version))}"
            clone = self.round_trip(git, repo, self.FILES)
            clone.commit({"later.bin": b"later"})
            clone.push()
            work = git.fetch(self.site.url(repo), self.directory / f"pulled-{version}")
            self.assertEqual(work.read("later.bin"), b"later")
            self.assertEqual(self.site.daemon.accesses("POST"), [])
            self.settled()

    def test_objects_go_and_come_by_git_lfs_authenticate(self) -> None:
        """Over HTTP, without a password; versions before 3.0 know no other way."""
        for version in versions_of("never"):
            self.site.daemon.forget()
            git = self.git("alice", version)
            git.run(git.home, "config", "--global", "lfs.sshtransfer", "never")
            self.round_trip(git, f"{self.repo}-{'.'.join(map(str, version))}", self.FILES)
            batches = self.site.daemon.accesses("POST", "/objects/batch")
            self.assertTrue(batches)
            self.assertEqual({each["status"] for each in batches}, {200})

    def test_locks_are_the_same_over_both_ways(self) -> None:
        for number, version in enumerate({*versions_of("always"), *versions_of("never")}):
            repo = f"{self.repo}-{number}"
            alice, bob = self.git("alice", version), self.git("bob", version)
            work = alice.start(self.directory / f"locks-{number}", self.site.url(repo))
            work.commit({"a.bin": b"a"})
            work.push()
            other = bob.fetch(self.site.url(repo), self.directory / f"others-{number}")
            other.commit({"a.bin": b"changed"})
            first, last = ways(version)[0], ways(version)[-1]
            for repository, way in ((work, first), (other, last)):
                repository.git("config", "lfs.sshtransfer", way)
            work.git("lfs", "lock", "a.bin")
            self.assertIn("alice", other.git("lfs", "locks"))
            refused = other.try_push()
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("locked", refused.stderr, version)
            unlocked = bob.try_run(other.directory, "lfs", "unlock", "a.bin")
            self.assertNotEqual(unlocked.returncode, 0)
            work.git("config", "lfs.sshtransfer", last)
            work.git("lfs", "unlock", "a.bin")
            self.assertEqual(other.git("lfs", "locks"), "")


class AccessTests(SSHDTestCase):
    """Two users without access to each other's repositories."""

    def test_a_reader_reads_and_writes_nothing(self) -> None:
        alice = self.git("alice")
        work = alice.start(self.directory / "work", self.site.url(self.repo))
        work.commit({"a.bin": b"a"})
        work.push()
        # Without settings git-lfs tries git-lfs-transfer, and then git-lfs-authenticate.
        rita = self.git("rita")
        clone = rita.fetch(self.site.url(self.repo), self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), b"a")
        clone.commit({"b.bin": b"b"})
        refused = clone.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("rita does not have write access", refused.stderr)
        locked = rita.try_run(clone.directory, "lfs", "lock", "a.bin")
        self.assertNotEqual(locked.returncode, 0)
        self.assertEqual(self.stored(self.repo), {oid_of(b"a")})

    def test_a_stranger_gets_nothing(self) -> None:
        """Bob can fetch Alice's git repository here, and none of its objects."""
        secret = b"what nobody else may have"
        repo = f"alices/rocket-{self.repo.rpartition('-')[2]}"
        alice = self.git("alice")
        work = alice.start(self.directory / "work", self.site.url(repo))
        work.commit({"a.bin": secret})
        work.push()
        work.git("lfs", "lock", "a.bin")
        # Without settings git-lfs tries git-lfs-transfer, and then git-lfs-authenticate.
        bob = self.git("bob")
        bob.more["GIT_LFS_SKIP_SMUDGE"] = "1"
        clone = bob.fetch(self.site.url(repo), self.directory / "clone")
        for arguments in (
            ("lfs", "fetch"),
            ("lfs", "locks"),
            ("lfs", "lock", "b.bin"),
            ("lfs", "unlock", "--force", "a.bin"),
        ):
            tried = bob.try_run(clone.directory, *arguments)
            self.assertNotEqual(tried.returncode, 0, (arguments, tried.stdout))
        self.assertEqual(clone.objects(), [])
        clone.commit({"c.bin": b"from bob"})
        self.assertNotEqual(clone.try_push().returncode, 0)
        self.assertEqual(self.stored(repo), {oid_of(secret)})
        self.assertIn("a.bin", work.git("lfs", "locks"))

    def test_a_token_of_one_is_of_no_use_elsewhere(self) -> None:
        repo = f"alices/rocket-{self.repo.rpartition('-')[2]}"
        told = self.site.server.run(self.site.key("bob"), "git-lfs-authenticate bobs/x upload")
        answer = json.loads(told.stdout)
        self.assertEqual((told.returncode, told.stderr), (0, b""))
        self.assertEqual(answer["expires_in"], 86_400)
        self.assertEqual(answer["href"], f"{self.site.daemon.url}/bobs/x.git/info/lfs")
        daemon = self.site.daemon
        oid = oid_of(b"x")
        self.assertEqual(
            daemon.batch("upload", (oid, 1), repo="bobs/x", headers=answer["header"]).status, 200
        )
        for other in (repo, "bobs/y", self.repo):
            reply = daemon.batch("upload", (oid, 1), repo=other, headers=answer["header"])
            self.assertEqual(reply.status, 401)
        self.assertEqual(daemon.put(b"x", "bobs/x", answer["header"]), 401)
        refused = self.site.server.run(
            self.site.key("bob"), f"git-lfs-authenticate {repo} download"
        )
        self.assertEqual((refused.returncode, refused.stdout), (1, b""))
        self.assertIn(b"bob does not have read access", refused.stderr)


class HostileTests(SSHDTestCase):
    def transfer(self, user: str) -> Transfer:
        """Open a session of a user, for uploads."""
        client = self.site.server.client(self.site.key(user))
        return Transfer([*client, "127.0.0.1", f"git-lfs-transfer {self.repo} upload"])

    def test_hostile_command_lines_come_to_nothing(self) -> None:
        """They end at once, with words on stderr and nothing on stdout."""
        control = self.directory / "control"
        before = sorted(stored_objects(self.site.daemon.store))
        for command, words in HOSTILE.items():
            done = self.site.server.run(self.site.key("rita"), command, control=control)
            self.assertNotEqual(done.returncode, 0, command)
            self.assertEqual(done.stdout, b"", command)
            self.assertTrue(done.stderr.strip(), command)
            self.assertRegex(done.stderr.decode(), words or "write access", command)
            self.assertNotIn(b"Traceback", done.stderr)
            self.assertNotIn(b"uid=", done.stderr)
        self.assertEqual(sorted(stored_objects(self.site.daemon.store)), before)
        self.settled()

    def test_a_client_that_is_killed_leaves_nothing_behind(self) -> None:
        """In the middle of an upload, and while nothing goes on."""
        version = request("version 1")
        for sent in (b"", version, version + b"00", version + put_request(b"x" * MIB)[:205]):
            transfer = self.transfer("alice")
            transfer.send(sent)
            wait_until(lambda: serving(self.site), "the session to begin")
            transfer.kill()
            self.settled()
        self.assertEqual(self.stored(self.repo), set())

    def test_a_paused_session_goes_on(self) -> None:
        """As long as a user likes: nothing has a deadline."""
        transfer = self.transfer("alice")
        self.assertEqual(transfer.command("version 1").status, 200)
        (serve,) = serving(self.site)
        os.kill(serve, signal.SIGSTOP)
        transfer.send(put_request(b"abc"))
        transfer.end()
        os.kill(serve, signal.SIGCONT)
        self.assertEqual(transfer.reply().status, 200)
        self.assertEqual(transfer.leave(), 0)
        self.assertEqual(self.stored(self.repo), {oid_of(b"abc")})
        self.settled()


class KeysCommandTests(SSHDTestCase):
    """``AuthorizedKeysCommand``: sshd asks the daemon about each key."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("sshd runs only commands that belong to root")
        super().setUp()

    def test_sshd_asks_whose_keys_and_certificates_are(self) -> None:
        # All directories above the command must be root's alone.
        directory = Path(tempfile.mkdtemp(prefix="giftless-test-", dir="/run"))
        self.addCleanup(shutil.rmtree, directory)
        script = directory / "keys"
        socket = str(self.site.daemon.ssh_socket)
        command = shlex.join([giftless_command(), "ssh-keys", "--socket", socket])
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        directory.chmod(0o755)
        script.chmod(0o755)
        options = {
            "AuthorizedKeysFile": "none",
            "AuthorizedKeysCommand": f"{script} %u %t %k",
            "AuthorizedKeysCommandUser": "root",
        }
        files = self.directory / "sshd"
        files.mkdir()
        with SSHServer(files, options).running() as server:
            for user, status in (("alice", 0), ("rita", 1)):
                told = server.run(self.site.key(user), "git-lfs-authenticate acme/x upload")
                self.assertEqual(told.returncode, status, told.stderr)
            self.assertIn(b"rita does not have write access", told.stderr)
            # Nobody else's: ssh ends with 255 where it is not let in.
            make_key(self.directory / "stranger")
            refused = server.run(self.directory / "stranger", "git-lfs-authenticate a/x download")
            self.assertEqual(refused.returncode, 255)
            self.assertEqual(self.certified(server, "alice"), 0)
            self.assertEqual(self.certified(server, "rita"), 1)
            self.assertEqual(self.certified(server, "alice", "-V", "20200101:20200102"), 255)
            self.assertEqual(self.certified(server, "alice", "-O", "force-command=id"), 255)
            self.assertEqual(self.certified(server, "alice", ca="stranger"), 255)

    def certified(self, server: SSHServer, user: str, *options: str, ca: str = "ca") -> int:
        """Log in with a certificate, and ask for access to write.

        :returns: the exit status.
        """
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        public = make_key(directory / "key")
        signing = self.site.keys / ca if ca == "ca" else self.directory / ca
        keygen("-q", "-s", str(signing), "-I", "x", "-n", user, *options, str(public))
        return server.run(directory / "key", "git-lfs-authenticate acme/x upload").returncode
