"""Facts that the server tells its observers: one frozen type for each.

An event is published where a use case ends, so it says what has happened and
not what was asked for.  Events stay in the process that publishes them: every
worker has observers of its own.

``who`` is a name for people to read, which two may have; ``principal`` is who it was
(:class:`~giftless.interfaces.Identity`).  Both are empty if nobody was
identified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from zope.interface import Interface

from giftless.interfaces.scrub_events import ObjectFaulty, ScrubEnded
from giftless.lfs.locks import Lock
from giftless.lfs.objects import ObjectKey, Operation, Repo


class Arrival(Enum):
    """How an object came into the store.

    :cvar STREAMED: its bytes passed through the daemon.
    :cvar COMMITTED: it was made of parts.
    :cvar CONFIRMED: a client sent it to the store and had it verified afterwards.
    :cvar IMPORTED: a command has taken it from elsewhere, and verified it.
    """

    STREAMED = "streamed"
    COMMITTED = "committed"
    CONFIRMED = "confirmed"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class ObjectStored:
    """An object is in the store, whole.

    A client that repeats a request stores an object again, and is told of again:
    each event stands for an arrival, not for a new object.

    :ivar size: in bytes.
    :ivar who: the name of the identity.
    :ivar arrival: how it came.
    :ivar filename: what it was called (``x-filename``); empty if that was not told.
    """

    key: ObjectKey
    size: int
    who: str
    arrival: Arrival
    principal: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class ObjectServed:
    """Bytes of an object were sent through the daemon.

    :ivar size: the object's size in bytes.
    :ivar sent: how many bytes were sent.
    :ivar complete: whether these are all that the client asked for.
    """

    key: ObjectKey
    size: int
    sent: int
    complete: bool
    who: str
    principal: str = ""


@dataclass(frozen=True, slots=True)
class ObjectDeleted:
    """An object was removed from the store.

    :ivar reason: why, in words.
    """

    key: ObjectKey
    who: str
    reason: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ObjectMarked:
    """An object was marked as damaged: it is refused until it is uploaded again.

    :ivar reason: why, in words.
    """

    key: ObjectKey
    who: str
    reason: str
    principal: str = ""


@dataclass(frozen=True, slots=True)
class ObjectTrashed:
    """An object was moved into the trash.

    :ivar size: in bytes.
    :ivar reason: why, in words.
    """

    key: ObjectKey
    size: int
    who: str
    reason: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ObjectRestored:
    """An object was moved back out of the trash.

    :ivar size: in bytes.
    :ivar who: the name of whoever wanted that, or has asked for the object.
    """

    key: ObjectKey
    size: int
    who: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryMoved:
    """The objects and locks of a repository are kept under another path now.

    :ivar repo: the path that it had, which leads to the other one.
    :ivar target: the path that it has.
    """

    repo: Repo
    target: Repo
    who: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryCopied:
    """The objects of a repository are kept under another path, too.

    :ivar target: that path.
    :ivar objects: how many they are.
    """

    repo: Repo
    target: Repo
    objects: int
    who: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AliasChanged:
    """A name leads to a repository now, or does not any more.

    :ivar repo: the name.
    :ivar target: where it leads; ``None`` if nowhere but to itself.
    """

    repo: Repo
    target: Repo | None
    who: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class CollectionEnded:
    """``giftless gc`` has ended with a repository: it was there to move objects.

    :ivar kept: how many objects stay because a ref leads to them.
    :ivar recent: how many stay because they were offered lately.
    :ivar trashed: how many were moved into the trash.
    :ivar trashed_size: how many bytes these have.
    :ivar restored: how many were brought back, because a ref leads to them again.
    :ivar problem: why it did not come to its end; empty if it did.
    """

    repo: Repo
    who: str
    kept: int = 0
    recent: int = 0
    trashed: int = 0
    trashed_size: int = 0
    restored: int = 0
    problem: str = ""
    principal: str = ""


@dataclass(frozen=True, slots=True)
class LockCreated:
    """A path was locked, by the lock's owner."""

    lock: Lock


