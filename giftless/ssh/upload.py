"""The bytes of an object while a client sends them in a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from giftless.base.received_body import BodyBudget, RequestBody

#: After how long what has come of an object goes to the store although more may follow, in
#: seconds: it must not wait in memory for as long as its sender likes.
_LULL: Final = 1.0


class Upload(RequestBody):
    """An object that arrives; it has its share of a budget until it is abandoned.

    :param clock: tells the time.
    :param budget: how much of all objects may wait in memory.
    :param pause: called to hold the client up.
    :param resume: called to let it go on.
    """

    def __init__(
        self,
        clock: IReactorTime,
        budget: BodyBudget,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        budget.enter()
        super().__init__(budget, _send_nothing, pause, resume)
        self._clock = clock
        self._lull: IDelayedCall | None = None

    def expect_lull(self) -> None:
        """Let what is here go to the store after a while: more may not come for long."""
        if self._lull is None:
            self._lull = self._clock.callLater(_LULL, self._end_lull)

    def abandon(self) -> None:
        """Close, call nobody any more, and give the share back."""
        super().abandon()
        self._budget.leave()
        if self._lull is not None:
            self._lull.cancel()
            self._lull = None

    def _end_lull(self) -> None:
        self._lull = None
        self.hand_over()


def _send_nothing() -> None:
    """Do nothing when the object is first wanted: its client sends it unasked."""
