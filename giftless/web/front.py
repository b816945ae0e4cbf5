"""The front for HTTP: what endpoints call ``http``."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.interfaces import IFront
from giftless.web.site import LFSSite


@implementer(IFront)
class HTTPFront:
    """Serves a site over HTTP.

    :param site: makes the protocol of each connection, and knows them all.
    """

    name: Final = "http"

    def __init__(self, site: LFSSite) -> None:
        self.factory = site

    async def start(self) -> None:
        """Do nothing: the site is ready when it is made."""

    def retire(self) -> Deferred[None]:
        """See :meth:`giftless.interfaces.IFront.retire`."""
        return self.factory.retire()

    def drain(self, timeout: float) -> Deferred[None]:
        """See :meth:`giftless.interfaces.IFront.drain`."""
        return self.factory.drain(timeout)
