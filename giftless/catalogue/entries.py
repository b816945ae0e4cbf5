"""Write what is known of objects, and read it by their keys.

Each function is one transaction of a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from giftless.catalogue.promises import drop_promises, recharge
from giftless.catalogue.session import (
    CODES,
    DELETED,
    IN_PLACE,
    LEAVING,
    STORED,
    TRASHED,
    Row,
    RowKey,
    Session,
    chunks,
    entry_of,
    repo_at,
    short_of,
)
from giftless.catalogue.sums import UsageSums
from giftless.catalogue.texts import storable
from giftless.interfaces import Entry, State, Wanted
from giftless.lfs.objects import ObjectKey, Repo, in_trash

#: The most equal objects that are told of one.
_MAX_EQUAL: Final = 1000

#: The same few people store many objects.
_storable: Final = lru_cache(1024)(storable)

#: All columns but the number, which the database gives.
_FIELDS: Final = Row._fields[:-1]

_INSERT: Final = (
    f"INSERT INTO giftless_catalogue_entries ({', '.join(_FIELDS)})"
    f" VALUES ({', '.join('?' * len(_FIELDS))})"
)

_DELETE: Final = "DELETE FROM giftless_catalogue_entries WHERE number = ?"

_MARK_SHARED: Final = (
    "UPDATE giftless_catalogue_entries SET shared = 1 WHERE short = ? AND oid = ? AND shared = 0"
)


def look(session: Session, keys: Sequence[ObjectKey]) -> Sequence[Entry | None]:
    """See :meth:`giftless.interfaces.ICatalogue.look`."""
    ids = session.repo_ids({key.repo for key in keys})
    rows = session.rows(_row_keys(keys, ids).values())
    found: list[Entry | None] = []
    for key in keys:
        number = ids.get(key.repo)
        row = None if number is None else rows.get((number, bytes.fromhex(key.oid)))
        found.append(None if row is None else entry_of(row, key.repo))
    return found


def record(session: Session, entries: Sequence[Entry]) -> Mapping[ObjectKey, Sequence[ObjectKey]]:
    """See :meth:`giftless.interfaces.ICatalogue.record`."""
    with session.writing():
        ids = session.repo_ids({entry.key.repo for entry in entries}, make=True)
        rows = _rows(entries, ids)
        known = session.rows(rows)
        for key, row in rows.items():
            before = known.get(key)
            if before is not None:
                merged = row._replace(
                    offered_at=max(row.offered_at, before.offered_at),
                    who=row.who or before.who,
                    principal=row.principal or before.principal,
                    filename=row.filename or before.filename,
                    shared=before.shared,
                    number=before.number,
                )
                if before.state != STORED and before.moved_at > row.stored_at:
                    # It arrived before it was moved: this comes late.
                    merged = merged._replace(
                        state=before.state,
                        moved_at=before.moved_at,
                        reason=before.reason,
                        moved_by=before.moved_by,
                    )
                rows[key] = merged
        drop_promises(session, rows)
        shared = write_rows(session, known, rows)
        shared |= {row.oid for row in rows.values() if row.shared}
        keys = {bytes.fromhex(entry.key.oid): entry.key for entry in entries} if shared else {}
        return _equal(session, {oid: key for oid, key in keys.items() if oid in shared}, ids)


def offer(session: Session, objects: Sequence[Wanted], at: float) -> Sequence[ObjectKey]:
    """See :meth:`giftless.interfaces.ICatalogue.offer`."""
    with session.writing():
        ids = session.repo_ids({each.key.repo for each in objects}, make=True)
        told = _rows((Entry(each.key, each.size, at, at) for each in objects), ids)
        known = session.rows(told)
        changed = {}
        for key, row in told.items():
            before = known.get(key)
            if before is None:
                changed[key] = row
            elif at > before.offered_at:
                changed[key] = before._replace(offered_at=at)
        write_rows(session, known, changed)
        moved = {key for key, row in known.items() if row.state != STORED}
        return [
            each.key
            for each in objects
            if moved and (ids[each.key.repo], bytes.fromhex(each.key.oid)) in moved
        ]


def claim(
    session: Session,
    keys: Sequence[ObjectKey],
    not_offered_since: float | None,
    at: float,
    reason: str,
    who: str,
) -> Sequence[ObjectKey]:
    """See :meth:`giftless.interfaces.ICatalogue.claim`."""
    left = (at, storable(reason), storable(who))

    def leave(row: Row) -> Row | None:
        if row.state == LEAVING and row[9:12] == left:
            return row  # by an attempt of this call whose connection broke
        if row.state != STORED:
            return None
        if not_offered_since is not None and row.offered_at >= not_offered_since:
            return None
        moved_at, why, by = left
        return row._replace(state=LEAVING, moved_at=moved_at, reason=why, moved_by=by)

    return _change(session, keys, leave)


def settle(
    session: Session, keys: Sequence[ObjectKey], found: State, state: State, at: float
) -> Sequence[ObjectKey]:
    """See :meth:`giftless.interfaces.ICatalogue.settle`."""
    expected = CODES[found]

    def change(row: Row) -> Row | None:
        if row.state not in expected:
            return None
        if state is State.STORED:
            offered_at = max(row.offered_at, at)
            row = row._replace(offered_at=offered_at, reason="", moved_by="")
            return row._replace(state=STORED, moved_at=0.0)
        if state is State.TRASHED:
            return row._replace(state=TRASHED, moved_at=at)
        return row._replace(state=LEAVING if row.state in IN_PLACE else DELETED, moved_at=at)

    return _change(session, keys, change)


def forget(session: Session, keys: Sequence[ObjectKey], states: frozenset[State]) -> None:
    """See :meth:`giftless.interfaces.ICatalogue.forget`."""
    codes = {code for state in states for code in CODES[state]}
    with session.writing():
        ids = session.repo_ids({key.repo for key in keys})
        rows = session.rows(_row_keys(keys, ids).values())
        _remove(session, [row for row in rows.values() if row.state in codes])


def merge(session: Session, listed: Sequence[Entry]) -> int:
    """See :meth:`giftless.interfaces.ICatalogue.merge`."""
    # Most are known: look before anybody waits for this.
    if not _differing(session, listed, session.repo_ids({each.key.repo for each in listed}))[1]:
        return 0
    with session.writing():
        ids = session.repo_ids({each.key.repo for each in listed}, make=True)
        known, changed = _differing(session, listed, ids)
        write_rows(session, known, changed)
        return len(changed)


def _differing(
    session: Session, listed: Sequence[Entry], ids: Mapping[Repo, int]
) -> tuple[Mapping[RowKey, Row], Mapping[RowKey, Row]]:
    """Compare what a store lists with what is known.

    :returns: the rows that there are, and those that are to be.
    """
    # A repository without a number has no rows; 0 is nobody's.
    told = _rows(listed, {each.key.repo: ids.get(each.key.repo, 0) for each in listed})
    known = session.rows(told)
    changed = {}
    for key, row in told.items():
        before = known.get(key)
        if before is None:
            changed[key] = row
            continue
        offered_at = max(before.offered_at, row.offered_at)
        after = before._replace(size=row.size, offered_at=offered_at)
        if before.state not in (LEAVING, DELETED, row.state):
            after = after._replace(state=row.state, moved_at=row.moved_at)
            after = after._replace(reason=row.reason, moved_by=row.moved_by)
        if after != before:
            changed[key] = after
    return known, changed


def _change(
    session: Session, keys: Sequence[ObjectKey], change: Callable[[Row], Row | None]
) -> Sequence[ObjectKey]:
    """Change rows.

    :param change: returns what a row becomes; ``None`` if it stays.
    :returns: the keys of those that were changed.
    """
    with session.writing():
        row_keys = _row_keys(keys, session.repo_ids({key.repo for key in keys}))
        known = session.rows(row_keys.values())
        changed = {key: row for key, before in known.items() if (row := change(before)) is not None}
        write_rows(session, known, changed)
        return [key for key, row_key in row_keys.items() if row_key in changed]


def _rows(entries: Iterable[Entry], ids: Mapping[Repo, int]) -> dict[RowKey, Row]:
    """Return the rows that entries make, by their keys; of equal keys, the last."""
    rows = {}
    for each in entries:
        oid = bytes.fromhex(each.key.oid)
        row = Row(
            ids[each.key.repo],
            oid,
            each.size,
            each.stored_at,
            each.offered_at,
            STORED if each.state is State.STORED else CODES[each.state][0],
            _storable(each.who),
            _storable(each.principal),
            each.filename and storable(each.filename),
            each.moved_at,
            each.reason and storable(each.reason),
            each.moved_by and storable(each.moved_by),
            0,
            short_of(oid),
        )
        rows[row.repo, row.oid] = row
    return rows


def _row_keys(keys: Iterable[ObjectKey], ids: Mapping[Repo, int]) -> dict[ObjectKey, RowKey]:
    return {key: (ids[key.repo], bytes.fromhex(key.oid)) for key in keys if key.repo in ids}


def write_rows(
    session: Session, known: Mapping[RowKey, Row], rows: Mapping[RowKey, Row]
) -> set[bytes]:
    """Write rows, and what they change in the sums.

    :param known: the rows that there are; others are new.
    :returns: those oids of new ones that other repositories have, too.
    """
    sums = UsageSums()
    new, changed, stored = [], [], {}
    for key, row in rows.items():
        before = known.get(key)
        sums.replace(before, row)
        size = _stored(row)
        if size != (0 if before is None else _stored(before)):
            stored[key] = size
        if before is None:
            new.append(row[:-1])
        else:
            changed.append((before, row))
    session.many(_INSERT, new)
    update_rows(session, changed)
    sums.write(session)
    recharge(session, stored)
    return _mark_shared(session, {row[-1]: row[1] for row in new})


def update_rows(session: Session, changed: Iterable[tuple[Row, Row]]) -> None:
    """Write what has changed in rows, and no more: each index has its cost."""
    by_fields: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for before, after in changed:
        pairs = zip(_FIELDS, before, after, strict=False)
        differing = {field: new for field, old, new in pairs if old != new}
        if differing:
            values = (*differing.values(), before.number)
            by_fields.setdefault(tuple(differing), []).append(values)
    for fields, rows in by_fields.items():
        assignments = ", ".join(f"{field} = ?" for field in fields)
        session.many(f"UPDATE giftless_catalogue_entries SET {assignments} WHERE number = ?", rows)


def delete_rows(session: Session, rows: Iterable[Row]) -> None:
    """Delete rows; the sums stay."""
    session.many(_DELETE, [(row.number,) for row in rows])


def _remove(session: Session, rows: Sequence[Row]) -> None:
    sums = UsageSums()
    for row in rows:
        sums.replace(row, None)
    delete_rows(session, rows)
    sums.write(session)
    recharge(session, {row[:2]: 0 for row in rows if _stored(row)})


def _stored(row: Row) -> int:
    """Return how many bytes an object has in its place."""
    return row.size if row.state in IN_PLACE else 0


def _mark_shared(session: Session, oids: Mapping[int, bytes]) -> set[bytes]:
    """Mark the rows of those oids that several repositories have.

    :param oids: by their first bytes; of several that begin alike, any.
    :returns: these oids.
    """
    shared: set[bytes] = set()
    for some in chunks(oids):
        condition, values = session.among("short", some)
        several = session.execute(
            f"SELECT short FROM giftless_catalogue_entries WHERE {condition}"
            " GROUP BY short HAVING count(*) > 1",
            values,
        ).fetchall()
        for (short,) in several:
            equal = session.execute(
                "SELECT short, oid FROM giftless_catalogue_entries WHERE short = ?"
                " GROUP BY short, oid HAVING count(*) > 1",
                (short,),
            ).fetchall()
            session.many(_MARK_SHARED, equal)
            shared.update(bytes(oid) for _, oid in equal)
    return shared


def _equal(
    session: Session, keys: Mapping[bytes, ObjectKey], ids: Mapping[Repo, int]
) -> Mapping[ObjectKey, Sequence[ObjectKey]]:
    """Return where objects are that equal those of some keys, by oid."""
    numbers = {oid: ids[key.repo] for oid, key in keys.items()}
    found: dict[ObjectKey, list[ObjectKey]] = {}
    for some in chunks(numbers):
        condition, values = session.among("e.short", [short_of(oid) for oid in some])
        for oid, number, state, path in session.execute(
            "SELECT e.oid, e.repo, e.state, r.path FROM giftless_catalogue_entries e"
            f" JOIN giftless_catalogue_repos r ON r.id = e.repo WHERE {condition}"
            " AND e.shared <> 0 AND e.size > 0",
            values,
        ):
            key = keys.get(oid)
            if key is None:
                continue  # it begins alike
            others = found.setdefault(key, [])
            if number != numbers[oid] and len(others) < _MAX_EQUAL:
                other = ObjectKey(repo_at(path), key.oid)
                others.append(other if state == STORED else in_trash(other))
    return {key: others for key, others in found.items() if others}
