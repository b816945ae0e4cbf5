"""The base class of stores over a container: what they do whichever way bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import DeferredSemaphore
from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.base.shared_answers import FreshAnswers
from giftless.errors import ConfigError, LFSError, ObjectDamaged, StorageUnavailable
from giftless.interfaces import (
    Glimpse,
    ICheckable,
    ICopying,
    IDated,
    IDeleting,
    IInspector,
    IMarking,
    IObjectStore,
    IPeeking,
    IProbing,
    IStoredObject,
    ISurveying,
    ListedObject,
    ObjectFacts,
    ObjectPage,
    Oddity,
    SurveyPage,
)
from giftless.lfs.objects import TRASH, ObjectKey, Repo, trash_of
from giftless.storage.pages import check_limit
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import RETRY_AFTER, unavailable
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.leftovers import find_leftovers, is_stray
from giftless.storage.remote.listing import PAGE, read_cursor, write_cursor
from giftless.storage.remote.opened_object import RemoteObject
from giftless.storage.remote.peeking import glimpse
from giftless.storage.remote.probe import Probe
from giftless.storage.remote.trash_listing import list_trash

#: How many objects are copied at once: their questions must not wait in vain for places, nor
#: let those of clients wait.
COPIES_AT_ONCE: Final = 16


@implementer(
    ICheckable,
    ICopying,
    IDated,
    IDeleting,
    IInspector,
    ISurveying,
    IMarking,
    IObjectStore,
    IPeeking,
    IProbing,
)
class RemoteStore:
    """What both kinds can do.

    :param container: where the objects are.
    :param identity: recognises it; ``None`` to take it for the right one.
    """

    def __init__(self, container: Container, identity: StoreIdentity | None = None) -> None:
        self.container = container
        self._identity = identity
        self._probe = Probe(container, container.client.clock)
        self._copies = DeferredSemaphore(COPIES_AT_ONCE)
        # Many who ask for one object at once cost the store, and the daemon, few questions.
        self._facts: FreshAnswers[ObjectKey, ObjectFacts | None] = FreshAnswers(
            lambda key: container.facts(key, False), container.client.clock
        )

    async def _confirm(self) -> None:
        """Make sure that what is absent is absent from the right store.

        :raises StoreError: if it is another one, or does not say.
        """
        if self._identity is not None:
            await self._identity.confirm()

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: all at once."""
        found = await settle(self._size(key) for key in keys)
        problems = [entry for entry in found if isinstance(entry, StoreError)]
        if not problems:
            if found and all(entry is None for entry in found):
                await self._confirm_absence()
            return [entry for entry in found if not isinstance(entry, StoreError)]
        doing = f"{len(problems)} of {len(keys)} objects could not be looked up"
        error = unavailable(problems[0], doing)
        if len(problems) == len(keys):
            raise error
        return [error if isinstance(entry, StoreError) else entry for entry in found]

    async def _confirm_absence(self) -> None:
        try:
            await self._confirm()
        except StoreError as error:
            raise unavailable(error, "objects could not be looked up") from error

    async def _size(self, key: ObjectKey) -> int | LFSError | StoreError | None:
        try:
            facts = await self._facts.get(key)
        except StoreError as error:
            return error
        if facts is None:
            return None
        return facts.size if facts.damage is None else ObjectDamaged.because(facts.damage)

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`."""
        try:
            facts = await self.container.facts(key, True)
            if facts is None:
                await self._confirm()
            return _undamaged(facts)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be looked up") from error

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`.

        :raises ServiceUnavailable: if the store does not say.
        """
        try:
            facts = _undamaged(await self._facts.get(key))
            if facts is None:
                await self._confirm()
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be opened") from error
        return None if facts is None else RemoteObject(key, facts, self.container)

    async def peek(
        self, keys: Sequence[ObjectKey], count: int
    ) -> Sequence[Glimpse | LFSError | None]:
        """See :meth:`giftless.interfaces.IPeeking.peek`: one question for each, all at once."""
        return await settle(self._glimpse(key, count) for key in keys)

    async def _glimpse(self, key: ObjectKey, count: int) -> Glimpse | LFSError | None:
        try:
            return await glimpse(self.container, key, count)
        except StoreError as error:
            return unavailable(error, f"{key.oid} could not be read")

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = PAGE, trash: bool = False
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`: one question to the store."""
        page = await self.survey(repo, cursor, limit, trash)
        return ObjectPage(page.objects, page.next_cursor)

    async def survey(
        self, repo: Repo | None, cursor: str | None = None, limit: int = PAGE, trash: bool = False
    ) -> SurveyPage:
        """See :meth:`giftless.interfaces.ISurveying.survey`: one question to the store."""
        check_limit(limit)
        layout = self.container.layout
        if trash and repo is not None:
            repo = trash_of(repo)
        prefix = layout.below("" if repo is None else f"{repo.path}/")
        # Markers are of another kind there.
        skips = trash and repo is None and self.container.lists_after
        kind = f"{prefix}/{TRASH}" if skips else prefix
        marker = None if cursor is None else read_cursor(cursor, kind)
        limit = min(limit, PAGE)
        try:
            if skips:
                page = await list_trash(self.container, marker, limit)
            else:
                page = await self.container.list_entries(prefix, repo is None, marker, limit)
            if not page.entries:
                await self._confirm()
            if page.marker is not None and page.marker == marker:
                raise StoreError("the store's list does not end")
            if not all(entry.name.startswith(prefix) for entry in page.entries):
                raise StoreError("the store lists what it was not asked for")
        except StoreError as error:
            raise unavailable(error, "objects could not be listed") from error
        objects: list[ListedObject] = []
        odd: list[Oddity] = []
        for entry in page.entries:
            key = layout.key_of(entry.name, trash)
            if key is None:
                if not trash and is_stray(layout, entry.name):
                    odd.append(Oddity(entry.name, "an object that no repository can have"))
            elif repo in (None, key.repo):
                objects.append(ListedObject(key, entry.size, entry.modified))
        following = None if page.marker is None else write_cursor(kind, page.marker)
        return SurveyPage(objects, odd, following)

    async def leftovers(self, before: float) -> Sequence[Oddity]:
        """See :meth:`giftless.interfaces.ISurveying.leftovers`: uploads in parts.

        Which objects are marked as damaged cannot be told without asking for each.
        """
        try:
            return await find_leftovers(self.container, before)
        except StoreError as error:
            raise unavailable(error, "uploads in parts could not be listed") from error

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IDeleting.delete`."""
        try:
            await self.container.delete(key)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be deleted") from error

    async def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICopying.copy`: the store itself copies."""
        return await self._copy(source, target, None)

    def adopts(self, store: IObjectStore) -> bool:
        """See :meth:`giftless.interfaces.IAdopting.adopts`: of the same service."""
        return isinstance(store, RemoteStore) and self.container.reaches(store.container)

    async def adopt(self, store: IObjectStore, key: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.IAdopting.adopt`."""
        assert isinstance(store, RemoteStore), "adopts() has said yes"
        return await self._copy(key, key, store.container)

    async def _copy(self, source: ObjectKey, target: ObjectKey, origin: Container | None) -> bool:
        await self._copies.acquire()
        try:
            copied = await self.container.copy(source, target, origin)
            if not copied:
                await self._confirm()
        except StoreError as error:
            raise unavailable(error, f"{source.oid} could not be copied") from error
        finally:
            self._copies.release()
        return copied

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.interfaces.IMarking.mark`."""
        try:
            await self.container.mark(key, reason)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be marked as damaged") from error

    async def probe(self) -> None:
        """See :meth:`giftless.interfaces.IProbing.probe`."""
        try:
            await self._probe.run()
            await self._confirm()
        except StoreError as error:
            raise StorageUnavailable(error.problem, RETRY_AFTER) from error

    async def time(self) -> float:
        """See :meth:`giftless.interfaces.IDated.time`."""
        try:
            return await self.container.time()
        except StoreError as error:
            raise StorageUnavailable(error.problem, RETRY_AFTER) from error

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`."""
        try:
            await self.container.check()
            if self._identity is not None:
                await self._identity.establish()
        except StoreError as error:
            raise ConfigError("", error.problem) from error


def _undamaged(facts: ObjectFacts | None) -> ObjectFacts | None:
    """Return what is known of an object.

    :raises ObjectDamaged: if it is marked as damaged.
    """
    if facts is not None and facts.damage is not None:
        raise ObjectDamaged.because(facts.damage)
    return facts
