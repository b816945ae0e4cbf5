"""Fronts: the ways by which clients reach the use cases."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.interfaces import IProtocolFactory
from zope.interface import Attribute, Interface


class IFront(Interface):
    """One way by which clients reach the server: HTTP or SSH.

    Endpoints of the configuration name the front that serves their connections.
    """

    name: str = Attribute("What endpoints call it in the configuration, e.g. ``http``.")

    factory: IProtocolFactory = Attribute("Makes the protocol of each connection.")

    def start() -> Awaitable[None]:
        """Get ready; connections are accepted when this has fired."""

    def retire() -> Awaitable[None]:
        """Let every connection end with its next response, or by the limits.

        No new connection is accepted any more when this is called.

        :returns: an awaitable that fires when no connection is left.
        """

    def drain(timeout: float) -> Awaitable[None]:
        """Let running requests finish; close everything else.

        :param timeout: after how many seconds the rest is cut off.
        :returns: an awaitable that fires when no connection is left.
        """
