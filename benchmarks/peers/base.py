"""What a server to compare with is: how it is found, started and talked to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks import support
from benchmarks.support import Content

#: Where ``.ci/peers`` puts what it installs.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "giftless" / "peers"

MEDIA_TYPE = "application/vnd.git-lfs+json"

#: What git-lfs sends with a batch.
HEADERS = {
    "Accept": MEDIA_TYPE,
    "Content-Type": MEDIA_TYPE,
    "User-Agent": "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)",
}

#: What a workload needs of a server.
LFS, BYTES, S3, PROCESSOR, MEMORY = "lfs", "bytes", "s3", "processor", "memory"
TUS = "tus"

#: What a server may promise of an upload that it acknowledges: that its bytes have the
#: SHA-256 of its oid; that they and the object's name are on the disk; or that the bytes
#: are, and the name may be lost by a loss of power.
HASH, FLUSH, FILE_FLUSH = "hash", "flush", "flush of the file"

#: What a server may promise of its actions: that each carries a token, without which
#: nobody can follow it.
TOKEN = "token"


class Missing(Exception):
    """A server is not installed; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of an S3 server.

    :ivar endpoint: the server's URL.
    """

    endpoint: str
    name: str
    region: str
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs.

    :ivar root: a directory of its own.
    :ivar cores: how many processors it gets.
    :ivar bucket: where it keeps objects; ``None`` for a directory in ``root``.
    :ivar memory: whether it keeps them in its memory instead.
    """

    root: Path
    cores: int
    bucket: Bucket | None = None
    memory: bool = False


class Peer(Protocol):
    """A server that can be started.

    :ivar name: its name in tables and on the command line.
    :ivar serves: which workloads it can take part in: ``LFS`` …
    :ivar promises: what it promises, as it is started here: ``HASH`` …
    """

    name: str
    serves: frozenset[str]

    @property
    def promises(self) -> Sequence[str]:
        """See above."""
        ...

    def version(self) -> str:
        """Return what it is, with its version.

        :raises Missing: if it is not installed.
        """
        ...

    def start(self, place: Place) -> AbstractContextManager[Server]:
        """Run it over an empty store, until the block ends."""
        ...


@dataclass(frozen=True, slots=True)
class Transfer:
    """One request for an object's bytes.

    :ivar headers: what the server wants to be sent with it.
    """

    method: str
    url: str
    headers: Mapping[str, str]


class Server:
    """A running LFS server.

    :param peer: its name.
    :param url: its root.
    :param process: its first process's id.
    :param prefix: what is in front of a repository's path in its URLs.
    """

    def __init__(self, peer: str, url: str, process: int, prefix: str = "") -> None:
        self.peer = peer
        self.url = url
        self.process = process
        self._prefix = prefix

    def lfs_url(self, repo: str = "org/repo") -> str:
        """Return what ``lfs.url`` is for a repository."""
        return f"{self.url}{self._prefix}/{repo}"

    def memory(self) -> int:
        """Return how much memory it holds now, in bytes."""
        return support.memory(self.process)

    def processor_time(self) -> float:
        """Return how much processor time it has taken so far, in seconds."""
        return support.processor_time(self.process)

    def batch(
        self, operation: str, contents: Sequence[Content], repo: str = "org/repo"
    ) -> list[dict[str, Any]]:
        """Send a batch; returns the reply's objects."""
        body = batch_body(operation, contents)
        request = urllib.request.Request(f"{self.lfs_url(repo)}/objects/batch", body, HEADERS)
        with urllib.request.urlopen(request, timeout=60) as reply:
            objects: list[dict[str, Any]] = json.load(reply)["objects"]
        return objects

    def transfer(self, operation: str, content: Content) -> Transfer:
        """Ask for an ``upload`` or a ``download`` as a client does."""
        (item,) = self.batch(operation, [content])
        action = item["actions"][operation]
        method = "PUT" if operation == "upload" else "GET"
        return Transfer(method, action["href"], action.get("header") or {})

    def resumable(self, content: Content) -> Transfer:
        """Ask for an upload by tus as a client does; it begins at 0."""
        body = batch_body("upload", [content], "tus")
        request = urllib.request.Request(f"{self.lfs_url()}/objects/batch", body, HEADERS)
        with urllib.request.urlopen(request, timeout=60) as reply:
            action = json.load(reply)["objects"][0]["actions"]["upload"]
        return Transfer("PATCH", action["href"], action.get("header") or {})

    def store(self, content: Content) -> None:
        """Upload an object, whatever it costs."""
        transfer = self.transfer("upload", content)
        assert content.path is not None
        request = urllib.request.Request(
            transfer.url, content.path.read_bytes(), dict(transfer.headers), method="PUT"
        )
        urllib.request.urlopen(request, timeout=60).close()


def batch_body(operation: str, contents: Sequence[Content], transfer: str = "basic") -> bytes:
    """Render a batch request as git-lfs does.

    :param transfer: the one that is offered.
    """
    objects = [{"oid": content.oid, "size": content.size} for content in contents]
    body = {"operation": operation, "transfers": [transfer], "objects": objects}
    return json.dumps({**body, "hash_algo": "sha256"}).encode()


def find(command: str, hint: str) -> str:
    """Return the path of a command that ``.ci/peers`` installs.

    :raises Missing: if it is not there.
    """
    path = shutil.which(command, path=f"{CACHE}:{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        raise Missing(f"{command} is not installed ({hint})")
    return path


def output(*command: str) -> str:
    """Return what a command says, whether to standard output or error."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True
    )
    return done.stdout.strip()
