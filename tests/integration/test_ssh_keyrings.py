"""Whose keys are, asked of a daemon, and the stock client as one of their owners."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from giftless.base.ssh_greeting import Listed, Owned, WhichKeys, WhoseKey
from tests.auth.keys.certificates.making import Authority
from tests.docs.pages import ROOT
from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import REPO, Daemon, Git, GitRepo
from tests.integration.test_auth_forges import running_forge
from tests.support.commands import run_command
from tests.support.forge_server import TOKENS
from tests.support.forges import account_id
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, base_environ
from tests.support.ssh_keys import blob_of, keygen, make_key, public_key
from tests.support.sshd import ssh_command

ALICE, DORA, WANDA, SAM, EVE = map(public_key, ("alice", "dora", "wanda", "sam", "eve"))
AUTHORITY = Authority()

WANDA_THERE, SAM_THERE = (f"{name}#{account_id(name)}" for name in ("wanda", "sam"))


class KeyringTests(SharingTestCase):
    """A daemon with a file of keys, an authority, a fake GitHub, and a keyring of an example."""

    def setUp(self) -> None:
        """Run the forge and the daemon."""
        super().setUp()
        people = (f"wanda={WANDA}", f"sam={SAM}")
        _, forge = self.share("github", lambda _: running_forge("github", *people))
        self.folder = folder = self.share("files", self.make_files)
        self.port = self.share("port", lambda _: contextlib.nullcontext(free_port()))
        self.realm = f"github:{forge.partition('//')[2]}"
        self.socket = str(folder / "ssh.sock")
        asked = {"api_url": forge, "token_file": str(folder / "token")}
        config = {
            "plugin_path": [str(ROOT / "examples")],
            "auth": [
                {"type": "basic", "access": str(folder / "access.yaml")},
                {"type": "github", "orgs": ["acme"], **asked},
            ],
            "ssh": {
                "socket": self.socket,
                "endpoints": [f"tcp:{self.port}:interface=127.0.0.1"],
                "keys": [
                    {"type": "file", "keys_file": str(folder / "keys")},
                    {"type": "certificates", "authorities_file": str(folder / "authorities")},
                    {"type": "github", "orgs": ["acme"], **asked},
                    {"type": "sqlite", "path": str(folder / "keys.db")},
                ],
            },
        }
        self.share("daemon", lambda directory: running(Daemon(directory, config=config)))

    @staticmethod
    def make_files(folder: Path) -> Any:
        """Write what the configuration names."""
        (folder / "token").write_text(TOKENS["github"]["wanda"])
        (folder / "access.yaml").write_text("alice:\n  org/*: write\ncarol:\n  org/*: read\n")
        (folder / "keys").write_text(f'principals="alice" {ALICE}\n')
        with contextlib.closing(sqlite3.connect(folder / "keys.db")) as database:
            database.execute("CREATE TABLE keys (line TEXT PRIMARY KEY, user TEXT NOT NULL)")
            database.execute("INSERT INTO keys VALUES (?, 'dora')", (DORA,))
            database.commit()
        other = make_key(folder / "authority").read_text()
        (folder / "authorities").write_text(f"{AUTHORITY.line}\n{other}")
        return contextlib.nullcontext(folder)

    def ask(self, question: WhoseKey | WhichKeys) -> bytes:
        """Ask the daemon something."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(120)
            client.connect(self.socket)
            client.sendall(msgspec.json.encode(question) + b"\n")
            with client.makefile("rb") as file:
                return file.read()

    def owner(self, blob: bytes, login: str = "git") -> Owned:
        """Ask whose a key is."""
        return msgspec.json.decode(self.ask(WhoseKey(blob, login)), type=Owned)

    def test_each_keyring_knows_its_users(self) -> None:
        """Local users, one whom an authority vouches for, and two of the forge."""
        for blob, owned in (
            (blob_of(ALICE), Owned("alice", "basic")),
            (AUTHORITY.certify(EVE, ("carol",)), Owned("carol", "basic")),
            (blob_of(DORA), Owned("dora", "basic")),
            (blob_of(WANDA), Owned(WANDA_THERE, self.realm)),
            (blob_of(SAM), Owned(SAM_THERE, self.realm)),
            (blob_of(EVE), Owned()),
            (Authority().certify(EVE, ("carol",)), Owned()),
        ):
            self.assertEqual(self.owner(blob), owned)

    def log_in(self, key: Path, login: str) -> subprocess.CompletedProcess[str]:
        """Ask with OpenSSH's client how objects can be downloaded.

        :param key: the file of a key; its certificate is beside it.
        """
        client = ssh_command(key, "-p", str(self.port), f"{login}@127.0.0.1")
        return subprocess.run(
            [*client, "git-lfs-authenticate org/repo download"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=base_environ(),
            timeout=PATIENCE,
        )

    def test_openssh_logs_in_with_certificates_for_every_kind_of_key(self) -> None:
        """The listener verifies who has the key, and the keyring whose it is."""
        for kind, bits in (("ed25519", ""), ("ecdsa", "384"), ("rsa", "2048")):
            key = self.directory / kind
            public = make_key(key, kind, bits)
            sign = ("-q", "-s", str(self.folder / "authority"), "-I", "carol@work")
            keygen(*sign, "-n", "carol,ops", str(public))
            let_in, ambiguous = self.log_in(key, "carol"), self.log_in(key, "git")
            self.assertEqual((let_in.returncode, ambiguous.returncode), (0, 255), let_in.stderr)
            self.assertIn("Bearer", let_in.stdout)
            for wrong in (("-n", "carol", "-V", "-2h:-1h"), ("-h", "-n", "carol"), ()):
                keygen(*sign, *wrong, str(public))
                refused = self.log_in(key, "carol")
                self.assertEqual((refused.returncode, refused.stdout), (255, ""), wrong)

    def test_keys_are_listed_for_sshd(self) -> None:
        """``giftless ssh-keys`` prints a line for each key that can be listed."""
        listed = msgspec.json.decode(self.ask(WhichKeys()), type=Listed)
        self.assertEqual(
            {(key.user, key.line) for key in listed.keys},
            {("alice", ALICE), ("dora", DORA), (WANDA_THERE, WANDA), (SAM_THERE, SAM)},
        )
        done = run_command("giftless", "ssh-keys", "-s", self.socket, directory=self.directory)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        keys = sorted(" ".join(line.split()[-2:]) for line in done.stdout.splitlines())
        self.assertEqual(keys, sorted((ALICE, DORA, WANDA, SAM)))

    def repository(self, blob: bytes, path: str = REPO) -> GitRepo:
        """Make a repository whose objects go where the owner of a key may bring them."""
        owned = self.owner(blob)
        script = self.directory / "ssh"
        command = f"{Path(sys.executable).parent / 'giftless'} ssh-serve"
        script.write_text(
            '#!/bin/sh\nfor last; do :; done\nexport SSH_ORIGINAL_COMMAND="$last"\n'
            f"exec {command} --socket '{self.socket}' --realm '{owned.realm}' -- '{owned.user}'\n"
        )
        script.chmod(0o700)
        git: Git = self.make_git()
        git.run(git.home, "config", "--global", "core.sshCommand", str(script))
        git.run(git.home, "config", "--global", "lfs.concurrentTransfers", "1")
        return git.create(self.directory / "work", f"ssh://git@lfs.example/{path}")

    def test_a_user_of_the_forge_pushes_and_clones(self) -> None:
        """What the forge lets somebody do decides, and nobody has shown a token."""
        repo = self.repository(blob_of(WANDA), "acme/rocket")
        files = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}
        repo.commit(files)
        repo.push()
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("noise.bin"), files["noise.bin"])

    def test_a_user_of_the_forge_may_not_do_more_than_there(self) -> None:
        """Sam has no access there."""
        repo = self.repository(blob_of(SAM), "acme/rocket")
        repo.commit({"own.bin": os.urandom(1000)})
        pushed = repo.try_push()
        self.assertNotEqual(pushed.returncode, 0)
        self.assertIn("sam does not have write access to acme/rocket", pushed.stderr)
