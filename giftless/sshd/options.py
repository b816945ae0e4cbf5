"""The options of a process that listens for SSH."""

from __future__ import annotations

import msgspec


class ListenerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a process that listens for SSH: names of secret files, and no secret.

    :ivar host_keys: the files of the private keys by which clients know the server; if
        there are none, one is made in the state directory.
    :ivar state_dir: the state directory.
    :ivar socket: the Unix socket by which workers are reached.
    :ivar login_timeout: how long a client may take to log in, in seconds.
    :ivar login_attempts: how many keys it may offer for that.
    :ivar max_logins: how many clients may be logging in at once.
    :ivar max_channels: how many sessions a connection may have open at once.
    """

    host_keys: list[str]
    state_dir: str
    socket: str
    login_timeout: float
    login_attempts: int
    max_logins: int
    max_channels: int
