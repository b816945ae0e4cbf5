"""Hold what the connections of the front for SSH share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from giftless.base.client_memory import Memory
from giftless.base.ssh_greeting import Listed, Owned, WhichKeys, WhoseKey
from giftless.interfaces import IBlocking
from giftless.monitoring.ssh import SSHCounter
from giftless.ssh.caller import Caller
from giftless.ssh.peers import Peers
from giftless.ssh.processor import Processor
from giftless.ssh.sessions import Sessions


class Keys(Protocol):
    """Knows whose keys are."""

    async def owner(self, asked: WhoseKey) -> Owned:
        """Tell whose a key is."""

    async def keys(self, asked: WhichKeys) -> Listed:
        """Tell all keys that can be listed."""


class Authentication(Protocol):
    """Answers ``git-lfs-authenticate``."""

    async def answer(self, caller: Caller) -> str:
        """Return what the command writes to its standard output.

        :raises giftless.errors.LFSError: if the client may not do that.
        """


@dataclass(frozen=True, slots=True)
class Context:
    """What each connection is given.

    :ivar clock: tells the time.
    :ivar blocking: reads downloads from the disk.
    :ivar memory: what is held in memory for clients.
    :ivar max_request: how large a request may be in memory, in bytes.
    :ivar peers: whose processes may say who a client is.
    :ivar sessions: the open connections.
    :ivar processor: answers requests; ``None`` if objects do not pass through the server.
    :ivar keys: knows whose keys are; ``None`` if nobody does.
    :ivar authentication: answers ``git-lfs-authenticate``; ``None`` if nobody does.
    :ivar counter: counts sessions and requests; ``None`` if nobody is told.
    """

    clock: IReactorTime
    blocking: IBlocking
    memory: Memory
    max_request: int
    peers: Peers
    sessions: Sessions
    processor: Processor | None
    keys: Keys | None = None
    authentication: Authentication | None = None
    counter: SSHCounter | None = None
