"""Which objects that were pushed does the server lack?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from giftless.base.git_settings import run_git
from giftless.client.errors import ServerError
from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import Session
from giftless.commands.findings import Finding, failed, ok, skipped, warning
from giftless.commands.progress import Progress
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered
from giftless.references.git import Git

#: How many objects are asked for at once: all servers take as many.
_BATCH: Final = 100

#: How many objects are named; the others are counted.
_NAMED: Final = 5

#: How long git may take to go through the history, in seconds.
_GIT_TIMEOUT: Final = 3600.0


async def look_at_objects(session: Session, quiet: bool, add: Add) -> None:
    """Ask the server for everything that the remote's branches lead to.

    :param quiet: whether progress is shown in terminals only.
    """
    try:
        wanted = await session.blocking.run(_needed, session)
    except ServerError as error:
        add(warning("objects", f"what this clone needs cannot be told: {error.problem}"))
        return
    if not wanted:
        add(skipped("objects", "no branch of the remote has a large file"))
        return
    lacking: list[Answered] = []
    sizes = list(wanted.items())
    with Progress(len(sizes), "objects", "asking", quiet=quiet, summary=False) as progress:
        for start in range(0, len(sizes), _BATCH):
            some = dict(sizes[start : start + _BATCH])
            try:
                reply = await session.batch(Operation.DOWNLOAD, some)
            except ServerError as error:
                add(failed("objects", f"the server does not say what it has: {error.problem}"))
                return
            for answered in reply.objects:
                if answered.code or "download" not in answered.actions:
                    lacking.append(answered)
                else:
                    _remember(session, answered)
            progress.add(len(some))
    if lacking:
        add(await session.blocking.run(_tell, session, lacking, len(wanted)))
    else:
        found = f"the server has everything that the remote's branches need: {_count(len(wanted))}"
        add(ok("objects", found))


def _needed(session: Session) -> dict[str, int]:
    """Return the objects, with their sizes, that branches of the remote lead to; blocks.

    What was committed and never pushed need not be on the server.
    """
    clone = session.clone
    remote = session.remote or clone.remote(Operation.DOWNLOAD.value)
    git = Git(_GIT_TIMEOUT)
    refs = f"--remotes={remote}"
    if not run_git("rev-parse", f"--remotes={remote}", directory=str(clone.path)):
        refs = "--all"
    return {str(each.oid): each.size or 0 for each in clone.needed(git, refs)}


def _remember(session: Session, answered: Answered) -> None:
    """Keep the largest object, and the one that is best for a trial: small, but not empty."""
    if session.largest is None or answered.size > session.largest[1]:
        session.largest = answered.oid, answered.size
    if answered.size and (session.present is None or answered.size < session.present.size):
        session.present = answered


def _tell(session: Session, lacking: Iterable[Answered], total: int) -> Finding:
    """Say which objects are missing, and how they come back; blocks."""
    names = _names(session)
    lacking = sorted(lacking, key=lambda each: (each.oid not in names, each.oid))
    storages = session.clone.storages()
    here = [each for each in lacking if session.clone.object_path(each.oid, storages)]
    shown = [
        f"{each.oid} ({names.get(each.oid, f'{each.size:,} bytes')}: {_why(each)})"
        for each in lacking[:_NAMED]
    ]
    if len(lacking) > _NAMED:
        shown.append(f"and {len(lacking) - _NAMED:,} more")
    remote = session.remote or session.clone.remote(Operation.UPLOAD.value)
    advice = []
    if len(lacking) == total:
        advice.append("look whether lfs.url names the right repository, since it has none of them")
    if here:
        advice.append(
            f"push the {len(here):,} that this clone has: git lfs push --all {remote}, or"
            " giftless rescue"
        )
    if len(here) < len(lacking):
        advice.append(
            f"ask those who made the other {len(lacking) - len(here):,} to run git lfs push --all"
            f" {remote} in their clones"
        )
    return failed(
        "objects",
        f"the server lacks {len(lacking):,} of {total:,} objects: {', '.join(shown)}",
        user="; ".join(advice),
        operator="look into the trash and the backups: giftless trash list",
    )


def _count(number: int) -> str:
    return f"{number:,} object{'' if number == 1 else 's'}"


def _why(answered: Answered) -> str:
    return answered.message[:120] if answered.message else "no download is offered"


def _names(session: Session) -> dict[str, str]:
    """Return the names that objects have in the current commit, by oid; blocks."""
    listed = run_git("lfs", "ls-files", "--long", directory=str(session.clone.path)) or ""
    found = (line.split(" ", 2) for line in listed.splitlines())
    return {parts[0]: parts[2] for parts in found if len(parts) == 3}