@dataclass(frozen=True, slots=True)
class LockReleased:
    """A lock was removed by its owner."""

    lock: Lock


@dataclass(frozen=True, slots=True)
class LockForced:
    """A lock was removed by somebody else than its owner.

    :ivar who: the name of whoever removed it.
    :ivar address: the IP address that the request came from; empty if unknown, or if
        a command has removed it.
    :ivar request_id: names the request in the log; empty if there was none.
    """

    lock: Lock
    who: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class BatchAnswered:
    """A batch request was answered.

    :ivar operation: what it was for.
    :ivar transfer: the name of the transfer adapter.
    :ivar actions: how many objects got actions.
    :ivar present: how many got none, because they are stored already.
    :ivar refused: how many were refused, by cause.
    """

    repo: Repo
    who: str
    operation: Operation
    transfer: str
    actions: int
    present: int
    refused: Mapping[str, int] = field(default_factory=dict)
    principal: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request, or one object of a batch, was refused or failed.

    :ivar cause: a stable word for why (``cause`` of the error's class).
    :ivar status: the HTTP status that stands for it.
    :ivar message: what the client was told.
    :ivar repo: the repository; ``None`` if the request named none.
    :ivar who: the name of the identity; empty if nobody was identified.
    :ivar address: the client's IP address; empty if unknown.
    :ivar request_id: names the request in the log; empty if there is none.
    """

    cause: str
    status: int
    message: str
    repo: Repo | None = None
    who: str = ""
    address: str = ""
    principal: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class QuotaWarned:
    """An organisation or a repository comes near what it may store.

    It is told once, and again only after there was clearly more room in between, or after a
    restart.

    :ivar name: the path of the organisation or repository.
    :ivar org: whether it is an organisation.
    :ivar used: how many bytes its objects have.
    :ivar reserved: how many more are promised to uploads.
    :ivar limit: how many bytes its objects may have.
    :ivar warn: from which part of the limit on there is a warning, from 0 to 1.
    """

    name: str
    org: bool
    used: int
    reserved: int
    limit: int
    warn: float


@dataclass(frozen=True, slots=True)
class TokenMinted:
    """``giftless token`` has made a token.  The token itself is not told.

    :ivar subject: whose token it is.
    :ivar scopes: what it permits.
    :ivar expires_at: until when it is good, in whole seconds since the epoch.
    :ivar who: the command, and the user who has typed it.
    """

    subject: str
    scopes: Sequence[str]
    expires_at: int
    who: str


@dataclass(frozen=True, slots=True)
class ConfigurationReloaded:
    """The daemon has read its configuration again.

    One worker publishes it for all: the first that serves then.

    :ivar source: the configuration file; empty if there is none.
    :ivar problem: why the configuration stays as it was; empty if the new one holds.
    """

    source: str
    problem: str = ""


#: Every fact there is.
Event = (
    ObjectStored
    | ObjectServed
    | ObjectDeleted
    | ObjectMarked
    | ObjectFaulty
    | ObjectTrashed
    | ObjectRestored
    | RepositoryMoved
    | RepositoryCopied
    | AliasChanged
    | CollectionEnded
    | ScrubEnded
    | LockCreated
    | LockReleased
    | LockForced
    | BatchAnswered
    | Refused
    | QuotaWarned
    | TokenMinted
    | ConfigurationReloaded
)


class IObserver(Interface):
    """Is told what the server has done."""

    def observe(event: Event) -> None:
        """Take note of an event; quick.

        It runs inside the request that the event is about.  Whatever takes
        longer than appending to a list belongs behind it (a thread, a timer).
        What it raises is logged, and changes nothing for the client.

        :param event: one of the types that this module defines; pass
            over those that are not known.
        """
