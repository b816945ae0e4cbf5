"""lfs-test-server, the example server of the Git LFS project, in Go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.base import BYTES, HASH, LFS, PROCESSOR, Place, Server, find, output
from benchmarks.support import running
from tests.support.ports import free_port


class LFSTestServer:
    """One process that uses all its cores; public, so that nobody is asked to log in."""

    name = "lfs-test-server"
    serves = frozenset({LFS, BYTES, PROCESSOR})
    promises = (HASH,)

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        command = find("lfs-test-server", "needs Go")
        return f"lfs-test-server {output(command, '-v')}"

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        environ = {
            "LFS_LISTEN": f"tcp://127.0.0.1:{port}",
            "LFS_HOST": f"127.0.0.1:{port}",
            "LFS_METADB": str(place.root / "lfs.db"),
            "LFS_CONTENTPATH": str(place.root / "content"),
            "LFS_PUBLIC": "true",
            "GOMAXPROCS": str(place.cores),
        }
        command = [find("lfs-test-server", "")]
        with running(command, port, place.root, environ, place.cores) as process:
            yield Server(self.name, f"http://127.0.0.1:{port}", process.pid)
