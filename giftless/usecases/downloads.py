"""Objects that are open for reading, and what is told of them."""

from __future__ import annotations

from zope.interface import implementer

from giftless.interfaces import ICounted, Identity, IDownload, IStoredObject, ObjectServed
from giftless.lfs.objects import ObjectKey
from giftless.usecases.events import Events


@implementer(IDownload)
class Download:
    """An object that is open for somebody who may read it.

    :param identity: who that is.
    """

    def __init__(
        self, stored: IStoredObject, key: ObjectKey, identity: Identity, events: Events
    ) -> None:
        self.stored = stored
        self._key = key
        self._identity = identity
        self._events = events
        self._told = False

    def sent(self, count: int, wanted: int) -> None:
        """See :meth:`giftless.interfaces.IDownload.sent`."""
        if self._told:
            return
        self._told = True
        if ICounted.providedBy(self.stored):
            self.stored.sent(count)
        if self._events.wanted:
            complete, who = count == wanted, self._identity
            self._events.publish(
                ObjectServed(self._key, self.stored.size, count, complete, who.name, who.principal)
            )

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IDownload.close`."""
        self.stored.close()
