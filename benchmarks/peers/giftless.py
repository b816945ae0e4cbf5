"""The giftless of this repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.base import (
    BYTES,
    FLUSH,
    HASH,
    LFS,
    MEMORY,
    PROCESSOR,
    S3,
    TOKEN,
    TUS,
    Place,
    Server,
    output,
)
from benchmarks.support import giftless_command, running
from giftless import __version__
from tests.support.ports import free_port

#: The folder of the plugin that keeps objects in memory.
PLUGINS = Path(__file__).parents[1] / "plugins"


class Giftless:
    """One worker for each core."""

    name = "giftless"
    serves = frozenset({LFS, BYTES, S3, PROCESSOR, MEMORY, TUS})
    promises = (HASH, FLUSH, TOKEN)
    #: What runs it; empty for what is installed beside this Python.
    twistd = ""

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        commit = output("git", "rev-parse", "--short", "HEAD")
        changed = " and changes" if output("git", "status", "--short", "giftless") else ""
        return f"giftless {__version__} of this repository ({commit}{changed})"

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        config: dict[str, Any] = {"workers": place.cores}
        bucket = place.bucket
        if place.memory:
            config |= {"plugin_path": [str(PLUGINS)], "storage": {"type": "memory"}}
        elif bucket is not None:
            config["storage"] = {
                "type": "s3",
                "bucket": bucket.name,
                "region": bucket.region,
                "endpoint_url": bucket.endpoint,
                "access_key_id": bucket.access_key,
                "secret_access_key": bucket.secret_key,
            }
        command = giftless_command(place.root, port, self.twistd, **config)
        with running(command, port, place.root, cores=place.cores) as process:
            yield Server(self.name, f"http://127.0.0.1:{port}", process.pid)
