"""Import what giftless needs, then fork for each script that is to be run.

A script that ``tests/support/commands.py`` starts.  Its arguments are the descriptor
of a socket and the modules to import, ``-OpenSSL`` first if they are imported as if it
were not installed.  An order is a JSON object with ``command``, ``directory``, ``environ``
and ``workers``, beside the descriptors of stdin, stdout, stderr and of a socket for the
answers: the process id and, when it has ended, the exit status.

A daemon's parent starts its workers by Twisted.  The first ``workers`` of them have been
forked from here for it: they run the same program with the same descriptors and the same
environment.  All others are started by Python, as everywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

#: What a fork must import by itself: a reactor's descriptors cannot be shared.
REACTOR = "twisted.internet.reactor"

#: Works out once in each process what options there are.
CONFIG = "giftless.app.config"

#: The module of the program that becomes a worker.
WORKER = "giftless.runtime.worker"

#: What a process is called (``/proc/PID/comm``) while it waits to become a worker.
WAITING = "waiting"

#: What this process is called.
COMM = Path("/proc/self/comm")

#: Says that what follows is imported as if OpenSSL were not installed.
WITHOUT_TLS = "-OpenSSL"

#: More than the highest descriptor that is open here.
MANY = 4096

#: How many descriptors come with one message at most.
DESCRIPTORS = 64

#: How many bytes a message has at most.
MESSAGE = 2**20


class _WithoutReactor:
    """Lets the import of whatever imports the reactor fail."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == REACTOR:
            raise ImportError(name)


def preload(names: Sequence[str]) -> None:
    """Import modules, and all in packages that does not import the reactor.

    :param names: what to import; :data:`WITHOUT_TLS` first if a worker without TLS is to
        find what it would have imported by itself.
    """
    sys.meta_path.insert(0, _WithoutReactor)
    plain = WITHOUT_TLS in names
    if plain:
        # As giftless.runtime.tls does.
        sys.modules["OpenSSL"] = None  # type: ignore[assignment]
    for name in names:
        if name == WITHOUT_TLS:
            continue
        path = getattr(importlib.import_module(name), "__path__", [])
        for module in pkgutil.walk_packages(path, f"{name}.", onerror=lambda _: None):
            # The worker is a program.
            if module.name != WORKER:
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    if plain:
        del sys.modules["OpenSSL"]
        # It would not know TLS even where it has to.
        assert "twisted.web.client" not in sys.modules
    sys.meta_path.remove(_WithoutReactor)
    gc.freeze()


def read_defaults() -> None:
    """Read the configuration that giftless has without a file, if its module is imported.

    Forks then find worked out what options there are, which takes an eighth of the start of a
    daemon.  They look for plugins themselves: a test may have added some.
    """
    if CONFIG in sys.modules:
        sys.modules[CONFIG].load(None, {})
        gc.freeze()


@dataclass
class Prepared:
    """A process that waits to become a worker.

    :ivar pid: its process id.
    :ivar orders: takes what the worker is to be, and its descriptors.
    """

    pid: int
    orders: socket.socket

    def start(
        self,
        command: Sequence[str],
        directory: str,
        environ: Mapping[str, str],
        descriptors: Mapping[int, int],
    ) -> None:
        """Let it run a program.

        :param command: an interpreter, its options, ``-m``, a module and its arguments.
        :param directory: where it runs.
        :param environ: its whole environment.
        :param descriptors: of this process, by the numbers that they get.
        """
        mask = os.umask(0)
        os.umask(mask)
        order = {
            "command": command[command.index("-m") :],
            "directory": directory,
            "environ": environ,
            "umask": mask,
            "numbers": list(descriptors),
        }
        with self.orders:
            socket.send_fds(self.orders, [json.dumps(order).encode()], list(descriptors.values()))


