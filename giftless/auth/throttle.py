"""Slow down clients that guess credentials.

Failures are counted per client address in a table of bounded size.  An address
with too many in one window is told to wait, before its next credential is even
looked at; one good credential clears it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from giftless.errors import TooManyFailures, Unauthorized
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo

#: How many addresses are remembered; the one that failed longest ago goes first.
TABLE_SIZE: Final = 10_000


class FailureTable:
    """Counts failures per address within windows of time.

    :param limit: how many are allowed within one window.
    :param window: the window's length in seconds.
    :param reactor: tells the time.
    """

    def __init__(self, limit: int, window: float, reactor: IReactorTime) -> None:
        self._limit = limit
        self._window = window
        self._reactor = reactor
        self._entries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count one failure."""
        now = self._reactor.seconds()
        begun, count = self._entries.pop(address, (now, 0))
        if now - begun >= self._window:
            begun, count = now, 0
        self._entries[address] = (begun, count + 1)
        if len(self._entries) > TABLE_SIZE:
            self._entries.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget an address's failures."""
        self._entries.pop(address, None)

    def wait(self, address: str) -> int:
        """Return how many seconds an address must wait; 0 if it need not."""
        begun, count = self._entries.get(address, (0.0, 0))
        left = begun + self._window - self._reactor.seconds()
        return math.ceil(left) if count >= self._limit and left > 0 else 0


@implementer(IAuthenticator)
class Throttled:
    """Refuses the credentials of addresses that have failed too often.

    :param authenticator: checks the credentials of all others.
    :param failures: counts the failures of each address.
    """

    def __init__(self, authenticator: IAuthenticator, failures: FailureTable) -> None:
        self._authenticator = authenticator
        self._failures = failures

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises TooManyFailures: if the address has failed too often lately.
        """
        if not credentials.given:
            return await self._authenticator.authenticate(credentials, repo)
        address = credentials.address
        wait = self._failures.wait(address)
        if wait:
            raise TooManyFailures(
                f"too many bad credentials from this address; try again in {wait} seconds", wait
            )
        try:
            identity = await self._authenticator.authenticate(credentials, repo)
        except Unauthorized:
            self._failures.failed(address)
            raise
        if identity is not None and not identity.anonymous:
            self._failures.succeeded(address)
        return identity
