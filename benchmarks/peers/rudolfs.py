"""rudolfs, in Rust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.base import BYTES, HASH, LFS, PROCESSOR, Place, Server, find, output
from benchmarks.support import running
from tests.support.ports import free_port


class Rudolfs:
    """One process with a thread for each core; no cache and no encryption."""

    name = "rudolfs"
    serves = frozenset({LFS, BYTES, PROCESSOR})
    promises = (HASH,)

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        return output(find("rudolfs", "needs Cargo"), "--version")

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        # Its access log goes to its standard output, as giftless's does.
        command = [find("rudolfs", ""), "--host", f"127.0.0.1:{port}"]
        environ = {"TOKIO_WORKER_THREADS": str(place.cores)}
        command += ["local", "--path", str(place.root / "store")]
        with running(command, port, place.root, environ, place.cores) as process:
            yield Server(self.name, f"http://127.0.0.1:{port}", process.pid, "/api")
