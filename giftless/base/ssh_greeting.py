"""What passes over the Unix socket by which keys and sessions of SSH reach a worker.

The worker asks the kernel which user's process connects, and believes the daemon's own
user and those of ``ssh.trusted``.  The process sends one line of JSON, and gets one line
of JSON back.  If that is an :class:`Admitted` that is open, the bytes of
``git-lfs-transfer`` follow in both directions.  A worker that ends the session closes its
direction alone, and the other side closes the connection then.  If both directions end at
once (``POLLHUP`` of poll(2)), the worker is gone.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

#: The longest line that asks, in bytes; one that lists keys may be longer.
MAX_LINE: Final = 64 * 1024


class WhoseKey(msgspec.Struct, frozen=True, tag_field="ask", tag="owner"):
    """Asks whose a key is; answered by :class:`Owned`.

    :ivar blob: see :class:`giftless.interfaces.OfferedKey`, as the next two.
    """

    blob: bytes
    login: str = ""
    address: str = ""


class WhichKeys(msgspec.Struct, frozen=True, tag_field="ask", tag="keys"):
    """Asks for all keys that can be listed; answered by :class:`Listed`."""


class Session(msgspec.Struct, frozen=True, tag_field="ask", tag="session"):
    """Begins what a user has asked for; answered by :class:`Admitted`.

    :ivar user: the user, whom the process that asks has identified.
    :ivar realm: the text of the realm that the user is in.
    :ivar command: what the user wants to run, as it came (``SSH_ORIGINAL_COMMAND``).
    :ivar address: the user's IP address; empty if unknown.
    """

    user: str
    realm: str
    command: str
    address: str = ""


Greeting: TypeAlias = WhoseKey | WhichKeys | Session


class Owned(msgspec.Struct, frozen=True):
    """Whose a key is.

    :ivar user: the user; empty if nobody's.
    :ivar realm: the text of the realm that the user is in.
    :ivar problem: why that cannot be told now; empty if it can.
    """

    user: str = ""
    realm: str = ""
    problem: str = ""


class ListedKey(msgspec.Struct, frozen=True):
    """One key; see :class:`giftless.interfaces.KnownKey`."""

    user: str
    realm: str
    line: str


class Listed(msgspec.Struct, frozen=True):
    """Keys that can be listed.

    :ivar problem: why some are not told now; empty if all are.
    """

    keys: tuple[ListedKey, ...] = ()
    problem: str = ""


class Admitted(msgspec.Struct, frozen=True):
    """How a session begins.

    :ivar open: whether bytes follow in both directions; whoever asked ends with status 0
        when they end.  Otherwise this is the whole session.
    :ivar status: what to exit with, if it is not open.
    :ivar stdout: what to write to standard output, if it is not open.
    :ivar stderr: the same for standard error.
    """

    open: bool = False
    status: int = 0
    stdout: str = ""
    stderr: str = ""
