"""What a worker has done lately, by repository, and what it does just now.

The daemon asks for it every few seconds and adds up what all workers say.  Objects and
batches are counted by repository; what is rarer is told one by one.  Refusals that are alike
are told together, and so are objects that are deleted, moved into the trash or brought back:
no flood of one washes away the others.  All of it is bounded, whatever clients do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from itertools import islice
from typing import Any, Final

import msgspec
from zope.interface import implementer

from giftless.interfaces import (
    BatchAnswered,
    Event,
    IObserver,
    ObjectDeleted,
    ObjectFaulty,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    Payload,
    Refused,
)
from giftless.lfs.multipart import Part
from giftless.lfs.objects import ObjectKey
from giftless.monitoring.wording import TOLD, words_of

#: How many repositories are told apart.
MAX_REPOSITORIES: Final = 1000

#: What those are called that are not told apart.
OTHERS: Final = "other repositories"

#: How many kinds of refusals are kept, how many kinds of what happens to many objects, and
#: how many other events.
MAX_EVENTS: Final = 100

#: What happens to many objects at once, as observers are told it.
OF_OBJECTS: Final = frozenset(
    {"object.deleted", "object.trashed", "object.restored", "object.faulty"}
)

_OF_OBJECTS: Final = (ObjectDeleted, ObjectTrashed, ObjectRestored, ObjectFaulty)

#: How many uploads are told.
MAX_UPLOADS: Final = 100

#: How long a text may be that clients can choose, in characters.
MAX_TEXT: Final = 200


class RepositoryTraffic(msgspec.Struct):
    """What was done for one repository.

    :ivar name: of the repository.
    :ivar batches: how many were answered.
    :ivar objects_stored: how many objects were stored, each arrival counted.
    :ivar objects_served: how many were sent, wholly or in part.
    :ivar uploaded_bytes: how many bytes were stored.
    :ivar downloaded_bytes: how many bytes were sent.
    """

    name: str
    batches: int = 0
    objects_stored: int = 0
    objects_served: int = 0
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0

    def add(self, other: RepositoryTraffic) -> None:
        """Add what was done for another one."""
        self.batches += other.batches
        self.objects_stored += other.objects_stored
        self.objects_served += other.objects_served
        self.uploaded_bytes += other.uploaded_bytes
        self.downloaded_bytes += other.downloaded_bytes

    @property
    def weight(self) -> tuple[int, int, int]:
        """How busy it is: bytes, then objects, then batches."""
        return (
            self.uploaded_bytes + self.downloaded_bytes,
            self.objects_stored + self.objects_served,
            self.batches,
        )


class Running(msgspec.Struct, frozen=True):
    """An upload of an object, or of a part of one, that runs.

    :ivar repo: the repository.
    :ivar oid: the object.
    :ivar size: how many bytes are expected; ``None`` if that is not known.
    :ivar received: how many have come.
    :ivar began_at: when, in seconds since the epoch.
    :ivar worker: the process that receives it.
    """

    repo: str
    oid: str
    size: int | None
    received: int
    began_at: float
    worker: int


class Recent(msgspec.Struct, frozen=True):
    """Something that has happened, for people to read.

    :ivar at: when, in seconds since the epoch.
    :ivar kind: what, as observers are told it: ``lock.forced``.
    :ivar repo: the repository; empty if it concerns none.
    :ivar words: one line.
    :ivar request_id: names the request in the log; empty if there is none.
    :ivar cause: of a refusal; empty for anything else.
    :ivar count: how many this one stands for, and is the last of: refusals of one cause
        for one repository, or objects of one repository that were deleted, moved into the
        trash or brought back.
    :ivar since: when the first of them was, in seconds since the epoch.
    """

    at: float
    kind: str
    repo: str
    words: str
    request_id: str = ""
    cause: str = ""
    count: int = 1
    since: float = 0.0


class Report(msgspec.Struct, frozen=True):
    """What a worker has done since it was asked last.

    :ivar worker: its process.
    :ivar repositories: what it has done for each.
    :ivar events: what has happened.
    :ivar transfers: uploads that run.
    :ivar running_total: how many run, if they are too many to be told.
    """

    worker: int
    repositories: list[RepositoryTraffic] = []
    events: list[Recent] = []
    transfers: list[Running] = []
    running_total: int = 0


class Traffic:
    """What was done, by repository.

    If there are too many repositories, the half that was less busy is added up.
    """

    def __init__(self) -> None:
        self._repositories: dict[str, RepositoryTraffic] = {}

    def of(self, name: str) -> RepositoryTraffic:
        """Return what was done for a repository, to be added to."""
        found = self._repositories.get(name)
        if found is None:
            if len(self._repositories) >= MAX_REPOSITORIES:
                busiest = self.busiest(MAX_REPOSITORIES // 2)
                self._repositories = {one.name: one for one in busiest}
            found = self._repositories.setdefault(name, RepositoryTraffic(name))
        return found

    def add(self, repositories: Iterable[RepositoryTraffic]) -> None:
        """Add what was done elsewhere."""
        for one in repositories:
            self.of(one.name).add(one)

    def busiest(self, number: int = MAX_REPOSITORIES) -> list[RepositoryTraffic]:
        """Return the busiest repositories, and behind them :data:`OTHERS`, if there are some.

        :param number: how many are told apart.
        """
        others = RepositoryTraffic(OTHERS)
        named = [one for one in self._repositories.values() if one.name != OTHERS]
        named.sort(key=lambda one: one.weight, reverse=True)
        for one in (*named[number:], self._repositories.get(OTHERS)):
            if one is not None:
                others.add(one)
        return [*named[:number], others] if any(others.weight) else named[:number]


class Alike:
    """The last events of each kind, and how many they stand for.

    :param wall_clock: tells the date, in seconds since the epoch.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._events: dict[Hashable, tuple[Event, float, float, int]] = {}

    def add(self, kind: Hashable, event: Event) -> None:
        """Add an event; the kind that has not come for longest may go for it."""
        now = self._wall_clock()
        # Out and in again: the last one is the newest.
        _, _, since, count = self._events.pop(kind, (event, now, now, 0))
        self._events[kind] = event, now, since, count + 1
        if len(self._events) > MAX_EVENTS:
            del self._events[next(iter(self._events))]

    def taken(self) -> list[tuple[Event, float, float, int]]:
        """Return the events, when they were, when the first of each kind was, and how many
        there were; begin anew.
        """
        events = list(self._events.values())
        self._events.clear()
        return events


