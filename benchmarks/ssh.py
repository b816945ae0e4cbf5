"""What Git LFS over pure SSH costs, beside what OpenSSH's own tools cost.

git-lfs pushes and fetches objects, and the ratio is given to others on the same machine, in
the same round:

- few large objects beside ``scp``, which copies the same bytes through the same ``sshd``;
- many small ones beside charmbracelet's ``git-lfs-transfer`` behind that ``sshd``, where it
  is installed (``.ci/peers git-lfs-transfer``); scutiger's (``.ci/peers scutiger-lfs``) is
  measured as well.

    python -m benchmarks.ssh [--rounds N] [--large BYTES] [--small N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.support import giftless_command, running, timed
from tests.integration.ssh import git_lfs_versions
from tests.support.ports import free_port
from tests.support.processes import base_environ
from tests.support.ssh_keys import make_key
from tests.support.sshd import SSHServer, ssh_command

#: How many bytes each of the small objects has.
SMALL = 10_000

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

#: Servers of others for a single session, by their makers; some may not be installed.  Ratios
#: are given to the first.
PEERS = {
    "charmbracelet": _CACHE / "giftless" / "peers" / "git-lfs-transfer",
    "scutiger": _CACHE / "giftless" / "peers" / "scutiger-lfs",
}

WRAPPER = """\
#!/bin/sh
set -f
set -- $SSH_ORIGINAL_COMMAND
cd {root} || exit
exec {command}
"""


@dataclass
class Objects:
    """Objects of one size, and a commit of their pointers.

    :ivar directory: where the objects are, by their oids.
    :ivar oids: the oids.
    """

    directory: Path
    size: int
    oids: Sequence[str]

    @classmethod
    def make(cls, directory: Path, count: int, size: int) -> Objects:
        """Write so many objects of random bytes."""
        directory.mkdir()
        oids = []
        for _ in range(count):
            digest, temporary = hashlib.sha256(), directory / "new"
            with temporary.open("wb") as file:
                for start in range(0, size, 1 << 20):
                    piece = os.urandom(min(1 << 20, size - start))
                    digest.update(piece)
                    file.write(piece)
            oids.append(digest.hexdigest())
            temporary.rename(directory / oids[-1])
        return cls(directory, size, oids)

    def commit(self) -> bytes:
        """Return the commit, for ``git fast-import``."""
        lines = [b"commit refs/heads/main\ncommitter B <b@example.com> 0 +0000\ndata 0\n"]
        for oid in self.oids:
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {self.size}\n"
            )
            lines.append(f"M 100644 inline {oid}.bin\ndata {len(pointer)}\n{pointer}\n".encode())
        attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
        lines.append(
            f"M 100644 inline .gitattributes\ndata {len(attributes)}\n{attributes}\n".encode()
        )
        return b"".join(lines)


@dataclass
class Way:
    """One way to a server.

    :ivar name: what it is called.
    :ivar url: ``lfs.url``, without the repository.
    :ivar ssh: ``GIT_SSH_COMMAND``.
    :ivar seconds: how long each push and each fetch took.
    """

    name: str
    url: str
    ssh: str
    seconds: dict[str, list[float]] = field(default_factory=dict)


class Client:
    """git and the newest git-lfs.

    :param home: an empty directory.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        versions = git_lfs_versions()
        self.version = max(versions)
        path = os.environ["PATH"]
        if directory := versions[self.version]:
            path = f"{directory}:{path}"
        self.environ = {
            **base_environ(),
            "PATH": path,
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        self.run(home, "", "lfs", "install", "--skip-repo")

    def run(self, directory: Path, ssh: str, *arguments: str, data: bytes = b"") -> None:
        """Run git, which must succeed."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**self.environ, "GIT_SSH_COMMAND": ssh},
            input=data,
            capture_output=True,
        )
        if done.returncode:
            said = done.stderr.decode()[-1000:]
            raise SystemExit(f"{ssh}\ngit {shlex.join(arguments)}: {said}")

    def clone(self, directory: Path, way: Way, repo: str, objects: Objects) -> Path:
        """Make a clone with the commit, and without objects."""
        self.run(self.home, "", "init", "--quiet", "-b", "main", str(directory))
        self.run(directory, "", "fast-import", "--quiet", data=objects.commit())
        for name, value in (
            ("remote.origin.url", f"{way.url}/{repo}"),
            ("lfs.url", f"{way.url}/{repo}"),
            ("lfs.sshtransfer", "always"),
            ("lfs.locksverify", "false"),
        ):
            self.run(directory, "", "config", name, value)
        return directory


def transfer(client: Client, way: Way, root: Path, repo: str, objects: Objects, kind: str) -> None:
    """Push objects over a way, fetch them into another clone, and note how long it took."""
    pushing = client.clone(root / "pushing", way, repo, objects)
    for oid in objects.oids:
        place = pushing / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
        place.mkdir(parents=True, exist_ok=True)
        os.link(objects.directory / oid, place / oid)
    fetching = client.clone(root / "fetching", way, repo, objects)
    try:
        pushed = timed(
            lambda: client.run(pushing, way.ssh, "lfs", "push", "--all", "origin", "main")
        )
        fetched = timed(lambda: client.run(fetching, way.ssh, "lfs", "fetch", "origin", "main"))
        got = {path.name for path in (fetching / ".git/lfs/objects").rglob("*") if path.is_file()}
        if got != set(objects.oids):
            raise SystemExit(f"{way.name}: {len(got)} of {len(objects.oids)} objects came back")
    finally:
        shutil.rmtree(pushing)
        shutil.rmtree(fetching)
    way.seconds.setdefault(f"{kind} push", []).append(pushed)
    way.seconds.setdefault(f"{kind} fetch", []).append(fetched)


def copy(server: SSHServer, key: Path, root: Path, objects: Objects, way: Way) -> None:
    """Copy objects by ``scp`` to the server and back."""
    scp = ["scp", "-q", *ssh_command(key)[1:], "-P", str(server.port)]
    there, back = root / "there", root / "back"
    for directory in (there, back):
        directory.mkdir()
    files = [str(objects.directory / oid) for oid in objects.oids]
    remote = f"127.0.0.1:{there}"
    for kind, arguments in (
        ("large push", [*files, remote]),
        ("large fetch", [f"{remote}/{Path(file).name}" for file in files] + [str(back)]),
    ):
        seconds = timed(
            lambda arguments=arguments: subprocess.run(  # type: ignore[misc]
                [*scp, *arguments], check=True, env=base_environ()
            )
        )
        way.seconds.setdefault(kind, []).append(seconds)
    shutil.rmtree(there)
    shutil.rmtree(back)


@contextmanager
def site(root: Path) -> Iterator[tuple[Sequence[Way], SSHServer, Path]]:
    """Start a daemon with a listener, and an ``sshd``; yields every way to the two."""
    keys = root / "keys"
    keys.mkdir()
    peers = {name: path for name, path in PEERS.items() if path.exists()}
    for name in ("giftless", "scp", *peers):
        make_key(keys / name)
    allowed = root / "authorized_keys"
    allowed.write_text(f'principals="alice" {(keys / "giftless").with_suffix(".pub").read_text()}')
    access = root / "access.yaml"
    access.write_bytes(msgspec.json.encode({"alice": {"**": "write"}}))
    listener, port = free_port(), free_port()
    config: dict[str, Any] = {
        "auth": [{"type": "basic", "access": str(access)}],
        "ssh": {
            "endpoints": [f"tcp:{listener}:interface=127.0.0.1"],
            "keys": [{"type": "file", "keys_file": str(allowed)}],
        },
        "workers": os.cpu_count(),
    }
    (root / "sshd").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(
            SSHServer(root / "sshd", {"Subsystem": "sftp internal-sftp"}).running()
        )
        command = giftless_command(root, port, **config)
        stack.enter_context(running(command, port, root))
        giftless = Path(sys.executable).with_name("giftless")
        serve = f"{giftless} ssh-serve --socket {root / 'state' / 'ssh.sock'} -- alice"
        lines = []
        runs = {name: f"{path} .$2 $3" for name, path in peers.items()}
        for name, run in {"giftless": serve, "scp": "", **runs}.items():
            forced = ""
            if run:
                wrapper = root / f"{name}.sh"
                wrapper.write_text(WRAPPER.format(root=root / "git", command=run))
                wrapper.chmod(0o755)
                forced = f'command="{wrapper}" '
            lines.append(forced + (keys / f"{name}.pub").read_text())
        server.authorized_keys.write_text("".join(lines))
        (root / "git").mkdir()
        url = "ssh://127.0.0.1"
        own = shlex.join(ssh_command(keys / "giftless", "-p", str(listener)))
        ways = [
            Way("giftless, its listener", url, own),
            Way("giftless behind sshd", url, server.shell_command(keys / "giftless")),
        ]
        for name in peers:
            ways.append(Way(f"{name} behind sshd", url, server.shell_command(keys / name)))
        yield ways, server, keys / "scp"


def report(ways: Sequence[Way], floors: Mapping[str, Way], large: int, small: int) -> None:
    """Print medians, and ratios to the floors: more is better."""
    sizes = {
        "large": (large / 1e6, "MB/s"),
        "small": (float(small), "objects/s"),
    }
    for kind in ("large push", "large fetch", "small push", "small fetch"):
        amount, unit = sizes[kind.split()[0]]
        floor = floors.get(kind.split()[0])
        for way in (*ways, *([floor] if floor and floor not in ways else [])):
            if kind not in way.seconds:
                continue
            speed = amount / statistics.median(way.seconds[kind])
            line = f"{kind:12}  {way.name:28} {speed:8.0f} {unit}"
            if floor is not None and way is not floor:
                ratios = [
                    other / mine
                    for mine, other in zip(way.seconds[kind], floor.seconds[kind], strict=True)
                ]
                line += f"   {statistics.median(ratios):.2f} of {floor.name}"
            print(line)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=2_000_000_000, help="bytes of the large one")
    parser.add_argument("--small", type=int, default=10_000, help=f"objects of {SMALL} bytes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        with site(root) as (ways, server, key):
            client = Client(root / "home")
            print(f"git-lfs {'.'.join(map(str, client.version))}")
            scp = Way("scp", "", "")
            for number in range(options.rounds):
                for kind, count, size in (
                    ("large", 1, options.large),
                    ("small", options.small, SMALL),
                ):
                    objects = Objects.make(root / f"objects-{kind}", count, size)
                    if kind == "large":
                        copy(server, key, root, objects, scp)
                    for way in ways:
                        repo = f"bench/{kind}-{number}-{ways.index(way)}"
                        bare = root / "git" / repo
                        client.run(root, "", "init", "--quiet", "--bare", str(bare))
                        transfer(client, way, root, repo, objects, kind)
                        # Each is measured with the same room on the disk.
                        shutil.rmtree(bare)
                        shutil.rmtree(root / "store" / repo, ignore_errors=True)
                    shutil.rmtree(objects.directory)
            floors = {"large": scp, **({"small": ways[2]} if len(ways) > 2 else {})}
            report(ways, floors, options.large, options.small)


if __name__ == "__main__":
    main()
