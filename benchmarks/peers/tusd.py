"""tusd, the reference server of tus, in Go."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.base import TUS, Place, Server, Transfer, find, output
from benchmarks.support import Content, running
from tests.support.ports import free_port


class Tusd:
    """One process that uses all its cores, over a directory.

    It neither looks at what the bytes are, nor sees that they reach the disk.
    """

    name = "tusd"
    serves = frozenset({TUS})
    promises = ()

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        # Built by "go install" it does not know its version; Go does.
        lines = output("go", "version", "-m", find("tusd", "needs Go")).splitlines()
        modules = [line.split() for line in lines if line.strip().startswith("mod")]
        return f"tusd {modules[0][2]}" if modules else "tusd"

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        command = [find("tusd", ""), "-host", "127.0.0.1", "-port", str(port)]
        command += ["-base-path", "/files/", "-upload-dir", str(place.root / "store")]
        environ = {"GOMAXPROCS": str(place.cores)}
        with running(command, port, place.root, environ, place.cores) as process:
            yield _Uploads(self.name, f"http://127.0.0.1:{port}", process.pid)


class _Uploads(Server):
    """Knows no batches: an upload is created by itself."""

    def resumable(self, content: Content) -> Transfer:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(content.size)}
        request = urllib.request.Request(f"{self.url}/files/", b"", headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as reply:
            return Transfer("PATCH", reply.headers["Location"], {})
