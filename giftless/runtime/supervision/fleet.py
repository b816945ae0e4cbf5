"""Keep processes of several kinds, as if one supervisor kept all of them."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.service import MultiService
from twisted.logger import Logger

from giftless.runtime.supervision.process import Plan
from giftless.runtime.supervision.supervisor import Supervisor, WorkerFailed

_log = Logger(namespace="giftless.workers")


class Fleet(MultiService):
    """Several supervisors.

    :param supervisors: in the order in which their processes are started; the first
        has some always.
    """

    def __init__(self, *supervisors: Supervisor) -> None:
        super().__init__()
        self._supervisors = supervisors
        for supervisor in supervisors:
            self.addService(supervisor)

    @property
    def settled(self) -> bool:
        """See :attr:`~giftless.runtime.supervision.supervisor.Supervisor.settled`."""
        return all(supervisor.settled for supervisor in self._supervisors)

    @property
    def status(self) -> str:
        """How many processes are in each state, in one line; kinds without any are left out."""
        first, *others = self._supervisors
        told = [first, *(each for each in others if any(each.states.values()))]
        return "; ".join(supervisor.status for supervisor in told)

    async def replace(self, plans: Sequence[Plan]) -> None:
        """Replace all processes, one kind after the other.

        :param plans: one for each supervisor, in their order.
        :raises WorkerFailed: if a process of one kind cannot start: then all is as it was.
        """
        before = [supervisor.plan for supervisor in self._supervisors]
        changes = list(zip(self._supervisors, plans, before, strict=True))
        for index, (supervisor, plan, _) in enumerate(changes):
            try:
                await supervisor.replace(plan)
            except WorkerFailed:
                await self._restore(changes[:index])
                raise

    async def _restore(self, changes: Sequence[tuple[Supervisor, Plan, Plan | None]]) -> None:
        for supervisor, _, before in changes:
            if before is None:
                continue
            try:
                await supervisor.replace(before)
            except WorkerFailed as error:
                _log.error("cannot go back to what ran before: {error}", error=str(error))
