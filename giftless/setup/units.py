"""What systemd is told beside giftless's own unit: a drop-in for what the answers change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giftless.app.config import Config
from giftless.app.cpus import PARENT_MEMORY, PROCESS_MEMORY, available
from giftless.setup.answers import SERVICE_DATA

#: The unit, and the drop-in in the directory of units.
UNIT: Final = "giftless.service"
DROP_IN: Final = "giftless.service.d/setup.conf"

#: What the unit itself says.
_UNIT_CONFIG: Final = "/etc/giftless/giftless.yaml"
_UNIT_PATH: Final = "/opt/giftless/bin"
UNIT_USER: Final = "giftless"
_UNIT_MEMORY: Final = 576

_TWISTD: Final = "/usr/bin/env twistd"

_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Service:
    """What the unit must fit.

    :ivar config: the path of the configuration.
    :ivar programs: the directory in which ``twistd`` and ``giftless`` are.
    :ivar user: whom the service runs as.
    :ivar written: the directories that it writes to.
    :ivar memory: how much memory it may take, in MiB.
    :ivar low_port: whether it listens on a port below 1024.
    """

    config: str
    programs: str
    user: str
    written: tuple[str, ...]
    memory: int
    low_port: bool


def drop_in(service: Service) -> str:
    """Write the drop-in; only a comment if the unit fits as it is."""
    written = [path for path in service.written if not Path(path).is_relative_to(SERVICE_DATA)]
    unit = [f"RequiresMountsFor={_path(path)}" for path in written]
    lines = list(_service(service, written))
    text = "# What the answers of giftless setup change of giftless.service.\n"
    if unit:
        text += "\n".join(["[Unit]", *unit, "", ""])
    if lines:
        text += "\n".join(["[Service]", *lines, ""])
    return text


def _service(service: Service, written: list[str]) -> Iterator[str]:
    if service.programs != _UNIT_PATH:
        yield f"Environment={_path(f'PATH={service.programs}:/usr/bin:/bin')}"
    if service.config != _UNIT_CONFIG:
        yield "ExecStartPre="
        yield f"ExecStartPre={_TWISTD} --pidfile= giftless --config {_word(service.config)} --check"
        yield "ExecStart="
        yield _start(service.config)
    if service.user != UNIT_USER:
        yield f"User={_specifiers(service.user)}"
        # The unit's group is of the unit's user.
        yield "Group="
    yield from (f"ReadWritePaths={_path(path)}" for path in written)
    if service.memory != _UNIT_MEMORY:
        yield f"MemoryMax={service.memory}M"
    if service.low_port:
        yield "# It listens on a port below 1024; in a namespace of users it could not."
        yield "AmbientCapabilities=CAP_NET_BIND_SERVICE"
        yield "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        yield "PrivateUsers=no"


def is_service_of(config: str, path: str, text: str) -> bool:
    """Whether a file of units belongs to the service with this configuration.

    Only the drop-in says; whatever is no drop-in may be anybody's.

    :param path: the path of the file.
    :param text: what is in it.
    """
    if not path.endswith(DROP_IN):
        return True
    starts = [line for line in text.splitlines() if line.startswith("ExecStart=/")]
    return starts == ([] if config == _UNIT_CONFIG else [_start(config)])


def user_of(text: str) -> str:
    """Return the user that a drop-in names; empty if it names none."""
    found = re.search(r"^User=(.+)$", text, re.MULTILINE)
    return found[1].replace("%%", "%") if found else ""


def memory_of(options: Config) -> int:
    """Return how much memory a service may take, old and new workers together, in MiB."""
    workers = available() if options.workers == "auto" else options.workers
    needed = PARENT_MEMORY + 2 * workers * (PROCESS_MEMORY + options.limits.memory)
    if options.ssh.endpoints:
        needed += 2 * options.ssh.processes * PROCESS_MEMORY
    return -(-needed // _MIB)


def _start(config: str) -> str:
    return f"ExecStart={_TWISTD} --nodaemon --pidfile= giftless --config {_word(config)}"


def _word(path: str) -> str:
    """Write a path in a command."""
    return _path(path).replace("$", "$$")


def _path(path: str) -> str:
    return f'"{_specifiers(_quotable(path))}"'


def _quotable(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
