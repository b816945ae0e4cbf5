"""Recognise a bucket or container by an object in it, which is remembered.

A bucket that was emptied, or is another one of the same name, must not look like one
that lacks the objects that clients ask for.  The object is ``.giftless/identity`` below
the store's prefix.  It is written when the daemon starts, or by ``--check``, and looked
at when a batch finds nothing: at most once in two seconds.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.identities import UNMARKED, Remembered, new_identity, parse_identity
from giftless.interfaces import IBlocking, Payload, WallClock
from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Oid, Repo
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.credentials import Expiring, Refreshing

#: The object that holds the identity; no repository can have this name.
IDENTITY: Final = ObjectKey(Repo((RESERVED_PREFIX,)), Oid("identity"))

#: For how many seconds a store that was recognised is believed to be there.  Meanwhile
#: one that was emptied looks as if its objects had never been, so it is short.
BELIEVED: Final = 2.0

#: How many bytes of the object are read.
_MAX_BYTES: Final = 100

_log = Logger(namespace="giftless.storage")


class StoreIdentity(Service):
    """Knows which store this is, and looks whether it is still there.

    :param container: where it is.
    :param remembered: which store it was.
    :param blocking: remembers it.
    :param clock: tells the time.
    :param wall_clock: tells the date.
    :raises ConfigError: if what is remembered cannot be read.
    """

    def __init__(
        self,
        container: Container,
        remembered: Remembered,
        blocking: IBlocking,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._container = container
        self._remembered = remembered
        self._blocking = blocking
        self._wall_clock = wall_clock
        known = remembered.get()
        self._known = None if known == UNMARKED else known
        what = f"the store {remembered.place}"
        self._recent = Refreshing(self._recognise, clock, wall_clock, what)

    def startService(self) -> None:
        """Look at the store, and mark one that is new; nobody waits for that."""
        super().startService()
        Deferred.fromCoroutine(self._begin())

    async def _begin(self) -> None:
        try:
            await self.establish()
        except StoreError as error:
            _log.error("{problem}", problem=error.problem)
        except Exception:
            _log.failure("the store could not be recognised")

    async def establish(self) -> None:
        """Compare the store with what is remembered; mark one that is new.

        :raises StoreError: if it is another one, or does not say.
        """
        if self._known is not None:
            await self._recent.get()
            return
        found = await self._read()
        if found is None:
            found = await self._write(new_identity())
        if not found:
            return
        self._known = found
        try:
            await self._blocking.run(self._remembered.keep, found)
        except OSError as error:
            _log.warn(
                "it cannot be remembered which store is used: {file}: {error}",
                file=self._remembered.file,
                error=error.strerror,
            )

    async def confirm(self) -> None:
        """Make sure that this is the store that was there before, if that is known.

        :raises StoreError: if it is not, or does not say.
        """
        if self._known is not None:
            await self._recent.get()

    async def _recognise(self) -> Expiring[None]:
        found = await self._read()
        if found != self._known:
            problem = "lacks the mark of the store that was there"
            if found is not None:
                problem = "has the mark of another store than was there"
            raise StoreError(
                f"the store {self._remembered.place} {problem}; name the right one, or, if a"
                f" new store is to begin here, remove {self._remembered.file} and restart"
            )
        return Expiring(None, self._wall_clock() + BELIEVED)

    async def _read(self) -> str | None:
        """Return the identity; ``None`` if there is none, empty if it is broken."""

        async def prepare() -> Request:
            return await self._container.get_request(IDENTITY, 0, _MAX_BYTES)

        answer = await self._container.client.ask(prepare)
        if answer.status in (200, 206):
            return parse_identity(answer.body)
        if self._container.is_absent(answer):
            return None
        raise self._container.problem(answer)

    async def _write(self, identity: str) -> str | None:
        """Write an identity, unless another daemon does; return the one that counts."""
        data = identity.encode() + b"\n"
        payload = Payload(len(data), sha256(data).hexdigest())

        async def prepare() -> Request:
            request = await self._container.put_request(IDENTITY, payload, {}, create=True)
            return replace(request, body=data)

        answer = await self._container.client.ask(prepare)
        if answer.status < 300 or answer.status in (409, 412):
            return await self._read()
        _log.warn(
            "the store {place} cannot be marked: {problem}; if it is emptied one day, that may"
            " not be noticed",
            place=self._remembered.place,
            problem=self._container.problem(answer).problem,
        )
        return None
