"""OpenSSH's server, as a process on a port of its own, and its client."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import base_environ, wait_until
from tests.support.ssh_keys import make_key

#: Where Debian has the server, which is not in everybody's PATH.
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

#: Why tests that need the server are skipped; empty if it is there.
MISSING = "" if SSHD else "sshd is not installed (.ci/apt sshd=openssh-server)"

#: What makes a server end with whoever has started it, though that is killed.
_ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []

#: Where the server wants an empty directory, if root has started it.
_PRIVILEGE_SEPARATION = Path("/run/sshd")


def ssh_command(key: Path, *options: str) -> list[str]:
    """Return the command of OpenSSH's client that logs in with one key, and asks nobody.

    It keeps the keys of servers beside that key: a server that has another key the next time
    is refused.
    """
    settings = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": str(key),
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(key.with_name("known_hosts")),
        "LogLevel": "ERROR",
    }
    said = (f"-o{name}={value}" for name, value in settings.items())
    return ["ssh", "-F", "none", *said, *options]


@dataclass
class SSHServer:
    """``sshd`` in a directory of its own; whoever runs the tests may log in.

    :ivar directory: where it has its files.
    :ivar options: what its configuration says beside what every test needs.
    :ivar environ: additional variables of its sessions.
    """

    directory: Path
    options: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def authorized_keys(self) -> Path:
        """The file of keys that may log in."""
        return self.directory / "authorized_keys"

    @contextmanager
    def running(self) -> Iterator[SSHServer]:
        """Start it, and end it with all its sessions."""
        assert SSHD is not None
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(0o755, exist_ok=True)
        make_key(self.directory / "host_key")
        self.authorized_keys.touch(0o600)
        # A bash that sshd starts reads the .bashrc of whoever runs the tests, unless it is
        # below another one: that may take long, or print something.
        environ = {"SHLVL": "1", **self.environ}
        settings = {
            "Port": str(self.port),
            "ListenAddress": "127.0.0.1",
            "HostKey": str(self.directory / "host_key"),
            "PidFile": "none",
            "AuthorizedKeysFile": str(self.authorized_keys),
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            # The directories of tests are below one that everybody can write to.
            "StrictModes": "no",
            "PermitRootLogin": "yes",
            "MaxSessions": "100",
            "MaxStartups": "100",
            # What clients offer first costs a tenth of a second.
            "KexAlgorithms": "curve25519-sha256",
            "SetEnv": " ".join(f"{name}={value}" for name, value in environ.items()),
            **self.options,
        }
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with (self.directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_ENDS_WITH_US, SSHD, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(lambda: process.poll() is not None or self._listens(), "sshd to listen")
            if process.poll() is not None:
                raise AssertionError(f"sshd has ended: {self.log}")
            yield self
        finally:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text()

    def client(self, key: Path) -> list[str]:
        """Return the command of a client that logs in with a key."""
        return ssh_command(key, "-p", str(self.port))

    def shell_command(self, key: Path) -> str:
        """Return the same for ``GIT_SSH_COMMAND``."""
        return shlex.join(self.client(key))

    def run(
        self, key: Path, command: str, control: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Have a command run, and wait for its end.

        :param control: the socket of a connection that many commands share, which is made
            by the first; ``None`` for a connection of its own.
        """
        shared = []
        if control is not None:
            shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=10", "-S", str(control)]
        return subprocess.run(
            [*self.client(key), *shared, "127.0.0.1", *([command] if command else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=base_environ(),
            timeout=300,
        )