@implementer(IObserver)
class Activity:
    """Takes note of events and of uploads.

    :param name_of: returns the name of an event's type.
    :param seconds: tells the time, of a clock that nobody can set.
    :param wall_clock: tells the date, in seconds since the epoch.
    :param worker: this process.
    """

    def __init__(
        self,
        name_of: Callable[[Event], str | None],
        seconds: Callable[[], float],
        wall_clock: Callable[[], float],
        worker: int,
    ) -> None:
        self._name_of = name_of
        self._seconds = seconds
        self._wall_clock = wall_clock
        self._worker = worker
        self._traffic = Traffic()
        self._refusals, self._objects = Alike(wall_clock), Alike(wall_clock)
        self._events: list[tuple[Any, float]] = []
        self._uploads: dict[object, tuple[ObjectKey, int | None, Any, float]] = {}
        self._take: dict[type, Callable[[Any], None]] = {
            ObjectStored: self._stored,
            ObjectServed: self._served,
            BatchAnswered: self._answered,
            Refused: self._refused,
            **dict.fromkeys(TOLD, self._happened),
            **dict.fromkeys(_OF_OBJECTS, self._changed),
        }

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        take = self._take.get(type(event))
        if take is not None:
            take(event)

    def watched(self, operation: str, receive: Callable[..., Awaitable[Any]]) -> Any:
        """Take note of uploads while they run.

        :param operation: ``put``, of objects, ``append``, of bytes to them, or ``put_part``.
        :param receive: the store's method of that name.
        :returns: what does the same.
        """
        # put(key, payload, body, extras), append(key, payload of the rest, body),
        # put_part(key, upload, part, body)
        expected_at, body_at = (2, 3) if operation == "put_part" else (1, 2)

        async def watch(*arguments: Any) -> Any:
            expected: Payload | Part = arguments[expected_at]
            size = expected.length if isinstance(expected, Payload) else expected.size
            upload = object()
            self._uploads[upload] = arguments[0], size, arguments[body_at], self._seconds()
            try:
                return await receive(*arguments)
            finally:
                del self._uploads[upload]

        return watch

    def report(self) -> Report:
        """Return what was done since the last report."""
        repositories = self._traffic.busiest()
        for one in repositories:
            one.name = short(one.name)
        events = [
            *(self._recent(*refusal) for refusal in self._refusals.taken()),
            *(self._recent(*change) for change in self._objects.taken()),
            *(self._recent(*event) for event in self._events),
        ]
        self._traffic = Traffic()
        self._events.clear()
        ahead = self._wall_clock() - self._seconds()
        running = [
            Running(
                short(key.repo.path),
                str(key.oid),
                size,
                # A body that giftless does not check itself does not count.
                getattr(body, "received", 0),
                began + ahead,
                self._worker,
            )
            for key, size, body, began in islice(self._uploads.values(), MAX_UPLOADS)
        ]
        return Report(self._worker, repositories, events, running, len(self._uploads))

    def _stored(self, event: ObjectStored) -> None:
        traffic = self._traffic.of(event.key.repo.path)
        traffic.objects_stored += 1
        traffic.uploaded_bytes += event.size

    def _served(self, event: ObjectServed) -> None:
        traffic = self._traffic.of(event.key.repo.path)
        traffic.objects_served += 1
        traffic.downloaded_bytes += event.sent

    def _answered(self, event: BatchAnswered) -> None:
        self._traffic.of(event.repo.path).batches += 1

    def _refused(self, event: Refused) -> None:
        self._refusals.add((event.cause, "" if event.repo is None else event.repo.path), event)

    def _changed(
        self, event: ObjectDeleted | ObjectTrashed | ObjectRestored | ObjectFaulty
    ) -> None:
        self._objects.add((type(event), event.key.repo.path), event)

    def _happened(self, event: Event) -> None:
        self._events.append((event, self._wall_clock()))
        del self._events[:-MAX_EVENTS]

    def _recent(self, event: Any, at: float, since: float | None = None, count: int = 1) -> Recent:
        repo, words = words_of(event)
        return Recent(
            at,
            self._name_of(event) or "",
            short(repo),
            short(words),
            getattr(event, "request_id", ""),
            getattr(event, "cause", ""),
            count,
            at if since is None else since,
        )


def short(text: str) -> str:
    """Cut a text that a client may have chosen; it can be written as UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
