"""The ``ssh`` section: whether and how Git LFS is served over SSH."""

from __future__ import annotations

from typing import Annotated

import msgspec

from giftless.base.units import Duration
from giftless.interfaces import Section


class SSHOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``ssh`` section.

    :ivar endpoints: where clients of SSH connect, as Twisted server endpoint strings.
    :ivar host_keys: the files of the private keys by which clients know the server; if
        there are none, one is made in the state directory.
    :ivar keys: who knows whose keys are: a list of keyrings, asked in order.
    :ivar socket: the Unix socket by which ``giftless ssh-serve`` and the processes of
        :attr:`endpoints` reach the workers; empty for ``ssh.sock`` in the state directory.
    :ivar trusted: names or numbers of the users whose processes may say who a client is,
        beside the daemon's own.
    :ivar processes: how many processes serve the endpoints.
    :ivar login_timeout: how long a client may take to log in.
    :ivar login_attempts: how many keys it may offer for that.
    :ivar max_logins: how many clients may be logging in at once, to one process.
    :ivar max_channels: how many sessions a connection may have open at once.
    :ivar token_lifetime: for how long the answers of ``git-lfs-authenticate`` are good.
    """

    endpoints: list[str] = []
    host_keys: list[str] = []
    keys: list[Section] = []
    socket: str = ""
    trusted: list[str] = []
    processes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    login_timeout: Duration = Duration(60)
    login_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 6
    max_logins: Annotated[int, msgspec.Meta(ge=1)] = 100
    max_channels: Annotated[int, msgspec.Meta(ge=1)] = 64
    token_lifetime: Duration = Duration(86_400)

    @property
    def enabled(self) -> bool:
        """Whether anything is served over SSH."""
        return bool(self.endpoints or self.socket or self.trusted)
