"""What can be done about a finding: set the object apart, and say how to bring it back."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.errors import ConfigError, LFSError
from giftless.interfaces import IMarking, IObjectStore, ObjectMarked
from giftless.lfs.objects import ObjectKey, in_trash, owner_of
from giftless.usecases.events import Events
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.locks import By

#: The findings about objects that are of no use as they are.
BROKEN = frozenset({Outcome.WRONG, Outcome.UNREADABLE})


class Quarantine:
    """Marks objects as damaged, so that they are refused, and taken from who has them.

    :param store: where they are.
    :param events: where it is published.
    :param by: who does it.
    :raises ConfigError: if the store cannot mark objects.
    """

    def __init__(self, store: IObjectStore, events: Events, by: By) -> None:
        if not IMarking.providedBy(store):
            raise ConfigError("storage", "it cannot mark objects as damaged")
        self._store: IMarking = store
        self._events = events
        self._by = by

    async def mark(self, key: ObjectKey, problem: str) -> str:
        """Mark an object.

        :param problem: what is wrong with it, for users.
        :returns: why that is impossible; empty if it was done.
        """
        try:
            await self._store.mark(key, problem)
        except LFSError as error:
            return error.message
        if owner_of(key.repo) is None:
            by = self._by
            self._events.publish(ObjectMarked(key, by.name, problem, by.principal))
        return ""


async def advise(store: IObjectStore, finding: Finding, marked: bool) -> Sequence[str]:
    """Say how to bring an object back, one step after the other.

    :param store: may have it in the trash, too.
    :param marked: whether clients are told that it is damaged.
    """
    key = finding.key
    if finding.outcome is Outcome.UNKNOWN:
        return ("mend that, or wait until the store answers, and run this again",)
    if finding.outcome is Outcome.UNREADABLE and finding.path and not marked:
        return ("let the server's user read it (chmod u+rX, or chown), and run this again",)
    if key is None or finding.outcome is Outcome.ODD:
        return ()
    if owner_of(key.repo) is not None:
        return ("it was deleted: nobody needs it, unless somebody wants it restored",)
    steps = []
    if finding.outcome in BROKEN and not marked:
        steps.append("--quarantine, so that clients do not take it for good and leave it out")
    if await _is_in_trash(store, key):
        steps.append(f"giftless trash restore {key.repo} {key.oid}")
    steps.append(
        f"in a clone that has it: git lfs push --object-id REMOTE {key.oid},"
        " or git lfs push --all REMOTE; for many at once: giftless rescue CLONE"
    )
    return steps


async def _is_in_trash(store: IObjectStore, key: ObjectKey) -> bool:
    try:
        (size,) = await store.sizes([in_trash(key)])
    except LFSError:
        return False
    return isinstance(size, int)
