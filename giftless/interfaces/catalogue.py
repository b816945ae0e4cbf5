"""What is known of objects beside their bytes: when they came, from whom, who asked last.

A catalogue never decides whether an object exists: the store does.  It can be made anew
from the store's list at any time, and then knows less, but nothing wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum
from typing import Final, Literal

import msgspec
from zope.interface import Interface

from giftless.lfs.objects import ObjectKey, Repo

#: The most entries that one call of a catalogue is given or asked for.
MAX_ENTRIES: Final = 10_000


class State(Enum):
    """Where an object is.

    :cvar STORED: where clients find it.
    :cvar LEAVING: somebody is moving it into the trash just now.
    :cvar TRASHED: in the trash.
    """

    STORED = "stored"
    LEAVING = "leaving"
    TRASHED = "trashed"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a catalogue knows of an object.

    :ivar size: in bytes.
    :ivar stored_at: when it was stored, in seconds since the epoch.
    :ivar offered_at: when a client that pushes named it last; at least ``stored_at``.
    :ivar who: the name of whoever stored it; empty if unknown.
    :ivar principal: who that was; empty if unknown.
    :ivar filename: a name that it has in a working tree; empty if unknown.
    :ivar state: where it is.
    :ivar moved_at: when it began to leave; 0 while it is stored.
    :ivar reason: why it left, in words.
    :ivar moved_by: who moved it.
    """

    key: ObjectKey
    size: int
    stored_at: float
    offered_at: float
    who: str = ""
    principal: str = ""
    filename: str = ""
    state: State = State.STORED
    moved_at: float = 0.0
    reason: str = ""
    moved_by: str = ""


class EntryPage(msgspec.Struct, frozen=True):
    """A page of entries.

    :ivar next_cursor: where the next page begins; ``None`` after the last one.
    """

    entries: Sequence[Entry] = ()
    next_cursor: str | None = None


class EntryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted.

    :ivar repo: only of exactly this repository; ``None`` for all.
    :ivar states: only of these states.
    :ivar order: by the paths of their keys; or the largest, oldest or longest not offered
        first; or those that were moved last, and of these only such as are not ``STORED``.
    :ivar cursor: the ``next_cursor`` of the page before, of the same query.
    :ivar limit: the most entries of the page, up to :data:`MAX_ENTRIES`.
    """

    repo: Repo | None = None
    states: frozenset[State] = frozenset({State.STORED, State.LEAVING})
    order: Literal["path", "size", "stored", "offered", "moved"] = "path"
    cursor: str | None = None
    limit: int = 1000


#: By what usage is told: ``age`` by the year and month in which objects were stored,
#: ``name`` by the extension of the file name, in lower case.
By = Literal["org", "repo", "person", "age", "name"]


class UsageRow(msgspec.Struct, frozen=True):
    """How much there is of something.

    :ivar name: of what: an organisation, a repository, a person, …; empty if unknown.
    :ivar objects: how many objects are stored.
    :ivar size: how many bytes these have.
    :ivar trashed: how many objects are in the trash.
    :ivar trashed_size: how many bytes these have.
    """

    name: str
    objects: int = 0
    size: int = 0
    trashed: int = 0
    trashed_size: int = 0


class Usage(msgspec.Struct, frozen=True):
    """How much is stored.

    :ivar rows: those with the most bytes first.
    :ivar total: of everything in question, whether or not it has a row.
    :ivar distinct_size: how many bytes there are if each oid is counted once; what a
        store takes that keeps equal objects once.
    """

    rows: Sequence[UsageRow]
    total: UsageRow
    distinct_size: int


class Bound(msgspec.Struct, frozen=True):
    """What some repositories may have together.

    :ivar name: names them, for users: ``acme`` or ``acme/rocket``.
    :ivar org: whether it is all repositories whose path begins with ``name/`` (and one
        that is called just so), rather than that repository alone.
    :ivar limit: the most bytes.
    """

    name: str
    org: bool
    limit: int


class Level(msgspec.Struct, frozen=True):
    """How much of a bound is taken.

    :ivar used: by objects that are stored, in bytes.
    :ivar reserved: by uploads that were promised, in bytes.
    """

    bound: Bound
    used: int
    reserved: int


class Wanted(msgspec.Struct, frozen=True):
    """Room that an upload needs."""

    key: ObjectKey
    size: int


class Reservation(msgspec.Struct, frozen=True):
    """The outcome of asking for room.

    :ivar refused: the bound that has no room for an object, and how it was filled then, by
        key; the other objects have their room now.
    :ivar levels: of all bounds afterwards, in their order.
    """

    refused: Mapping[ObjectKey, Level]
    levels: Sequence[Level]


class ICatalogue(Interface):
    """Keeps entries, and the room that was promised to uploads; one for all workers.

    Every call is one transaction, durable when its awaitable fires, and is given at most
    :data:`MAX_ENTRIES` items.  All raise :class:`~giftless.errors.ServiceUnavailable` if
    the database fails or takes too long.  Times are seconds since the epoch.
    """

    def record(entries: Sequence[Entry]) -> Awaitable[Mapping[ObjectKey, Sequence[ObjectKey]]]:
        """Note objects that have been stored: each has arrived, whatever was known of it.

        Their states become ``STORED``, but for those that were claimed after they had
        arrived (``stored_at``): this call may come late.  Names that are unknown now and
        were known stay.
        Room that was promised to exactly these keys is given back in the same
        transaction, so that ``used + reserved`` never falls below what is there.

        :returns: where the same objects are beside, in other repositories or in the trash
            (``in_trash`` of their key), for those that are; by key.
        """

    def offer(objects: Sequence[Wanted], at: float) -> Awaitable[Sequence[ObjectKey]]:
        """Note that a client which pushes was told that these objects are stored.

        Objects without an entry get one; states stay.  Afterwards, :meth:`claim` leaves
        them alone.

        :returns: those that are not ``STORED``, as far as is known: somebody is moving
            them, or they are in the trash.
        """

    def look(keys: Sequence[ObjectKey]) -> Awaitable[Sequence[Entry | None]]:
        """Return what is known of objects; ``None`` for each that has no entry."""

    def page(query: EntryQuery) -> Awaitable[EntryPage]:
        """List entries.  A page takes no longer because many come before it.

        :raises giftless.errors.BadRequest: if the cursor is none of such a list.
        """

    def usage(
        by: By, repo: str = "", limit: int = 1000, trashed: bool = False, below: bool = True
    ) -> Awaitable[Usage]:
        """Tell how much is stored and in the trash.

        :param repo: only of this repository, and of those below its path; empty for all.
        :param limit: the most rows.
        :param trashed: whether the bytes in the trash decide on the rows and their order,
            and rows without any are left out.
        :param below: whether those below the path count; its owner may not know them.
        """

    def trashing(repos: Sequence[Repo] | None = None) -> Awaitable[Sequence[Repo]]:
        """Return the repositories that have something in the trash, or on its way there."""

    # -- moving

    def claim(
        keys: Sequence[ObjectKey],
        not_offered_since: float | None,
        at: float,
        reason: str,
        who: str,
    ) -> Awaitable[Sequence[ObjectKey]]:
        """Begin to move objects into the trash: those that are ``STORED``, and no others.

        :param not_offered_since: leave alone what was offered at or after this; ``None``
            to take everything.
        :returns: what is ``LEAVING`` now: exactly these the caller may move.
        """

    def settle(
        keys: Sequence[ObjectKey], found: State, state: State, at: float
    ) -> Awaitable[Sequence[ObjectKey]]:
        """Change the state of those that are in the state ``found``.

        :param state: what becomes ``STORED`` counts as offered at ``at``, what becomes
            ``LEAVING`` or ``TRASHED`` as moved then.  ``LEAVING`` out of ``TRASHED`` is
            for whoever deletes what is in the trash.
        :returns: those that were changed.
        """

    def forget(keys: Sequence[ObjectKey], states: frozenset[State]) -> Awaitable[None]:
        """Delete the entries that are in one of these states."""

    def rename(source: Repo, target: Repo, at: float) -> Awaitable[None]:
        """Give all entries of a repository to another one, where they replace its own.

        Those that are stored count as offered at ``at``.
        """

    # -- names

    def aliases() -> Awaitable[Mapping[str, str]]:
        """Return under what paths repositories are kept, by the paths that requests give."""

    def alias(name: str, kept: str | None) -> Awaitable[None]:
        """Keep a repository under another path.

        Whatever has been kept under ``name`` so far is kept under ``kept`` from now on, and
        an alias that ``kept`` has itself ends: so none leads to another one.

        :param name: the path that requests give.
        :param kept: the path that it is kept under; ``None`` to end the alias.
        """

    # -- making it anew

    def merge(listed: Sequence[Entry]) -> Awaitable[int]:
        """Note objects that the store lists: those without an entry get one.

        A size that differs is corrected, and so is a state that is not the one told,
        unless the entry is ``LEAVING``.  It counts as offered at the later of both times;
        all else that is known stays.

        :returns: how many entries were made or corrected.
        """

    # -- room that is promised

    def reserve(
        wanted: Sequence[Wanted], bounds: Sequence[Bound], expires_at: float
    ) -> Awaitable[Reservation]:
        """Promise room to uploads, each of which needs it within all bounds.

        Whatever else happens at the same time, ``used + reserved`` of a bound never comes
        above its limit by this.  Who has been promised room for a key keeps it until the
        later time, and it counts once.  Nothing is written if all have theirs until
        ``expires_at`` or later: each upload asks again when it begins.

        :param wanted: all of repositories that all bounds are about.
        """

    def release(keys: Sequence[ObjectKey], expired_at: float | None = None) -> Awaitable[None]:
        """Give promised room back.

        :param expired_at: only what had expired by then: it may have been promised anew
            since somebody looked; ``None`` for all.
        """

    def expired(at: float, limit: int = 1000) -> Awaitable[Sequence[Wanted]]:
        """Return promises that have expired; they count until they are released."""

    def levels(bounds: Sequence[Bound]) -> Awaitable[Sequence[Level]]:
        """Tell how much of bounds is taken."""

    # -- what is counted over long periods

    def count(amounts: Mapping[str, int], period: int) -> Awaitable[Mapping[str, int]]:
        """Add to counters, each in the period that a number names; 0 only asks.

        :param amounts: what to add, by the counter's name (at most 300 characters).
        :param period: the number of the period; counters of periods before the one
            before this one are deleted.
        :returns: the sums afterwards.
        """
