"""Import what giftless needs, then fork for each script that is to be run.

A script that ``tests/support/commands.py`` starts.  Its argument is the descriptor
of a socket.  An order is a JSON object with ``command``, ``directory`` and
``environ``, beside the descriptors of stdin, stdout and stderr; the answers are the
process id and, later, the exit status.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
from collections.abc import Sequence
from typing import Any

#: What a fork must import by itself: a reactor's descriptors cannot be shared.
REACTOR = "twisted.internet.reactor"


class _WithoutReactor:
    """Lets the import of whatever imports the reactor fail."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == REACTOR:
            raise ImportError(name)


def preload() -> None:
    """Import all of giftless that does not import the reactor."""
    import twisted.scripts.twistd  # noqa: F401

    import giftless

    sys.meta_path.insert(0, _WithoutReactor)
    for module in pkgutil.walk_packages(giftless.__path__, "giftless.", onerror=lambda _: None):
        # The worker is a program.
        if module.name != "giftless.runtime.worker":
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    sys.meta_path.remove(_WithoutReactor)
    gc.freeze()


def become(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Make this process the one that the order asks for."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environ"])
    sys.argv = order["command"]


def main() -> None:
    """Fork until the other end of the socket is closed."""
    del sys.path[0]
    connection = socket.socket(fileno=int(sys.argv[1]))
    preload()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 2**20, 3)
        if not message:
            return
        pid = os.fork()
        if not pid:
            connection.close()
            become(json.loads(message), descriptors)
            runpy.run_path(sys.argv[0], run_name="__main__")
            return
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(b"%d" % pid)
        _, status = os.waitpid(pid, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
