"""What the benchmarks share: processes, ports, clocks and objects."""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.support.ports import free_port

#: How long a server may take to start or stop, or a host to provide memory, in
#: seconds: tests start servers beside other load.
PATIENCE = 60

#: How much free memory is left alone, for whoever needs some meanwhile, and how
#: much is asked for at once, in bytes.
_UNTOUCHED = 1 << 30
_TOUCHED_AT_ONCE = 256 << 20


def timed(operation: Callable[[], object]) -> float:
    """Return how many seconds ``operation`` takes."""
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Content:
    """An object's bytes in a file.

    :ivar path: the file; of no use for an object that is only asked for.
    """

    oid: str
    size: int
    path: Path | None = None


def make_content(path: Path, size: int, number: int = 0) -> Content:
    """Write a file of ``size`` random bytes that begin with ``number``.

    What is there already is used again, so that another number costs a hash only.
    """
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))
    with path.open("r+b") as file:
        file.write(number.to_bytes(8, "big")[-size:])
    with path.open("rb") as file:
        return Content(hashlib.file_digest(file, "sha256").hexdigest(), size, path)


@contextmanager
def giftless(root: Path, cores: int = 0, **config: Any) -> Iterator[str]:
    """Run the daemon over ``root/store``; yields its URL.

    :param cores: how many it may use; 0 for all.
    :param config: keys of the configuration that differ.
    """
    port = free_port()
    with running(giftless_command(root, port, **config), port, root, cores=cores):
        yield f"http://127.0.0.1:{port}"


def giftless_command(root: Path, port: int, twistd: str = "", **config: Any) -> list[str]:
    """Write a configuration for the daemon over ``root/store``; returns its command.

    :param twistd: runs it; empty for the one beside this Python.
    """
    file = root / f"giftless-{port}.yaml"
    content = {
        "endpoints": [f"tcp:{port}:interface=127.0.0.1:backlog=1024"],
        "storage": {"type": "local", "path": str(root / "store")},
        "auth": [{"type": "anonymous", "access": "read-write"}],
        "state_dir": str(root / "state"),
        **config,
    }
    file.write_bytes(msgspec.json.encode(content))
    twistd = twistd or str(Path(sys.executable).with_name("twistd"))
    return [twistd, "-n", "--pidfile=", "giftless", "--config", str(file)]


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    root: Path,
    environ: Mapping[str, str] | None = None,
    cores: int = 0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; yields its process once it answers.

    :param root: its working directory; its output goes to a file there.
    :param environ: what its environment has beside this process's.
    :param cores: how many processors it may use; 0 for all.
    """
    log = root / f"{Path(command[0]).name}.log"
    pinned = ["taskset", "-c", f"0-{cores - 1}"] if cores else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*pinned, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environ or {})},
            cwd=root,
        )
    try:
        wait_for(port, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers.

    :raises RuntimeError: if it ends instead, or takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}")


def family(process: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [process]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def memory(process: int) -> int:
    """Return how much memory a process and its descendants hold, in bytes.

    Pages that they share count once (``Pss``).
    """
    total = 0
    for member in family(process):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def processor_time(process: int) -> float:
    """Return the processor time of a process and its descendants so far, in seconds.

    Both their own and what the kernel has spent for them (``utime`` and ``stime``).
    """
    ticks = 0
    for member in family(process):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def touch_memory() -> None:
    """Use most of the memory that is free, and leave it free.

    What a virtual machine has not used for a while its host has to provide
    again, page by page: that costs several times what a copy of them does.
    A host that is slow at that gets some time, and no more.
    """
    fields = Path("/proc/meminfo").read_text().split()
    free = int(fields[fields.index("MemFree:") + 1]) * 1024 - _UNTOUCHED
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while free > 0 and time.monotonic() < deadline:
            stack.enter_context(mmap.mmap(-1, _TOUCHED_AT_ONCE, flags=flags))
            free -= _TOUCHED_AT_ONCE
