"""Tell observers what has happened, without harm to anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.logger import Logger

from giftless.errors import LFSError
from giftless.interfaces import Arrival, Event, Identity, IObserver, ObjectStored, Refused
from giftless.lfs.filename import filename_in
from giftless.lfs.objects import Extras, ObjectKey, Repo


class Events:
    """Passes every event to every observer.

    :param observers: by the dotted paths of their sections, in the order in which
        they are told.
    :param arrivals: the same for those that are told of
        :class:`~giftless.interfaces.ObjectStored` alone.
    :ivar wanted: whether there is an observer; ask before an event is made.
    :ivar arrivals_wanted: the same for ``ObjectStored``.
    """

    log = Logger()

    def __init__(
        self, observers: Mapping[str, IObserver], arrivals: Mapping[str, IObserver] | None = None
    ) -> None:
        self._observers = tuple(observers.items())
        self._of_arrivals = (*self._observers, *(arrivals or {}).items())
        self.wanted = bool(self._observers)
        self.arrivals_wanted = bool(self._of_arrivals)

    def publish(self, event: Event) -> None:
        """Tell every observer of an event.

        An observer that raises is logged with a traceback; the others are told, and
        the caller notices nothing.  Only ``KeyboardInterrupt`` passes.
        """
        told = self._of_arrivals if type(event) is ObjectStored else self._observers
        for path, observer in told:
            try:
                observer.observe(event)
            except KeyboardInterrupt:
                raise
            except BaseException:  # SystemExit must not end a worker, nor a cancellation a request
                self.log.failure(
                    "{path}: the observer failed to take note of {event}", path=path, event=event
                )

    def publish_stored(
        self, key: ObjectKey, size: int, identity: Identity, arrival: Arrival, extras: Extras
    ) -> None:
        """Tell every observer that somebody has stored an object.

        :param size: in bytes.
        :param arrival: by which way it has come.
        :param extras: the ``x-*`` members of the batch's object.
        """
        if self.arrivals_wanted:
            who, principal, filename = identity.name, identity.principal, filename_in(extras)
            self.publish(ObjectStored(key, size, who, arrival, principal, filename))

    def publish_refusal(
        self,
        error: LFSError,
        repo: Repo | None = None,
        who: str = "",
        address: str = "",
        principal: str = "",
        request_id: str = "",
    ) -> None:
        """Tell every observer that a request, or one object of a batch, was refused.

        :param error: what the client was told.
        :param repo: as in :class:`~giftless.interfaces.Refused`, as the others.
        """
        if self.wanted:
            self.publish(
                Refused(
                    error.cause,
                    error.code,
                    error.message,
                    repo,
                    who,
                    address,
                    principal,
                    request_id,
                )
            )


#: For a server without observers.
NO_EVENTS: Final = Events({})
