"""A mirror of LFS servers that others have made.

Only ``make soak`` starts them, where ``.ci/peers`` has installed them.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.trial.unittest import SkipTest

from benchmarks.peers.base import Missing, Peer, Place, Server
from benchmarks.peers.flask import Flask
from benchmarks.peers.lfs_test_server import LFSTestServer
from benchmarks.peers.lfsx import LFSX
from benchmarks.peers.rudolfs import Rudolfs
from tests.integration.support import Daemon, GitRepo, IntegrationTestCase
from tests.support.rounds import rounds


class PeerTests(IntegrationTestCase):
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

    def check(self, peer: Peer) -> None:
        """Push and clone through a mirror, also while the server is away, and go past it."""
        if not rounds(False, True):
            raise SkipTest("make soak starts other servers")
        try:
            peer.version()
        except Missing as error:
            raise SkipTest(str(error)) from None
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
            lfs = ("-c", f"lfs.url={server.lfs_url()}")
            past = self.directory / "past"
            git.run(self.directory, "clone", "--quiet", *lfs, str(repo.remote), str(past))
            self.assert_whole(GitRepo(git, past, repo.remote), files)
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

    def test_lfs_test_server_is_mirrored(self) -> None:
        self.check(LFSTestServer())

    def test_lfsx_is_mirrored(self) -> None:
        self.check(LFSX())

    def test_rudolfs_is_mirrored(self) -> None:
        self.check(Rudolfs())

    def test_the_flask_giftless_is_mirrored(self) -> None:
        self.check(Flask())
