"""Give the entries of a repository to another one.

Each function is one transaction of a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.catalogue.entries import delete_rows, update_rows
from giftless.catalogue.session import COLUMNS, STORED, Row, Session, chunks
from giftless.catalogue.sums import UsageSums
from giftless.lfs.objects import Repo

#: How many entries are changed in one transaction, about.
_PART: Final = 20_000

#: How many entries get another repository in one transaction, which costs several times as much.
_MOVED: Final = 2000

#: The most parts into which a repository's entries are divided.
_MAX_PARTS: Final = 256

#: More entries than there are.
_ALL: Final = 2**62

#: What is behind all oids.
_BEHIND: Final = b"\xff" * 33


def spans(session: Session, repo: Repo) -> Sequence[tuple[bytes, bytes]]:
    """Divide the entries of a repository into parts that change in a moment each.

    :returns: the first oid of each part, and what its oids are before.
    """
    statement = "SELECT objects FROM giftless_catalogue_repos WHERE path = ?"
    row = session.execute(statement, (repo.path,)).fetchone()
    count = min(_MAX_PARTS, -(-int(row[0]) // _PART)) if row else 0
    # Oids are evenly distributed.
    bounds = [bytes([256 * part // count]) for part in range(count)]
    return list(zip(bounds, [*bounds[1:], _BEHIND], strict=True)) if bounds else []


def protect(session: Session, repo: Repo, first: bytes, last: bytes, at: float) -> None:
    """Note that what a repository has stored was offered.

    :param first: the first oid that is meant.
    :param last: the oid before which the others are.
    """
    with session.writing():
        session.execute(
            "UPDATE giftless_catalogue_entries SET offered_at = ? WHERE repo ="
            " (SELECT id FROM giftless_catalogue_repos WHERE path = ?) AND oid >= ? AND oid < ?"
            f" AND state = {STORED:d} AND offered_at < ?",
            (at, repo.path, first, last, at),
        )


def move_some(session: Session, source: Repo, target: Repo) -> bool:
    """Give some entries of a repository to another one, where they replace its own.

    So at any moment each entry is in one of both, and none that the target has is missing.

    :returns: whether so many are left in both that they move in more than one transaction.
    """
    ids = session.repo_ids((source, target))
    if len(ids) < 2:
        return False
    with session.writing():
        if min(_count(session, number) for number in ids.values()) <= _MOVED:
            return False
        _move(session, ids[source], ids[target], wins=True, most=_MOVED)
    return True


def rename(session: Session, source: Repo, target: Repo) -> None:
    """Give all entries of a repository to another one, where they replace its own.

    This takes no longer because one of both has many: the entries of the smaller one move,
    and if these are the target's, both exchange their paths.  If both have many,
    :func:`move_some` comes before.
    """
    if source == target:
        return
    with session.writing():
        ids = session.repo_ids((source, target), make=True)
        if _count(session, ids[source]) <= _count(session, ids[target]):
            _move(session, ids[source], ids[target], wins=True)
            return
        _move(session, ids[target], ids[source], wins=False)
        # No repository is called so.
        for repo, number in ((Repo(("", "")), target), (target, source), (source, target)):
            _set_path(session, ids[number], repo)


def _count(session: Session, number: int) -> int:
    (count,) = session.execute(
        "SELECT objects + trashed FROM giftless_catalogue_repos WHERE id = ?", (number,)
    ).fetchone()
    return int(count)


def _move(session: Session, source: int, target: int, wins: bool, most: int = _ALL) -> None:
    """Move entries of a repository to another one.

    :param wins: whether they replace those that the other one has.
    :param most: how many move at most.
    """
    sums = UsageSums()
    statement = f"SELECT {COLUMNS} FROM giftless_catalogue_entries WHERE repo = ? LIMIT ?"
    for rows in chunks(map(Row._make, session.execute(statement, (source, most)).fetchall())):
        known = session.rows((target, row.oid) for row in rows)
        changed, gone = [], []
        for row in rows:
            there = known.get((target, row.oid))
            stays, goes = (row, there) if wins or there is None else (there, row)
            offered_at = max(row.offered_at, there.offered_at if there else 0)
            after = stays._replace(repo=target, offered_at=offered_at)
            changed.append((stays, after))
            sums.replace(stays, after)
            if goes is not None:
                gone.append(goes)
                sums.replace(goes, None)
        delete_rows(session, gone)
        update_rows(session, changed)
    sums.write(session)


def _set_path(session: Session, number: int, repo: Repo) -> None:
    session.execute(
        "UPDATE giftless_catalogue_repos SET path = ?, org = ? WHERE id = ?",
        (repo.path, repo.segments[0], number),
    )
