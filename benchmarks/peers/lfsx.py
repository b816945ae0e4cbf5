"""LFSX, in Rust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.base import (
    BYTES,
    FILE_FLUSH,
    HASH,
    LFS,
    PROCESSOR,
    Place,
    Server,
    find,
    output,
)
from benchmarks.support import running
from tests.support.ports import free_port


class LFSX:
    """One process with a thread for each core; nobody is asked to log in.

    :param compression: how it compresses objects, such as ``zstd:3``; empty for not at all.
    """

    name = "lfsx"
    serves = frozenset({LFS, BYTES, PROCESSOR})
    promises = (HASH, FILE_FLUSH)

    def __init__(self, compression: str = "") -> None:
        self._compression = compression

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        return output(find("lfsx-server", "needs Cargo"), "--version")

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environ = {
            "LFSX_AUTH": "disabled",
            "LFSX_BIND": f"127.0.0.1:{port}",
            "LFSX_PUBLIC_URL": url,
            "LFSX_STORAGE_ROOT": str(place.root / "store"),
            # No bound, as the others have none.
            "LFSX_MAX_CONCURRENT_TRANSFERS": "0",
            "TOKIO_WORKER_THREADS": str(place.cores),
        }
        if self._compression:
            environ["LFSX_COMPRESSION"] = self._compression
        command = [find("lfsx-server", "")]
        with running(command, port, place.root, environ, place.cores) as process:
            yield Server(self.name, url, process.pid)
