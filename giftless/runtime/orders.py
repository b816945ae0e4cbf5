"""What the parent tells a worker when it starts it."""

from __future__ import annotations

import sys
from typing import Final

import msgspec

from giftless.app.config import Loaded
from giftless.runtime.supervision.process import RELOADED

#: What starts a worker.  ``-P``: nothing is imported from where it runs, which
#: may be a directory that the service writes to.  It is a program of its own, not a
#: copy of the parent, which has not imported what only workers need.
COMMAND: Final = (sys.executable, "-P", "-m", "giftless.runtime.worker")


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


def read_orders(line: bytes) -> Orders:
    """Read what :func:`write_orders` has written."""
    return msgspec.json.decode(line, type=Orders)
