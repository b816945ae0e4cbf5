"""Import what giftless needs, then fork for each script that is to be run.

A script that ``tests/support/commands.py`` starts.  Its arguments are the descriptor
of a socket and the modules to import.  An order is a JSON object with ``command``,
``directory`` and ``environ``, beside the descriptors of stdin, stdout, stderr and of a
socket for the answers: the process id and, when it has ended, the exit status.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
from collections.abc import Sequence
from typing import Any

#: What a fork must import by itself: a reactor's descriptors cannot be shared.
REACTOR = "twisted.internet.reactor"

#: More than the highest descriptor that is open here.
MANY = 4096


class _WithoutReactor:
    """Lets the import of whatever imports the reactor fail."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == REACTOR:
            raise ImportError(name)


def preload(names: Sequence[str]) -> None:
    """Import modules, and all in packages that does not import the reactor."""
    sys.meta_path.insert(0, _WithoutReactor)
    for name in names:
        path = getattr(importlib.import_module(name), "__path__", [])
        for module in pkgutil.walk_packages(path, f"{name}.", onerror=lambda _: None):
            # The worker is a program.
            if module.name != "giftless.runtime.worker":
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    sys.meta_path.remove(_WithoutReactor)
    gc.freeze()


def become(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Run the order's script in this process, which has nothing else of its parent's."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(len(descriptors), MANY)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environ"])
    sys.argv = order["command"]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    """Fork until the other end of the socket is closed."""
    del sys.path[0]
    connection = socket.socket(fileno=int(sys.argv[1]))
    preload(sys.argv[2:])
    # Processes and who is told of their ends, by a descriptor of that process.
    running: dict[int, tuple[int, int]] = {}
    events = select.poll()
    events.register(connection, select.POLLIN)
    while True:
        for descriptor, _ in events.poll():
            if descriptor in running:
                pid, answers = running.pop(descriptor)
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):
                    os.write(answers, b"%d" % os.waitstatus_to_exitcode(status))
                events.unregister(descriptor)
                os.close(descriptor)
                os.close(answers)
                continue
            message, descriptors, _, _ = socket.recv_fds(connection, 2**20, 4)
            if not message:
                return
            *files, answers = descriptors
            pid = os.fork()
            if not pid:
                become(json.loads(message), files)
                return
            for file in files:
                os.close(file)
            os.write(answers, b"%d" % pid)
            descriptor = os.pidfd_open(pid)
            running[descriptor] = (pid, answers)
            events.register(descriptor, select.POLLIN)


if __name__ == "__main__":
    main()
