"""Events as names and plain data, the same in the audit log and in webhooks.

The names and the members are a promise to whoever reads them: add, but never rename.
``docs/events.rst`` describes each, and a test compares it with this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from giftless.interfaces import (
    AliasChanged,
    BatchAnswered,
    CollectionEnded,
    ConfigurationReloaded,
    Event,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectFaulty,
    ObjectMarked,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    QuotaWarned,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    ScrubEnded,
    TokenMinted,
)
from giftless.lfs.locks import Lock
from giftless.lfs.objects import ObjectKey, Repo

_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

#: The events that are about one object.
_OF_OBJECTS: Final = (
    ObjectStored
    | ObjectServed
    | ObjectDeleted
    | ObjectMarked
    | ObjectFaulty
    | ObjectTrashed
    | ObjectRestored
)

_OF_REPOSITORIES: Final = (
    AliasChanged | BatchAnswered | CollectionEnded | Refused | RepositoryCopied | RepositoryMoved
)

#: What an event consists of, ready for JSON.
Data = dict[str, Any]


def name_of(event: Event) -> str | None:
    """Return the name of an event's type, such as ``lock.forced``; ``None`` if it has none."""
    kind = _KINDS.get(type(event))
    return None if kind is None else kind[0]


def data_of(event: Event) -> Data:
    """Return what an event says; ``who`` and ``principal`` are always among it."""
    data: Data = _KINDS[type(event)][1](event)
    return data


def repo_of(event: Event) -> Repo | None:
    """Return the repository that an event is about, if it is about one."""
    if isinstance(event, LockCreated | LockReleased | LockForced):
        return event.lock.repo
    if isinstance(event, _OF_OBJECTS):
        return event.key.repo
    return event.repo if isinstance(event, _OF_REPOSITORIES) else None


def encode(data: Mapping[str, Any]) -> str:
    """Write data as one line of JSON.

    It is ASCII: a name that holds control characters or halves of characters can do no
    harm to a terminal, and is valid in any file and database.
    """
    return _encode(data)


def time_text(seconds: float) -> str:
    """Write a time as RFC 3339, in UTC and to the millisecond.

    :param seconds: since the epoch.
    """
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _stored(event: ObjectStored) -> Data:
    how = {"size": event.size, "arrival": event.arrival.value, "filename": event.filename}
    return {**_object(event.key), **how, **_somebody(event)}


def _served(event: ObjectServed) -> Data:
    sent = {"size": event.size, "sent": event.sent, "complete": event.complete}
    return {**_object(event.key), **sent, **_somebody(event)}


def _deleted(event: ObjectDeleted) -> Data:
    why = {"reason": event.reason}
    return {**_object(event.key), **why, **_somebody(event), **_request(event)}


def _marked(event: ObjectMarked) -> Data:
    return {**_object(event.key), "reason": event.reason, **_somebody(event)}


def _faulty(event: ObjectFaulty) -> Data:
    what = {"size": event.size, "outcome": event.outcome, "reason": event.reason}
    return {**_object(event.key), **what, **_somebody(event)}


def _scrubbed(event: ScrubEnded) -> Data:
    return {
        "objects": event.objects,
        "size": event.size,
        "read": event.read,
        "findings": dict(event.findings),
        "seconds": event.seconds,
        **_somebody(event),
    }


def _trashed(event: ObjectTrashed) -> Data:
    why = {"size": event.size, "reason": event.reason}
    return {**_object(event.key), **why, **_somebody(event), **_request(event)}


def _restored(event: ObjectRestored) -> Data:
    size = {"size": event.size}
    return {**_object(event.key), **size, **_somebody(event), **_request(event)}


def _moved(event: RepositoryMoved | AliasChanged) -> Data:
    target = None if event.target is None else event.target.path
    return {"repo": event.repo.path, "target": target, **_somebody(event), **_request(event)}


def _copied(event: RepositoryCopied) -> Data:
    what = {"repo": event.repo.path, "target": event.target.path, "objects": event.objects}
    return {**what, **_somebody(event), **_request(event)}


def _collected(event: CollectionEnded) -> Data:
    return {
        "repo": event.repo.path,
        "kept": event.kept,
        "recent": event.recent,
        "trashed": event.trashed,
        "trashed_size": event.trashed_size,
        "restored": event.restored,
        "problem": event.problem,
        **_somebody(event),
    }


def _by_owner(event: LockCreated | LockReleased) -> Data:
    lock = event.lock
    return {**_lock(lock), "who": lock.owner, "principal": lock.principal}


def _forced(event: LockForced) -> Data:
    return {**_lock(event.lock), **_somebody(event), **_request(event)}


def _answered(event: BatchAnswered) -> Data:
    return {
        "repo": event.repo.path,
        "operation": event.operation.value,
        "transfer": event.transfer,
        "actions": event.actions,
        "present": event.present,
        "refused": dict(event.refused),
        **_somebody(event),
    }


def _refused(event: Refused) -> Data:
    return {
        "repo": None if event.repo is None else event.repo.path,
        "cause": event.cause,
        "status": event.status,
        "message": event.message,
        **_somebody(event),
        **_request(event),
    }


def _warned(event: QuotaWarned) -> Data:
    return {
        "name": event.name,
        "org": event.org,
        "used": event.used,
        "reserved": event.reserved,
        "limit": event.limit,
        "warn": event.warn,
        "who": "",
        "principal": "",
    }


def _minted(event: TokenMinted) -> Data:
    return {
        "subject": event.subject,
        "scopes": list(event.scopes),
        "expires_at": event.expires_at,
        "who": event.who,
        "principal": "",
    }


def _reloaded(event: ConfigurationReloaded) -> Data:
    return {"source": event.source, "problem": event.problem, "who": "", "principal": ""}


def _object(key: ObjectKey) -> Data:
    return {"repo": key.repo.path, "oid": key.oid}


def _lock(lock: Lock) -> Data:
    return {
        "repo": lock.repo.path,
        "path": lock.path,
        "lock": lock.id,
        "locked_at": lock.locked_at,
        "owner": lock.owner,
        "owner_principal": lock.principal,
    }


def _somebody(event: Any) -> Data:
    return {"who": event.who, "principal": event.principal}


def _request(event: Any) -> Data:
    return {"address": event.address, "request_id": event.request_id}


_KINDS: Final[Mapping[type, tuple[str, Callable[[Any], Data]]]] = {
    ObjectStored: ("object.stored", _stored),
    ObjectServed: ("object.served", _served),
    ObjectDeleted: ("object.deleted", _deleted),
    ObjectMarked: ("object.marked", _marked),
    ObjectFaulty: ("object.faulty", _faulty),
    ObjectTrashed: ("object.trashed", _trashed),
    ObjectRestored: ("object.restored", _restored),
    RepositoryMoved: ("repository.moved", _moved),
    RepositoryCopied: ("repository.copied", _copied),
    AliasChanged: ("alias.changed", _moved),
    CollectionEnded: ("collection.ended", _collected),
    ScrubEnded: ("scrub.ended", _scrubbed),
    LockCreated: ("lock.created", _by_owner),
    LockReleased: ("lock.released", _by_owner),
    LockForced: ("lock.forced", _forced),
    BatchAnswered: ("batch.answered", _answered),
    Refused: ("request.refused", _refused),
    QuotaWarned: ("quota.warned", _warned),
    TokenMinted: ("token.minted", _minted),
    ConfigurationReloaded: ("configuration.reloaded", _reloaded),
}

#: The names of all types of events.
NAMES: Final = tuple(name for name, _ in _KINDS.values())
