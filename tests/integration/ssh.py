"""git, and git-lfs of several versions, over SSH, and their sessions spoken by hand."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.integration.support import Git, GitRepo
from tests.ssh.client import Conversation
from tests.support.processes import PATIENCE, base_environ, installed

#: Where versions of git-lfs are beside the system's.
_VERSIONS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "giftless/git-lfs"

#: The scripts of the documentation.
_SCRIPTS = Path(__file__).parents[2] / "examples" / "ssh"

#: The first version that speaks ``git-lfs-transfer``, and the first that can be told to.
_FIRST_PURE = (3, 0)
_FIRST_TOLD = (3, 5)


@cache
def git_lfs_versions() -> dict[tuple[int, ...], str]:
    """Return the versions of git-lfs that there are, and the directory of each.

    The directory of the system's own is empty text.
    """
    printed = subprocess.run(
        ["git-lfs", "version"], check=True, capture_output=True, text=True
    ).stdout
    found = {_parsed(printed.removeprefix("git-lfs/").split()[0]): ""}
    for directory in sorted(_VERSIONS.glob("*/git-lfs")):
        found[_parsed(directory.parent.name)] = str(directory.parent)
    return found


def ways(version: tuple[int, ...]) -> Sequence[str]:
    """Return the ways that a version can go, as ``lfs.sshtransfer`` has them.

    ``always``: everything over SSH; ``never``: over HTTP, with a token.
    """
    if version < _FIRST_PURE:
        return ("never",)
    return ("always",) if version < _FIRST_TOLD else ("always", "never")


def giftless_command() -> str:
    """Return the command ``giftless`` of the Python that runs the tests."""
    return str(Path(installed().python).with_name("giftless"))


def install_script(name: str, path: Path, socket: Path, repositories: Path) -> None:
    """Install a script of the documentation, for the paths of a test.

    :param socket: the daemon's Unix socket.
    :param repositories: where git's repositories are.
    """
    text = (_SCRIPTS / name).read_text()
    for usual, ours in (
        ("exec giftless", f"exec {giftless_command()}"),
        ("/run/giftless/ssh.sock", str(socket)),
        ("/srv/git", str(repositories)),
    ):
        text = text.replace(usual, ours)
    path.write_text(text)
    path.chmod(0o755)


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@dataclass
class SSHGit(Git):
    """git over SSH.

    :ivar ssh: ``GIT_SSH_COMMAND``.
    :ivar directory: where its git-lfs is; empty for the system's.
    """

    ssh: str = ""
    directory: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of git."""
        environ = {**super().environ, "GIT_SSH_COMMAND": self.ssh, **self.more}
        if self.directory:
            environ["PATH"] = f"{self.directory}:{environ['PATH']}"
        return environ

    def start(self, directory: Path, url: str) -> GitRepo:
        """Make a repository whose remote is reached over SSH, and so are its objects."""
        repo = self.track(directory, url)
        repo.commit_files([".gitattributes"])
        return repo

    def fetch(self, url: str, directory: Path) -> GitRepo:
        """Clone over SSH, with all objects."""
        self.run(self.home, "clone", "--quiet", url, str(directory))
        return GitRepo(self, directory, Path(url))


def git_over_ssh(home: Path, ssh: str, version: tuple[int, ...] | None = None) -> SSHGit:
    """Set up git and git-lfs, which takes a refusal for one at once.

    :param ssh: ``GIT_SSH_COMMAND``.
    :param version: which git-lfs; ``None`` for the newest that there is.
    """
    versions = git_lfs_versions()
    git = SSHGit(home, ssh=ssh, directory=versions[version or max(versions)])
    git.run(home, "config", "--global", "lfs.ssh.retries", "0")
    return git


class Transfer(Conversation):
    """A session of ``git-lfs-transfer`` through OpenSSH's client.

    :param command: the client's, with what it runs on the server.
    :ivar process: the client.
    """

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            self.process = subprocess.Popen(command, stdin=end, stdout=end, env=base_environ())
        super().__init__(ours, PATIENCE)
        assert self.texts() == ["version=1", "locking"]

    def leave(self) -> int:
        """Send no more, and wait until the client has ended; returns its status."""
        with contextlib.suppress(OSError):
            self.end()
        status = self.process.wait(PATIENCE)
        self.close()
        return status

    def kill(self) -> None:
        """Kill the client."""
        self.process.kill()
        self.process.wait()
        self.close()
