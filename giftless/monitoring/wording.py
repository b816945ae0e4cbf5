"""Say in one line what has happened, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from giftless.base.units import duration_in_words, size_in_words
from giftless.interfaces import (
    AliasChanged,
    ConfigurationReloaded,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectFaulty,
    ObjectMarked,
    ObjectRestored,
    ObjectTrashed,
    QuotaWarned,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    ScrubEnded,
)


def _refusal(event: Refused) -> tuple[str, str]:
    where = f" from {event.address}" if event.address else ""
    words = f"{event.cause} ({event.status}) for {_who(event)}{where}: {event.message}"
    return "" if event.repo is None else event.repo.path, words


def _created(event: LockCreated) -> tuple[str, str]:
    return event.lock.repo.path, f"{event.lock.owner} locked {event.lock.path}"


def _released(event: LockReleased) -> tuple[str, str]:
    return event.lock.repo.path, f"{event.lock.owner} unlocked {event.lock.path}"


def _forced(event: LockForced) -> tuple[str, str]:
    lock = event.lock
    return lock.repo.path, f"{_who(event)} removed the lock of {lock.owner} on {lock.path}"


def _deleted(event: ObjectDeleted) -> tuple[str, str]:
    key = event.key
    return key.repo.path, f"{_who(event)} deleted object {key.oid[:_OID]}: {event.reason}"


def _marked(event: ObjectMarked) -> tuple[str, str]:
    key = event.key
    return key.repo.path, f"object {key.oid[:_OID]} is damaged: {event.reason}"


def _faulty(event: ObjectFaulty) -> tuple[str, str]:
    key = event.key
    return key.repo.path, f"object {key.oid[:_OID]}: {event.outcome}: {event.reason}"


def _scrubbed(event: ScrubEnded) -> tuple[str, str]:
    found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(event.findings.items()))
    words = (
        f"the scrub examined {event.objects} objects ({size_in_words(event.size)})"
        f" in {duration_in_words(event.seconds)}: {found or 'all are well'}"
    )
    return "", words


def _trashed(event: ObjectTrashed) -> tuple[str, str]:
    key = event.key
    words = f"{_who(event)} moved object {key.oid[:_OID]} into the trash: {event.reason}"
    return key.repo.path, words


def _restored(event: ObjectRestored) -> tuple[str, str]:
    return event.key.repo.path, f"{_who(event)} restored object {event.key.oid[:_OID]}"


def _moved(event: RepositoryMoved) -> tuple[str, str]:
    return event.repo.path, f"{_who(event)} renamed it to {event.target.path}"


def _copied(event: RepositoryCopied) -> tuple[str, str]:
    return event.repo.path, f"{_who(event)} copied it to {event.target.path}"


def _named(event: AliasChanged) -> tuple[str, str]:
    if event.target is None:
        return event.repo.path, f"{_who(event)} ended this name of a repository"
    return event.repo.path, f"{_who(event)} made it a name of {event.target.path}"


def _reloaded(event: ConfigurationReloaded) -> tuple[str, str]:
    if event.problem:
        return "", f"the configuration stays as it was: {event.problem}"
    return "", "the configuration was read again"


def _who(
    event: Refused
    | LockForced
    | ObjectDeleted
    | ObjectTrashed
    | ObjectRestored
    | RepositoryMoved
    | RepositoryCopied
    | AliasChanged,
) -> str:
    return event.who or "somebody"


def _warned(event: QuotaWarned) -> tuple[str, str]:
    kind = "organisation" if event.org else "repository"
    taken = size_in_words(event.used + event.reserved)
    words = f"the {kind} {event.name} has taken {taken} of its {size_in_words(event.limit)}"
    return "" if event.org else event.name, words


#: How many characters of an oid tell enough for people.
_OID: Final = 12

#: The repository of an event that is told by itself, and one line about it.
_WORDS: Final[dict[type, Callable[[Any], tuple[str, str]]]] = {
    LockCreated: _created,
    LockReleased: _released,
    LockForced: _forced,
    ObjectDeleted: _deleted,
    ObjectMarked: _marked,
    ObjectFaulty: _faulty,
    ObjectTrashed: _trashed,
    ObjectRestored: _restored,
    RepositoryMoved: _moved,
    RepositoryCopied: _copied,
    AliasChanged: _named,
    ScrubEnded: _scrubbed,
    QuotaWarned: _warned,
    ConfigurationReloaded: _reloaded,
}

#: The events that are told by themselves.
TOLD: Final = tuple(_WORDS)


def words_of(event: Any) -> tuple[str, str]:
    """Return the repository that an event concerns, empty if none, and one line about it.

    :param event: one of :data:`TOLD`, or a refusal.
    """
    return _WORDS.get(type(event), _refusal)(event)
