"""Containers of the image that ``.ci/image`` builds, run by runc as Docker runs them.

The root file system is read-only, there is no capability, and the network is the machine's.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.docs.pages import ROOT
from tests.support.processes import wait_until


@functools.cache
def image() -> tuple[str, Any]:
    """Build the image.

    :returns: the path of its root file system, and its configuration.
    :raises SkipTest: if it cannot be built here.
    """
    made = subprocess.run([ROOT / ".ci" / "image"], capture_output=True, text=True, check=True)
    if not made.stdout.strip():
        raise SkipTest(made.stderr.strip().splitlines()[-1])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "giftless/image"
    described = json.loads((cache / "image.json").read_text())
    return made.stdout.strip(), described["OCIv1"]["config"]


@dataclass
class Container:
    """A container that runs.

    :ivar name: what runc calls it.
    :ivar directory: where its files are, on the machine.
    """

    name: str
    directory: Path

    def start(
        self, volume: Path, environ: Mapping[str, str], user: str = "", memory: int = 0
    ) -> None:
        """Start it.

        :param volume: what is mounted where the image has its volume.
        :param environ: variables, beside those of the image.
        :param user: numbers of a user and a group, instead of the image's.
        :param memory: how many bytes it may use; 0 for any number.
        """
        root, config = image()
        uid, gid = map(int, (user or config["User"]).split(":"))
        (inside,) = config["Volumes"]
        variables = [*config["Env"], *(f"{name}={value}" for name, value in environ.items())]
        names = ("pid", "ipc", "uts", "mount", "cgroup")
        specification = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": config["Entrypoint"],
                "env": variables,
                "cwd": config["WorkingDir"],
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": root, "readonly": True},
            "hostname": "giftless",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {
                    "destination": "/dev",
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "mode=755", "size=65536k"],
                },
                {
                    "destination": "/sys/fs/cgroup",
                    "type": "cgroup",
                    "source": "cgroup",
                    "options": ["nosuid", "noexec", "nodev", "ro"],
                },
                {
                    "destination": inside,
                    "type": "bind",
                    "source": str(volume),
                    "options": ["rbind", "rw"],
                },
            ],
            "linux": {
                "namespaces": [{"type": name} for name in names],
                "resources": {"memory": {"limit": memory}} if memory else {},
            },
        }
        (self.directory / "config.json").write_text(json.dumps(specification))
        with (self.directory / "log").open("ab") as log:
            subprocess.run(
                [_runc(), "run", "--detach", "--bundle", self.directory, self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.directory / "log").read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        command = [_runc(), "exec", self.name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        subprocess.run([_runc(), "kill", self.name, name], check=True)

    def wait_until_ended(self) -> None:
        """Wait until its first process has ended."""
        wait_until(lambda: self._status() == "stopped", f"the end of {self.name}: {self.log}")

    def remove(self) -> None:
        """End it."""
        subprocess.run([_runc(), "delete", "--force", self.name], check=False)

    def has_begun(self) -> bool:
        """Tell whether its first process has started another."""
        first = self._state()["pid"]
        return bool(Path(f"/proc/{first}/task/{first}/children").read_text())

    def _status(self) -> str:
        return str(self._state()["status"])

    def _state(self) -> Any:
        state = subprocess.run([_runc(), "state", self.name], capture_output=True, check=True)
        return json.loads(state.stdout)


def _runc() -> str:
    return shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") or "runc"
