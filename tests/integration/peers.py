"""Tests beside each of the LFS servers that others have made.

Only ``make soak`` starts them, where ``.ci/peers`` has installed them.
"""

from __future__ import annotations

from twisted.trial.unittest import SkipTest

from benchmarks.peers.base import Missing, Peer
from benchmarks.peers.flask import Flask
from benchmarks.peers.lfs_test_server import LFSTestServer
from benchmarks.peers.lfsx import LFSX
from benchmarks.peers.rudolfs import Rudolfs
from tests.support.rounds import rounds


class EachPeer:
    """Does the same with each of them; mix it in."""

    def use(self, peer: Peer) -> None:
        """Do it with a server that is installed."""
        raise NotImplementedError

    def _use_if_there(self, peer: Peer) -> None:
        if not rounds(False, True):
            raise SkipTest("make soak starts other servers")
        try:
            peer.version()
        except Missing as error:
            raise SkipTest(str(error)) from None
        self.use(peer)

    def test_objects_of_lfs_test_server_are_whole(self) -> None:
        self._use_if_there(LFSTestServer())

    def test_objects_of_lfsx_are_whole(self) -> None:
        self._use_if_there(LFSX())

    def test_objects_of_rudolfs_are_whole(self) -> None:
        self._use_if_there(Rudolfs())

    def test_objects_of_the_flask_giftless_are_whole(self) -> None:
        self._use_if_there(Flask())
