"""Other LFS servers: their objects are imported, and given back to them by a clone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.peers.base import Peer, Place
from tests.integration.peers import EachPeer
from tests.integration.support import IntegrationTestCase, oid_of
from tests.support.commands import run_command


class PeerTests(EachPeer, IntegrationTestCase):
    def use(self, peer: Peer) -> None:
        """Push to a server by git-lfs, import from it, and fill an empty one by a rescue."""
        git = self.make_git()
        files = {f"{number}.bin": os.urandom(1000 * (number + 1)) for number in range(120)}
        places = [Place(self.make(name), 1) for name in ("full", "empty")]
        with peer.start(places[0]) as server:
            repo = git.create(self.directory / "work", server.lfs_url())
            repo.commit(files)
            repo.push()
            config = self.directory / "giftless.yaml"
            settings = {
                "storage": {"type": "local", "path": str(self.directory / "store")},
                "state_dir": str(self.directory / "state"),
            }
            config.write_text(json.dumps(settings))
            where = ("--config", str(config), "--from", str(repo.remote))
            done = run_command(
                *("giftless", "import", "server", *where, server.lfs_url(), "acme/rocket"),
                directory=self.directory,
                environ=git.environ,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        found = self.assert_intact(self.directory / "store" / "acme")
        self.assertEqual(sorted(found), sorted(map(oid_of, files.values())))
        with peer.start(places[1]) as server:
            done = run_command(
                *("giftless", "rescue", "--url", server.lfs_url(), str(repo.directory)),
                directory=self.directory,
                environ=git.environ,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            lfs = f"lfs.url={server.lfs_url()}"
            clone = repo.clone(self.directory / "clone", "-c", lfs)
            for name, data in files.items():
                self.assertEqual(clone.read(name), data)

    def make(self, name: str) -> Path:
        """Make a directory for a server."""
        path = self.directory / name
        path.mkdir()
        return path
