"""A mirror of LFS servers that others have made."""

from __future__ import annotations

import os
import signal
from typing import Any

from benchmarks.peers.base import Peer, Place, Server
from tests.integration.peers import EachPeer
from tests.integration.support import Daemon, GitRepo, IntegrationTestCase


class PeerTests(EachPeer, IntegrationTestCase):
    def mirror(self, server: Server) -> Daemon:
        """Start a mirror of a server."""
        path = server.lfs_url("{repo}").removeprefix(server.url + "/")
        storage: dict[str, Any] = {
            "type": "mirror",
            "path": "kept",
            "limit": "1G",
            "upstreams": [{"prefix": "up", "url": server.url, "path": path}],
            "timeout": 5,
            "offline": "serve",
        }
        config = {"log_format": "json", "auth": [{"type": "mirror"}], "storage": storage}
        return self.start_daemon("mirror", config=config)

    def use(self, peer: Peer) -> None:
        """Push and clone through a mirror, also while the server is away, and go past it."""
        sizes = [*range(1, 40), 65_536, 65_537, 300_000, 5_000_000]
        files = {f"{size}.bin": os.urandom(size) for size in sizes}
        root = self.directory / "root"
        root.mkdir()
        git = self.make_git()
        with peer.start(Place(root, 1)) as server:
            daemon = self.mirror(server)
            repo = git.create(self.directory / "work", f"{daemon.url}/up/org/repo.git/info/lfs")
            repo.commit(files)
            repo.push()
            for name in ("first", "second"):
                self.assert_whole(repo.clone(self.directory / name), files)
            past = repo.clone(self.directory / "past", "-c", f"lfs.url={server.lfs_url()}")
            self.assert_whole(past, files)
            # It hangs, and is no more.
            os.kill(server.process, signal.SIGSTOP)
            self.assert_whole(repo.clone(self.directory / "third"), files)
            os.kill(server.process, signal.SIGCONT)
        self.assert_whole(repo.clone(self.directory / "fourth"), files)
        repo.commit({"new.bin": b"new"})
        self.assertNotEqual(repo.try_push().returncode, 0)

    def assert_whole(self, repo: GitRepo, files: dict[str, bytes]) -> None:
        """Check that a clone has all files."""
        self.assertEqual({name: repo.read(name) for name in files}, files)
