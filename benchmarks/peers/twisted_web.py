"""twisted.web alone: what HTTP costs before a server does anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import twisted
from benchmarks.peers.base import PROCESSOR, Place, Server
from benchmarks.support import Content, running
from tests.support.ports import free_port

#: What it runs.
SCRIPT = Path(__file__).parents[1] / "trivial.py"


class TwistedWeb:
    """One process whose only resource answers each POST with the same words."""

    name = "twisted.web"
    serves = frozenset({PROCESSOR})
    promises = ()

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        return f"twisted.web {twisted.__version__} (benchmarks/trivial.py)"

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        command = [sys.executable, "-P", str(SCRIPT), str(port)]
        with running(command, port, place.root, cores=place.cores) as process:
            yield _Trivial(self.name, f"http://127.0.0.1:{port}", process.pid)


class _Trivial(Server):
    """Takes a batch, and knows nothing of its objects."""

    def batch(
        self, operation: str, contents: Sequence[Content], repo: str = "org/repo"
    ) -> list[dict[str, Any]]:
        return [{"oid": content.oid} for content in contents]
