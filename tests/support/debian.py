"""A Debian of its own, with systemd, for tests that install the package.

It is no virtual machine but namespaces (mounts, processes, network and so on); its network is
a loopback interface.  Its disk is the clean root of ``.ci/rootfs``, with what it writes in
memory.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest

from tests.support.processes import PATIENCE, base_environ, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]

#: What is set in it.
ENVIRON: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

#: Becomes its first process: ``$1`` is the clean root, ``$2`` the folder of :class:`Machine`.
_BOOT: Final = """
set -e
mount --make-rprivate /
mkdir $2/memory
mount -t tmpfs tmpfs $2/memory
cd $2/memory
mkdir upper work root
mount -t overlay overlay -o lowerdir=$1,upperdir=upper,workdir=work root
cd root
# It is thrown away: nothing in it need reach the disk.
echo force-unsafe-io >etc/dpkg/dpkg.cfg.d/test
# A third of all files: nobody opens them here.
echo 'path-exclude=*/site-packages/botocore/data/*' >>etc/dpkg/dpkg.cfg.d/test
echo 'path-exclude=*/site-packages/twisted/*test/*' >>etc/dpkg/dpkg.cfg.d/test
# Nobody logs in.
ln -s /dev/null etc/systemd/system/getty.target
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mount --bind $2/shared mnt
mkdir run/before
# Not chroot, where nobody may make the namespace of users that the unit asks for.
pivot_root . run/before
export container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin
umount -l /run/before
exec /lib/systemd/systemd --system --log-target=null --show-status=no
"""


@functools.cache
def clean_root() -> Path:
    """Return the clean root of ``.ci/rootfs``.

    :raises SkipTest: if there is none.
    """
    made = subprocess.run([ROOT / ".ci" / "rootfs"], capture_output=True, text=True)
    if not made.stdout:
        raise SkipTest(made.stderr.strip().removeprefix("giftless: "))
    return Path(made.stdout.strip())


@functools.cache
def package() -> Path:
    """Build the package, once in a process, and not compressed."""
    target = Path(tempfile.mkdtemp(prefix="giftless-deb-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    made = subprocess.run(
        [ROOT / ".ci" / "deb", target],
        env={**base_environ(), "COMPRESSION": "none"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise AssertionError(made.stdout + made.stderr)
    return Path(made.stdout.strip())


def with_version(archive: Path, version: str, target: Path) -> None:
    """Write a copy of a package with another version: only its control file is packed anew."""
    with tempfile.TemporaryDirectory() as scratch:
        control = Path(scratch, "control")
        subprocess.run(["dpkg-deb", "--control", archive, control], check=True)
        lines = (control / "control").read_text().splitlines()
        changed = [f"Version: {version}" if it.startswith("Version: ") else it for it in lines]
        (control / "control").write_text("\n".join(changed) + "\n")
        shutil.copy(archive, target)
        subprocess.run(["tar", "-C", control, "-cf", Path(scratch, "control.tar"), "."], check=True)
        subprocess.run(["ar", "r", target, "control.tar"], cwd=scratch, check=True)


class Machine:
    """A Debian that runs.

    :param directory: an empty folder.
    :raises SkipTest: if it cannot be made here.
    :ivar shared: a folder that is ``/mnt`` in it.
    """

    def __init__(self, directory: Path) -> None:
        root = clean_root()
        self.shared = directory / "shared"
        self.shared.mkdir()
        self._groups = _control_group()
        # It joins its control group before it makes a namespace of it.
        join = (
            'echo $$ >"$1/cgroup.procs" && shift &&'
            ' exec setpriv --pdeathsig KILL unshare -C -m -p -f -n -u -i --kill-child bash -c "$@"'
        )
        self._log = directory / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", join, "join", self._groups, _BOOT, "boot", root, directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._has_booted, "systemd to run")
        except BaseException:
            self.stop()
            raise

    @property
    def _first(self) -> int:
        """Its first process, as others see it."""
        of = self._process.pid
        return int(Path(f"/proc/{of}/task/{of}/children").read_text().split()[0])

    def _has_booted(self) -> bool:
        if self._process.poll() is not None:
            raise SkipTest(f"no systemd can be run here: {self._log.read_text().strip()}")
        with contextlib.suppress(OSError, IndexError):
            if Path(f"/proc/{self._first}/comm").read_text() == "systemd\n":
                state = self.try_run("systemctl", "is-system-running").stdout.strip()
                return state in ("running", "degraded")
        return False

    def stop(self) -> None:
        """End all of its processes."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        wait_until(self._is_gone, "its processes to end")

    def _is_gone(self) -> bool:
        groups = [Path(path) for path, _, _ in os.walk(self._groups, topdown=False)]
        try:
            for group in groups:
                group.rmdir()
        except OSError:
            return False
        return True

    def _enter(self, *namespaces: str) -> list[str]:
        return ["nsenter", "-t", str(self._first), *namespaces]

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root, whatever comes of it."""
        return subprocess.run(
            [*self._enter("-C", "-m", "-p", "-n", "-u", "-i", "-r", "-w"), *command],
            env=ENVIRON,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )

    def run(self, *command: str) -> str:
        """Run a command in it, as root, which must succeed.

        :returns: what it printed.
        """
        done = self.try_run(*command)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}")
        return done.stdout

    def shell(self, script: str) -> str:
        """Run a script of bash in it, as root, which must succeed."""
        return self.run("bash", "-euo", "pipefail", "-c", script)

    def in_network(self, *command: str) -> list[str]:
        """Return the command line of a command of this machine that runs in its network."""
        return [*self._enter("-n"), *command]

    def files(self) -> set[str]:
        """List its files, but for what the kernel, systemd and dpkg make while it runs."""
        found = self.run("find", "/", "-xdev", "-not", "-type", "d", "-printf", "%p\\n")
        return set(found.splitlines())


def _control_group() -> Path:
    """Make a control group for one machine.

    :raises SkipTest: if that is not permitted.
    """
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    try:
        return Path(tempfile.mkdtemp(prefix="giftless-test-", dir=places[0]))
    except (IndexError, OSError) as error:
        raise SkipTest(f"no control group can be made: {error}") from None
