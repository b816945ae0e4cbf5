"""The orders that the parent gives a worker when it starts it."""

from __future__ import annotations

import msgspec

from giftless.app.config import Loaded
from giftless.runtime.supervision.process import RELOADED
from giftless.sshd.options import ListenerOptions


class Orders(msgspec.Struct, frozen=True):
    """What a worker is told when it starts.

    After an upgrade the parent may be older than the worker: a new member needs
    a default, and one that is not known is passed over.

    The configuration comes as its text: its file may have changed since the
    parent read it, and workers of one generation must be alike.

    :ivar source: the file's name; empty for the embedded defaults.
    :ivar text: what was in it.
    :ivar log_format: how to log: as the parent does.
    """

    source: str
    text: str
    log_format: str = "text"


class SSHOrders(msgspec.Struct, frozen=True):
    """What a process that serves SSH is told when it starts: only what it needs.

    The rules for new members are those of :class:`Orders`.

    :ivar endpoints: where it listens, as Twisted server endpoint strings.
    :ivar processes: how many of its kind there are.
    :ivar shutdown_timeout: how long sessions may take to end after SIGTERM, in seconds.
    :ivar options: what it is to do.
    :ivar log_format: how to log: as the parent does.
    :ivar trusted_proxies: whose word counts about the address of a client.
    """

    endpoints: list[str]
    processes: int
    shutdown_timeout: float
    options: ListenerOptions
    log_format: str = "text"
    trusted_proxies: list[str] = []


class _Logging(msgspec.Struct, frozen=True):
    """What all orders have in common."""

    log_format: str = "text"


class Reload(msgspec.Struct, frozen=True):
    """What one worker is told when the parent has read its configuration again.

    :ivar source: the configuration file; empty if there is none.
    :ivar problem: why the configuration stays as it was; empty if the new one holds.
    """

    source: str
    problem: str


def write_reload(source: str, problem: str) -> bytes:
    """Write down how a reload has ended, in one line."""
    return RELOADED + b" " + msgspec.json.encode(Reload(source, problem))


def read_reload(line: bytes) -> Reload:
    """Read what :func:`write_reload` has written."""
    return msgspec.json.decode(line.removeprefix(RELOADED), type=Reload)


def write_orders(loaded: Loaded, log_format: str) -> bytes:
    """Write orders down, in one line."""
    return msgspec.json.encode(Orders(loaded.source, loaded.text, log_format))


def write_ssh_orders(orders: SSHOrders) -> bytes:
    """Write the orders of a process that serves SSH down, in one line."""
    return msgspec.json.encode(orders)


def read_ssh_orders(line: bytes) -> SSHOrders:
    """Read what :func:`write_ssh_orders` has written."""
    return msgspec.json.decode(line, type=SSHOrders)


def log_format_of(line: bytes) -> str:
    """Return how the orders of whatever process want it to log."""
    return msgspec.json.decode(line, type=_Logging).log_format


def read_orders(line: bytes) -> Orders:
    """Read what :func:`write_orders` has written."""
    return msgspec.json.decode(line, type=Orders)
