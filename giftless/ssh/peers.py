"""Whose processes may say over the Unix socket who a client is."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

from giftless.base.showing import describe
from giftless.errors import ConfigError

#: What Linux tells of the process at the other end: its id, its user and its group.
_CREDENTIALS: Final = struct.Struct("3i")


class Peers:
    """Asks the kernel whose process is at the other end of a connection.

    :param trusted: names or numbers of users whose processes are believed, beside those of
        this process's own user.
    :raises ConfigError: if there is no such user.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = {os.geteuid(), *(_uid(index, it) for index, it in enumerate(trusted))}
        self._refused: set[int | None] = set()

    def uid(self, transport: Any) -> int | None:
        """Return the id of the user at the other end; ``None`` if that cannot be known."""
        connection: socket.socket = transport.getHandle()
        if connection.family != socket.AF_UNIX:
            return None
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid: int = _CREDENTIALS.unpack(told)[1]
        return uid

    def is_news(self, uid: int | None) -> bool:
        """Whether a user is refused for the first time: the log need not say it again."""
        new = uid not in self._refused
        self._refused.add(uid)
        return new

    def trusts(self, uid: int | None) -> bool:
        """Whether that user's processes are believed."""
        return uid in self._trusted


def _uid(index: int, name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        problem = f"found {describe(name)}, allowed is the name or the number of a user"
        raise ConfigError(f"ssh.trusted.{index}", problem) from None
