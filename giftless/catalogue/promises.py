"""Room that is promised to uploads, and what bounds it.

Each function is one transaction of a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from giftless.catalogue.session import IN_PLACE, RowKey, Session, chunks, repo_at
from giftless.interfaces import Bound, Level, Reservation, Wanted
from giftless.lfs.objects import ObjectKey, Oid

_PROMISES: Final = "SELECT repo, oid, size, charged, expires_at FROM giftless_catalogue_promises"

_ADD: Final = (
    "INSERT INTO giftless_catalogue_promises (repo, oid, size, charged, expires_at)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (repo, oid) DO UPDATE SET size = excluded.size,"
    " charged = excluded.charged, expires_at = excluded.expires_at"
)

_DROP: Final = "DELETE FROM giftless_catalogue_promises WHERE repo = ? AND oid = ?"

_CHARGE: Final = "UPDATE giftless_catalogue_repos SET reserved = reserved + ? WHERE id = ?"

_LEVEL: Final = (
    "SELECT coalesce(sum(size), 0), coalesce(sum(reserved), 0) FROM giftless_catalogue_repos"
    " WHERE path = ?"
)

#: ``0`` is what follows ``/``: so these are the paths that begin with a name and ``/``.
BELOW: Final = "(path = ? OR (path > ? AND path < ?))"


def below(name: str) -> tuple[str, str, str]:
    """Return the values of :data:`BELOW`: for a path, and all paths below it."""
    return name, f"{name}/", f"{name}0"


#: A promise: its size, what it adds to what is stored, and when it expires.
_Promise = tuple[int, int, float]


def reserve(
    session: Session, wanted: Sequence[Wanted], bounds: Sequence[Bound], expires_at: float
) -> Reservation:
    """See :meth:`giftless.interfaces.ICatalogue.reserve`."""
    # Each upload asks again when it begins: look before anybody waits for this.
    if _has_all(session, wanted, expires_at):
        return Reservation({}, levels(session, bounds))
    with session.writing():
        ids = session.repo_ids({each.key.repo for each in wanted}, make=True)
        keys = [(ids[each.key.repo], bytes.fromhex(each.key.oid)) for each in wanted]
        promised = _promises(session, keys)
        stored = {key: row.size for key, row in session.rows(keys).items() if row.state in IN_PLACE}
        filled = [list(_filled(session, bound)) for bound in bounds]
        refused: dict[ObjectKey, Level] = {}
        made: dict[RowKey, _Promise] = {}
        for each, key in zip(wanted, keys, strict=True):
            size, charged, until = made.get(key) or promised.get(key) or (0, 0, expires_at)
            size = max(size, each.size)
            more = max(charged, size - stored.get(key, 0), 0) - charged
            full = _first_full(bounds, filled, more)
            if full is not None:
                refused[each.key] = full
                continue
            for sums in filled:
                sums[1] += more
            made[key] = (size, charged + more, max(until, expires_at))
        session.many(_ADD, [(*key, *promise) for key, promise in made.items()])
        _charge(
            session,
            [
                (key[0], charged - promised.get(key, (0, 0, 0.0))[1])
                for key, (_, charged, _) in made.items()
            ],
        )
        return Reservation(
            refused, [Level(bound, *sums) for bound, sums in zip(bounds, filled, strict=True)]
        )


def release(session: Session, keys: Sequence[ObjectKey], expired_at: float | None) -> None:
    """See :meth:`giftless.interfaces.ICatalogue.release`."""
    with session.writing():
        ids = session.repo_ids({key.repo for key in keys})
        row_keys = [(ids[key.repo], bytes.fromhex(key.oid)) for key in keys if key.repo in ids]
        drop_promises(session, row_keys, expired_at)


def drop_promises(
    session: Session, keys: Iterable[RowKey], expired_at: float | None = None
) -> None:
    """Delete promises, in a transaction that has begun.

    :param expired_at: only those that had expired by then; ``None`` for all.
    """
    if _are_none(session):
        return
    promised = {
        key: promise
        for key, promise in _promises(session, keys).items()
        if expired_at is None or promise[2] <= expired_at
    }
    session.many(_DROP, list(promised))
    _charge(session, [(key[0], -charged) for key, (_, charged, _) in promised.items()])


def recharge(session: Session, stored: Mapping[RowKey, int]) -> None:
    """Let promises count as what they add to what is stored, in a transaction that has begun.

    An object may be stored before it is recorded, as when it is offered or restored: it must
    not count twice.  One that is deleted may come again by the promise that it still has.

    :param stored: how many bytes objects have now whose entries have changed; 0 for what
        is not in its place.
    """
    if not stored or _are_none(session):
        return
    promised = _promises(session, stored)
    changed = {
        key: (size, max(size - stored[key], 0), until)
        for key, (size, charged, until) in promised.items()
        if charged != max(size - stored[key], 0)
    }
    session.many(_ADD, [(*key, *promise) for key, promise in changed.items()])
    _charge(
        session,
        [(key[0], charged - promised[key][1]) for key, (_, charged, _) in changed.items()],
    )


def expired(session: Session, at: float, limit: int) -> Sequence[Wanted]:
    """See :meth:`giftless.interfaces.ICatalogue.expired`."""
    return [
        Wanted(ObjectKey(repo_at(path), Oid(oid.hex())), size)
        for path, oid, size in session.execute(
            "SELECT r.path, p.oid, p.size FROM giftless_catalogue_promises p"
            " JOIN giftless_catalogue_repos r ON r.id = p.repo WHERE p.expires_at <= ?"
            " ORDER BY p.expires_at LIMIT ?",
            (at, limit),
        )
    ]


def levels(session: Session, bounds: Sequence[Bound]) -> Sequence[Level]:
    """See :meth:`giftless.interfaces.ICatalogue.levels`."""
    return [Level(bound, *_filled(session, bound)) for bound in bounds]


def _has_all(session: Session, wanted: Sequence[Wanted], expires_at: float) -> bool:
    """Return whether each has its room until then."""
    ids = session.repo_ids({each.key.repo for each in wanted})
    keys = [(ids.get(each.key.repo, 0), bytes.fromhex(each.key.oid)) for each in wanted]
    promised = _promises(session, keys)
    return all(
        (found := promised.get(key)) is not None
        and found[0] >= each.size
        and found[2] >= expires_at
        for each, key in zip(wanted, keys, strict=True)
    )


def _are_none(session: Session) -> bool:
    """Return whether there are no promises, as without quotas."""
    found = session.execute("SELECT 1 FROM giftless_catalogue_promises LIMIT 1").fetchone()
    return found is None


def _promises(session: Session, keys: Iterable[RowKey]) -> dict[RowKey, _Promise]:
    by_repo: dict[int, list[bytes]] = {}
    for repo, oid in keys:
        by_repo.setdefault(repo, []).append(oid)
    found = {}
    for repo, oids in by_repo.items():
        for some in chunks(oids):
            condition, values = session.among("oid", some)
            statement = f"{_PROMISES} WHERE repo = ? AND {condition}"
            for number, oid, *promise in session.execute(statement, (repo, *values)):
                found[number, oid] = tuple(promise)
    return found


def _charge(session: Session, amounts: Iterable[tuple[int, int]]) -> None:
    """Add to what repositories have reserved."""
    sums: dict[int, int] = {}
    for repo, amount in amounts:
        sums[repo] = sums.get(repo, 0) + amount
    session.many(_CHARGE, [(amount, repo) for repo, amount in sums.items() if amount])


def _filled(session: Session, bound: Bound) -> tuple[int, int]:
    """Return what repositories have that a bound is about: stored and reserved."""
    statement, values = _LEVEL, below(bound.name)
    if bound.org:
        statement = statement.replace("path = ?", BELOW)
    used, reserved = session.execute(statement, values if bound.org else values[:1]).fetchone()
    return int(used), int(reserved)


def _first_full(
    bounds: Sequence[Bound], filled: Sequence[Sequence[int]], more: int
) -> Level | None:
    """Return the first bound that has no room for some more bytes."""
    if more > 0:
        for bound, (used, reserved) in zip(bounds, filled, strict=True):
            if used + reserved + more > bound.limit:
                return Level(bound, used, reserved)
    return None