def prepare(number: int) -> list[Prepared]:
    """Fork processes that wait to become this one's workers, as long as it runs."""
    prepared: list[Prepared] = []
    for _ in range(number):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            for each in (ours, *(one.orders for one in prepared)):
                each.close()
            name = COMM.read_text()
            COMM.write_text(WAITING)
            message, descriptors, _, _ = socket.recv_fds(theirs, MESSAGE, DESCRIPTORS)
            theirs.detach()
            if message:
                COMM.write_text(name)
                order = json.loads(message)
                os.umask(order["umask"])
                live_as(order, dict(zip(order["numbers"], descriptors, strict=True)))
            os._exit(0)
        theirs.close()
        prepared.append(Prepared(pid, ours))
    return prepared


def start_workers_from(prepared: list[Prepared]) -> None:
    """Let Twisted start workers as processes that are prepared, as long as there are any."""
    process: Any = importlib.import_module("twisted.internet.process").Process
    spawn = process._trySpawnInsteadOfFork

    def start(
        self: Any,
        path: str,
        uid: int | None,
        gid: int | None,
        executable: str,
        arguments: Sequence[bytes],
        environ: Mapping[bytes, bytes],
        options: Mapping[str, Any],
    ) -> bool:
        command = [os.fsdecode(argument) for argument in arguments]
        if not prepared or WORKER not in command:
            return bool(spawn(self, path, uid, gid, executable, arguments, environ, options))
        variables = {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()}
        worker = prepared.pop()
        worker.start(command, path, variables, options["fdmap"])
        # What Twisted notes of a process that it has started.
        self.pid, self.status = worker.pid, -1
        return True

    process._trySpawnInsteadOfFork = start


def open_streams() -> None:
    """Open stdin, stdout and stderr anew: what they lead to may be a file here, and a terminal
    or a pipe there, which Python asks only once.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        before = getattr(sys, name)
        stream = os.fdopen(
            number,
            mode,
            # By lines, or as much as suits the file.
            1 if name == "stderr" or os.isatty(number) else -1,
            encoding=before.encoding,
            errors=before.errors,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def become(order: dict[str, Any], descriptors: Mapping[int, int]) -> None:
    """Run the order's script in this process, which has nothing else of its parent's.

    :param descriptors: what it has open, by the numbers that they get.
    """
    above = max(descriptors) + 1
    moved = {
        number: fcntl.fcntl(descriptor, fcntl.F_DUPFD, above)
        for number, descriptor in descriptors.items()
    }
    os.closerange(0, above)
    for number, descriptor in moved.items():
        os.dup2(descriptor, number)
    os.closerange(above, MANY)
    open_streams()
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environ"])
    if workers := order.get("workers"):
        start_workers_from(prepare(workers))
    sys.argv = order["command"]
    if sys.argv[0] == "-c":
        program = compile(sys.argv.pop(1), "<string>", "exec")
        exec(program, {"__name__": "__main__"})
    elif sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def live_as(order: dict[str, Any], descriptors: Mapping[int, int]) -> NoReturn:
    """Run the order's script, and end as Python does.

    All but one thing: nothing takes apart what was imported before the fork, which costs
    more than most scripts.
    """
    status = 0
    try:
        become(order, descriptors)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        # Python has words for that.
        sys.exit(status)
    os._exit(status)


def main() -> None:
    """Fork until the other end of the socket is closed."""
    del sys.path[0]
    connection = socket.socket(fileno=int(sys.argv[1]))
    preload(sys.argv[2:])
    read_defaults()
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
            message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE, 4)
            if not message:
                return
            *files, answers = descriptors
            pid = os.fork()
            if not pid:
                # Its descriptor is closed, and will be that of something else.
                connection.detach()
                live_as(json.loads(message), dict(enumerate(files)))
            for file in files:
                os.close(file)
            os.write(answers, b"%d" % pid)
            descriptor = os.pidfd_open(pid)
            running[descriptor] = (pid, answers)
            events.register(descriptor, select.POLLIN)


if __name__ == "__main__":
    main()
