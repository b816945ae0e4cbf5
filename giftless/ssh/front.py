"""The front for SSH: what serves the Unix socket by which sessions reach a worker."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from zope.interface import implementer

from giftless.interfaces import IFront
from giftless.ssh.context import Context
from giftless.ssh.greeting import GreetingProtocol

#: What the front is called.
NAME: Final = "ssh"


class _SSHConnections(Factory):
    """Makes the protocol of each connection."""

    noisy = False

    def __init__(self, context: Context) -> None:
        self._context = context

    def buildProtocol(self, addr: IAddress | None) -> GreetingProtocol:
        return GreetingProtocol(self._context)


@implementer(IFront)
class SSHFront:
    """Serves keys and sessions.

    :param context: what its connections have in common.
    """

    name: Final = NAME

    def __init__(self, context: Context) -> None:
        self.factory = _SSHConnections(context)
        self._sessions = context.sessions

    async def start(self) -> None:
        """Do nothing: the front is ready when it is made."""

    def retire(self) -> Deferred[None]:
        """See :meth:`giftless.interfaces.IFront.retire`."""
        return self._sessions.retire()

    def drain(self, timeout: float) -> Deferred[None]:
        """See :meth:`giftless.interfaces.IFront.drain`."""
        return self._sessions.drain(timeout)
