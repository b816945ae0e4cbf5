"""Many small objects through the real client."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.base import LFS, Server
from benchmarks.report import Case
from benchmarks.support import timed
from benchmarks.workloads.base import Bench

#: How large each object is, in bytes.
SIZE = 10_000

_PUSH = Case("git lfs push", "s", more=False, digits=1)
_PULL = Case("git lfs pull", "s", more=False, digits=1)

#: No configuration but the repository's own, and nobody to ask.
_ENVIRON = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
}


class Git:
    """How long ``git lfs push`` and ``git lfs pull`` take."""

    name = "git"
    about = f"10 000 objects of {SIZE // 1000} KB by git-lfs"
    needs = LFS
    tools = ("git", "git-lfs")

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        count = 300 if bench.quick else 10_000
        if bench.quick:
            bench.note(f"Only {count} objects.")
        source = bench.root / "source"
        make_repository(source, count)
        for _ in range(bench.rounds):
            for peer in bench.peers:
                with (
                    bench.start(peer) as server,
                    bench.attempt(peer.name, _PUSH, _PULL),
                ):
                    self._measure(bench, server, source, count)

    def _measure(self, bench: Bench, server: Server, source: Path, count: int) -> None:
        lfs = ("-c", f"lfs.url={server.lfs_url()}", "-c", "lfs.locksverify=false")
        # What this client remembers of other servers must not help it here.
        shutil.rmtree(source / ".git" / "lfs" / "cache", ignore_errors=True)
        push = timed(lambda: git(source, *lfs, "lfs", "push", "origin", "main"))
        clone = bench.directory("clone")
        git(bench.root, "clone", "--quiet", str(source), str(clone))
        git(clone, "lfs", "install", "--local", "--skip-repo")
        pull = timed(lambda: git(clone, *lfs, "lfs", "pull"))
        got = sum(1 for path in clone.rglob("*.bin") if path.stat().st_size == SIZE)
        shutil.rmtree(clone)
        if got != count:
            raise RuntimeError(f"{got} of {count} objects came back")
        bench.add(_PUSH, server.peer, push)
        bench.add(_PULL, server.peer, pull)


def make_repository(path: Path, count: int) -> None:
    """Make a repository with ``count`` objects, whose remote has none of them."""
    git(path.parent, "init", "--quiet", "--initial-branch=main", str(path))
    git(path, "config", "user.name", "bench")
    git(path, "config", "user.email", "bench@example.org")
    git(path, "lfs", "install", "--local", "--skip-repo")
    (path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for number in range(count):
        directory = path / f"{number // 1000}"
        directory.mkdir(exist_ok=True)
        (directory / f"{number}.bin").write_bytes(os.urandom(SIZE))
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message", "Objects")
    remote = path.with_name("remote.git")
    git(path.parent, "init", "--quiet", "--bare", str(remote))
    git(path, "remote", "add", "origin", str(remote))


def git(directory: Path, *arguments: str) -> None:
    """Run git.

    :raises RuntimeError: with what it says, if it fails.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**os.environ, **_ENVIRON},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"git {arguments[-1]}: {done.stdout[-300:]}")
