"""Tell how much there is, by the sums that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.catalogue.promises import BELOW, below
from giftless.catalogue.session import Session, chunks, repo_at
from giftless.catalogue.sums import ALL, KINDS
from giftless.interfaces import By, Usage, UsageRow
from giftless.lfs.objects import Repo

_SUMS: Final = "sum(s.objects), sum(s.size), sum(s.trashed), sum(s.trashed_size)"

#: Where the rows are from, by what they are about: the name, and the table.
_SOURCES: Final = {
    "org": ("s.org", "giftless_catalogue_repos s"),
    "repo": ("s.path", "giftless_catalogue_repos s"),
}
_BY_KIND: Final = (
    "s.name",
    "giftless_catalogue_usage s JOIN giftless_catalogue_repos r ON r.id = s.repo",
)


def usage(
    session: Session, by: By, repo: str, limit: int, trashed: bool, with_below: bool
) -> Usage:
    """See :meth:`giftless.interfaces.ICatalogue.usage`."""
    conditions: list[str] = []
    values: Sequence[object] = ()
    if repo and with_below:
        conditions, values = [BELOW], below(repo)
    elif repo:
        conditions, values = ["path = ?"], [repo]
    where = f"WHERE {conditions[0]}" if conditions else ""
    name, source = _SOURCES.get(by, _BY_KIND)
    if by in KINDS:
        conditions.append(f"kind = {KINDS[by]:d}")
        if not repo:
            source = f"(SELECT * FROM giftless_catalogue_usage WHERE repo = {ALL:d}) s"
    size = "trashed_size" if trashed else "size"
    having = "sum(s.trashed) > 0" if trashed else "sum(s.objects) + sum(s.trashed) > 0"
    rows = session.execute(
        f"SELECT {name}, {_SUMS} FROM {source}"
        f" {'WHERE ' + ' AND '.join(conditions) if conditions else ''}"
        f" GROUP BY {name} HAVING {having} ORDER BY sum(s.{size}) DESC, {name} LIMIT ?",
        (*values, limit),
    ).fetchall()
    total = session.execute(
        f"SELECT {_SUMS} FROM giftless_catalogue_repos s {where}", values
    ).fetchone()
    whole = _row("", total)
    return Usage(
        [_row(row[0], row[1:]) for row in rows],
        whole,
        whole.size + whole.trashed_size - _repeated(session, where, values),
    )


def trashing(session: Session, repos: Sequence[Repo] | None) -> Sequence[Repo]:
    """See :meth:`giftless.interfaces.ICatalogue.trashing`."""
    statement = "SELECT path FROM giftless_catalogue_repos WHERE (trashed > 0 OR leaving > 0)"
    if repos is None:
        return [repo_at(path) for (path,) in session.execute(f"{statement} ORDER BY path")]
    found = []
    for paths in chunks([repo.path for repo in repos]):
        condition, values = session.among("path", paths)
        found += session.execute(f"{statement} AND {condition} ORDER BY path", values).fetchall()
    return [repo_at(path) for (path,) in found]


def _row(name: str, sums: Sequence[int | None]) -> UsageRow:
    return UsageRow(name, *(int(amount or 0) for amount in sums))


def _repeated(session: Session, where: str, values: Sequence[object]) -> int:
    """Return how many bytes are those of objects that another one equals."""
    (repeated,) = session.execute(
        "SELECT sum(more) FROM (SELECT (count(*) - 1) * max(size) AS more FROM ("
        "SELECT e.oid, e.size FROM giftless_catalogue_entries e"
        + (" JOIN giftless_catalogue_repos r ON r.id = e.repo" if where else "")
        + f" {where} {'AND' if where else 'WHERE'} e.shared <> 0) AS held"
        " GROUP BY oid HAVING count(*) > 1) AS repeats",
        values,
    ).fetchone()
    return int(repeated or 0)
