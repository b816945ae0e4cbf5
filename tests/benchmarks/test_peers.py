"""The servers that giftless is compared with, as far as they are installed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.peers import PEERS
from benchmarks.peers.base import (
    FLUSH,
    HASH,
    LFS,
    PROCESSOR,
    TOKEN,
    Missing,
    Peer,
    Place,
    Server,
    Transfer,
)
from benchmarks.peers.giftless import Giftless
from benchmarks.peers.twisted_web import TwistedWeb
from benchmarks.support import Content, make_content
from tests.support.processes import PATIENCE

SIZE = 10_000


def send(transfer: Transfer, data: bytes | None = None) -> bytes | None:
    """Do a transfer.

    :returns: the answer's body; ``None`` if it is an error, or if there is none.
    """
    headers = dict(transfer.headers)
    request = Request(transfer.url, data, headers, method=transfer.method)
    # rudolfs closes the connection on what it refuses.
    with contextlib.suppress(OSError), urlopen(request, timeout=PATIENCE) as reply:
        return bytes(reply.read())
    return None


class PeerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir()

    @contextlib.contextmanager
    def started(self, peer: Peer, memory: bool = False) -> Iterator[Server]:
        """Run a server over an empty store."""
        directory = self.root / f"{peer.name}-{memory}"
        directory.mkdir()
        with peer.start(Place(directory, 1, None, memory)) as server:
            yield server

    def content(self, number: int) -> tuple[Content, bytes]:
        """Make an object; returns its bytes, too."""
        path = self.root / f"{number}.bin"
        content = make_content(path, SIZE, number)
        return content, path.read_bytes()


class PromiseTests(PeerTestCase):
    """What the tables say of each server."""

    def test_each_server_keeps_its_promises(self) -> None:
        for peer in PEERS:
            with contextlib.suppress(Missing):
                peer.version()
                if LFS in peer.serves:
                    with self.started(peer) as server:
                        self.check(server, frozenset(peer.promises))

    def check(self, server: Server, promises: frozenset[str]) -> None:
        """Check all promises but that of the disk."""
        good, data = self.content(1)
        server.store(good)
        self.assertEqual(send(server.transfer("download", good)), data, server.peer)
        wrong, _ = self.content(2)
        upload = server.transfer("upload", wrong)
        self.assertEqual(send(upload, bytes(SIZE)) is None, HASH in promises, server.peer)
        token = any(len(value) > 60 for value in upload.headers.values())
        self.assertEqual(token, TOKEN in promises, server.peer)

    def test_giftless_promises_everything(self) -> None:
        self.assertEqual(set(Giftless.promises), {HASH, FLUSH, TOKEN})


class ProcessorTimeTests(PeerTestCase):
    """What the processor time of requests is measured with."""

    def test_the_time_of_a_server_grows_with_its_requests(self) -> None:
        content, _ = self.content(1)
        with self.started(Giftless()) as server:
            before = server.processor_time()
            self.assertGreater(before, 0)
            deadline = time.monotonic() + 60
            while server.processor_time() < before + 0.05:
                self.assertLess(time.monotonic(), deadline)
                server.batch("upload", [content])

    def test_giftless_can_keep_objects_in_memory(self) -> None:
        content, data = self.content(1)
        with self.started(Giftless(), memory=True) as server:
            server.store(content)
            self.assertEqual(send(server.transfer("download", content)), data)
            self.assertEqual(server.batch("upload", [content])[0].get("actions"), None)
            self.assertFalse(any(content.oid in files for _, _, files in os.walk(self.root)))

    def test_the_yardstick_answers_any_post(self) -> None:
        peer = TwistedWeb()
        self.assertEqual(peer.serves, {PROCESSOR})
        with self.started(peer) as server:
            url = f"{server.lfs_url()}/objects/batch"
            self.assertEqual(send(Transfer("POST", url, {}), b"x" * 300), b"{}")
