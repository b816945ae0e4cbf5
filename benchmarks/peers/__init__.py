"""The servers that are compared: one module each.

A module of this package has a class that is a :class:`~benchmarks.peers.base.Peer`.
"""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.peers.earlier import earlier
from benchmarks.peers.flask import Flask
from benchmarks.peers.giftless import Giftless
from benchmarks.peers.lfs_test_server import LFSTestServer
from benchmarks.peers.lfsx import LFSX
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.rudolfs import Rudolfs
from benchmarks.peers.tusd import Tusd
from benchmarks.peers.twisted_web import TwistedWeb

#: All of them, in the order of the tables' columns.  The first is what the
#: others are compared with.
PEERS: tuple[Peer, ...] = (
    Giftless(),
    *earlier(),
    Flask(),
    LFSTestServer(),
    Rudolfs(),
    LFSX(),
    Nginx(),
    TwistedWeb(),
    Tusd(),
)
