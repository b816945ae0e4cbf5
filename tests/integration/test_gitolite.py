"""git-lfs through a real gitolite: it decides, and the daemon does the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.integration.sharing import SharingTestCase, running
from tests.integration.ssh import SSHGit, git_over_ssh, install_script
from tests.integration.support import Daemon, oid_of, stored_objects
from tests.support import sshd
from tests.support.processes import base_environ
from tests.support.ssh_keys import make_key
from tests.support.sshd import SSHServer

CONFIG = """
repo acme/rocket
    RW+ = alice
    R = rita
repo bobs/own
    RW+ = bob
repo wild/CREATOR/.*
    C = alice
    RW+ = CREATOR
"""


@dataclass
class Site:
    """A daemon and an ``sshd`` that runs gitolite."""

    daemon: Daemon
    server: SSHServer
    keys: Path


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Set gitolite up as docs/ssh.rst says, and start it with a daemon."""
    home, keys = directory / "home", directory / "keys"
    home.mkdir()
    keys.mkdir()
    access = directory / "access.yaml"
    access.write_text(yaml.safe_dump({"*": {"**": "write"}}))
    (directory / "daemon").mkdir()
    daemon = Daemon(directory / "daemon")
    daemon.config = {
        "auth": [{"type": "basic", "access": str(access), "realm": "gitolite"}],
        "ssh": {"trusted": [str(os.getuid())]},
        "public_url": daemon.url,
    }
    environ = {**base_environ(), "HOME": str(home)}
    for user in ("alice", "bob", "rita"):
        make_key(keys / user)
    setup = ["gitolite", "setup"]
    subprocess.run(
        [*setup, "-pk", str(keys / "alice.pub")], env=environ, check=True, capture_output=True
    )
    rc = home / ".gitolite.rc"
    text = rc.read_text().replace("# LOCAL_CODE  ", "LOCAL_CODE  ", 1)
    commands = "ENABLE => [\n'git-lfs-transfer', 'git-lfs-authenticate',"
    rc.write_text(text.replace("ENABLE => [", commands, 1))
    local = home / "local" / "commands"
    local.mkdir(parents=True)
    install_script("gitolite-lfs", local / "git-lfs-transfer", daemon.ssh_socket, home)
    (local / "git-lfs-authenticate").symlink_to("git-lfs-transfer")
    for user in ("bob", "rita"):
        shutil.copy(keys / f"{user}.pub", home / ".gitolite" / "keydir")
    with (home / ".gitolite" / "conf" / "gitolite.conf").open("a") as file:
        file.write(CONFIG)
    subprocess.run(setup, env=environ, check=True, capture_output=True)
    (directory / "sshd").mkdir()
    shell = SSHServer(directory / "sshd", environ={"GITOLITE_HTTP_HOME": str(home)})
    with running(daemon), shell.running() as server:
        # gitolite has written them into its home.
        shutil.copy(home / ".ssh" / "authorized_keys", server.authorized_keys)
        yield Site(daemon, server, keys)


class GitoliteTests(SharingTestCase):
    skip = sshd.MISSING or (
        None if shutil.which("gitolite") else "gitolite is not installed (.ci/apt gitolite3)"
    )

    def setUp(self) -> None:
        super().setUp()
        self.site = self.share("site", site)

    def git(self, user: str, way: str) -> SSHGit:
        """Set up git for a user, whose objects go one way."""
        ssh = self.site.server.shell_command(self.site.keys / user)
        git = git_over_ssh(self.directory / f"home-{user}-{way}", ssh)
        git.run(git.home, "config", "--global", "lfs.sshtransfer", way)
        return git

    def stored(self, repo: str) -> set[str]:
        """Return the oids of a repository's objects."""
        return {path.name for path in stored_objects(self.site.daemon.store / repo)}

    def test_objects_and_locks_pass_through_gitolite(self) -> None:
        wanted = set()
        for way in ("always", "never"):
            alice = self.git("alice", way)
            work = alice.start(self.directory / f"work-{way}", "127.0.0.1:acme/rocket")
            work.commit({f"{way}.bin": f"from alice, {way}".encode()})
            work.git("push", "--quiet", "origin", f"HEAD:{way}")
            work.git("lfs", "lock", f"{way}.bin")
            wanted.add(oid_of(f"from alice, {way}".encode()))
            self.assertEqual(self.stored("acme/rocket"), wanted)
            rita = self.git("rita", way)
            rita.run(
                rita.home, "clone", "--quiet", "-b", way, "127.0.0.1:acme/rocket", f"clone-{way}"
            )
            clone = rita.home / f"clone-{way}"
            self.assertEqual((clone / f"{way}.bin").read_bytes(), f"from alice, {way}".encode())
            self.assertIn("alice", rita.run(clone, "lfs", "locks"))
            locked = rita.try_run(clone, "lfs", "lock", "other.bin")
            self.assertNotEqual(locked.returncode, 0)

    def test_gitolite_decides_who_may_do_what(self) -> None:
        """However a repository's name is written: what it decides about is what is served."""
        run, keys = self.site.server.run, self.site.keys
        control = self.directory / "control"
        for program in ("git-lfs-transfer", "git-lfs-authenticate"):
            for command in (
                "acme/rocket upload",
                "/acme/rocket.git upload",
                "acme/rocket download",
                "acme/rocket.git/info/lfs download",
                "acme/rocket/ download",
                "//acme/rocket download",
                "bobs/own acme/rocket download",
                "bobs/own.git/../../acme/rocket download",
                "acme/rocket",
                "wild/alice/x download",
                "wild/bob/ upload",
                "wild/bob/x upload",
                "",
            ):
                done = run(keys / "bob", f"{program} {command}", control)
                self.assertNotEqual(done.returncode, 0, (program, command, done.stdout))
                self.assertEqual(done.stdout, b"", command)
                self.assertTrue(done.stderr, command)
        told = run(keys / "bob", "git-lfs-authenticate /bobs/own.git upload", control)
        self.assertEqual((told.returncode, told.stderr), (0, b""))
        self.assertIn(b"/bobs/own.git/info/lfs", told.stdout)
