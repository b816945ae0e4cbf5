"""Plan how many processes of each kind a configuration wants."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from giftless.app.config import Loaded
from giftless.app.cpus import number_of_workers
from giftless.runtime.orders import SSHOrders, write_orders, write_ssh_orders
from giftless.runtime.sockets.endpoints import (
    Listening,
    session_socket,
    ssh_listenings,
    worker_listenings,
)
from giftless.runtime.supervision.process import Plan
from giftless.sshd.options import ListenerOptions

#: How many seconds longer than its own time-out a process may take to end.
#: ``TimeoutStopSec=`` in the unit is longer still.
PATIENCE: Final = 5

#: What starts a worker.  ``-P``: nothing is imported from where it runs, which
#: may be a directory that the service writes to.  It is a program of its own, not a
#: copy of the parent, which has not imported what only workers need.
WORKER: Final = (sys.executable, "-P", "-m", "giftless.runtime.worker")

#: What starts a process that serves SSH.
SSH_WORKER: Final = (sys.executable, "-P", "-m", "giftless.runtime.ssh_worker")

#: What such a process inherits of the environment, as names and as beginnings of names:
#: nothing that could be a secret, since whoever connects talks to it before he logs in.
_INHERITED: Final = {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"}
_INHERITED_PREFIXES: Final = ("COVERAGE_", "LC_", "MALLOC_", "PYTHON")


def plan_workers(
    loaded: Loaded, descriptors: Mapping[Listening, int], log_format: str, shared: int
) -> Plan:
    """Say which workers are wanted.

    :param descriptors: the sockets of all endpoints.
    :param log_format: ``text`` or ``json``.
    :param shared: the descriptor of the memory that all workers share.
    """
    options = loaded.config
    return Plan(
        number_of_workers(options),
        write_orders(loaded, log_format),
        [descriptors[endpoint] for endpoint in worker_listenings(options)],
        options.shutdown_timeout + PATIENCE,
        shared,
    )


def plan_ssh(
    loaded: Loaded, descriptors: Mapping[Listening, int], log_format: str, shared: int
) -> Plan:
    """Say which processes are wanted that serve SSH: none, if it has no endpoints.

    Parameters are those of :func:`plan_workers`.
    """
    options = loaded.config
    endpoints = ssh_listenings(options.ssh.endpoints)
    return Plan(
        options.ssh.processes if endpoints else 0,
        write_ssh_orders(ssh_orders(loaded, log_format)),
        [descriptors[endpoint] for endpoint in endpoints],
        options.shutdown_timeout + PATIENCE,
        shared,
    )


def ssh_orders(loaded: Loaded, log_format: str) -> SSHOrders:
    """Say what a process that serves SSH is told when it starts.

    :param log_format: ``text`` or ``json``.
    """
    config, ssh = loaded.config, loaded.config.ssh
    options = ListenerOptions(
        host_keys=ssh.host_keys,
        state_dir=config.state_dir,
        socket=session_socket(config),
        login_timeout=float(ssh.login_timeout),
        login_attempts=ssh.login_attempts,
        max_logins=ssh.max_logins,
        max_channels=ssh.max_channels,
    )
    return SSHOrders(
        *(ssh.endpoints, ssh.processes, config.shutdown_timeout, options, log_format),
        config.trusted_proxies,
    )


def environment_of_ssh(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a process that serves SSH inherits of the environment."""
    return {
        name: value
        for name, value in environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
