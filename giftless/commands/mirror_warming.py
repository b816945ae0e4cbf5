"""Let a mirror fetch objects before somebody asks, with the operator's own credential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from twisted.internet.defer import DeferredLock

from giftless.auth.grants import READ, RepoGrants
from giftless.client.credentials import Credential, Credentials
from giftless.errors import Gone, LFSError, NotFound, Unauthorized
from giftless.interfaces import ICallersStore, Identity, IForwarding, Password
from giftless.lfs.batch import BatchRequest, RequestedObject
from giftless.lfs.objects import NO_EXTRAS, ObjectKey, Oid, Operation

#: How many objects are asked for at once: all servers take as many.
_BATCH: Final = 100


class MirrorWarming:
    """Fetches objects of one repository, as ``giftless cache warm`` wants them.

    :param store: the mirror.
    :param credentials: finds those that git knows for the other server.
    :param keys: which objects, in the order in which they are wanted.
    :param sizes: how many bytes each has; 0 where that is not known.
    """

    def __init__(
        self,
        store: IForwarding,
        credentials: Credentials,
        keys: Sequence[ObjectKey],
        sizes: Mapping[Oid, int],
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._keys = keys
        self._places = {key: place for place, key in enumerate(keys)}
        self._sizes = sizes
        self._credential: Credential | None = None
        self._asking = DeferredLock()
        #: What the other server has said of an object, and the store that knows more.
        self._told: dict[ObjectKey, tuple[ICallersStore, int | LFSError | None]] = {}

    async def warm(self, key: ObjectKey) -> int | None:
        """See :meth:`giftless.interfaces.caching.IWarming.warm`."""
        try:
            return await self._warm(key, _BATCH)
        except LFSError:
            # Its action may have expired, because those before it took long.
            return await self._warm(key, 1)

    async def _warm(self, key: ObjectKey, count: int) -> int | None:
        """Fetch an object.

        :param count: for how many objects to ask, unless the answer for this one is there.
        """
        await self._asking.acquire()
        try:
            if key not in self._told:
                await self._ask(self._keys[self._places[key] :][:count])
            view, told = self._told.pop(key)
        finally:
            self._asking.release()
        if told is None or isinstance(told, NotFound | Gone):
            return None
        if isinstance(told, LFSError):
            raise told
        return await view.warm(key)

    async def _ask(self, keys: Sequence[ObjectKey]) -> None:
        """Ask the other server for objects; if it wants a credential, with that of git."""
        try:
            await self._ask_once(keys)
            return
        except Unauthorized:
            url = self._store.url_of(keys[0].repo)
            found = await self._credentials.fill(url)
            if found is None or found == self._credential:
                raise
            self._credential = found
        try:
            await self._ask_once(keys)
        except Unauthorized:
            await self._credentials.tell(url, found, False)
            raise
        await self._credentials.tell(url, found, True)

    async def _ask_once(self, keys: Sequence[ObjectKey]) -> None:
        shown = self._credential
        password = None if shown is None else Password(shown.user, shown.password)
        identity = Identity("giftless cache", RepoGrants(READ), credential=password)
        objects = tuple(
            RequestedObject(key.oid, self._sizes.get(key.oid, 0), NO_EXTRAS) for key in keys
        )
        request = BatchRequest(Operation.DOWNLOAD, objects, ("basic",))
        view = self._store.for_caller(identity, request)
        for key, told in zip(keys, await view.sizes(keys), strict=True):
            self._told[key] = view, told
