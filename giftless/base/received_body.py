"""The body of a request while it arrives: flow control and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from zope.interface import implementer

from giftless.base.bodies import ArrivingBody
from giftless.interfaces import IInterruptible

#: The least that one body may hold in memory, in bytes: with less nothing would move.
_MIN_SHARE: Final = 4 * 1024

#: The most: more brings no speed.
_MAX_SHARE: Final = 8 * 1024 * 1024

#: How much is read from a socket at once, and how much is worth the reader's
#: attention while more is to come, in bytes.  Each step costs switches between
#: threads, whatever its size.
_MAX_READ: Final = 1024 * 1024


class BodyBudget:
    """Shares a fixed amount of memory among the bodies that arrive now.

    A body is held twice at most: what waits to be taken, and what its handler
    is working on.  Each gets half.

    :param total: how much all bodies together may use, in bytes.
    :ivar used: how much they use.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._bodies = 0
        self.used = 0

    def enter(self) -> None:
        """Count one more body."""
        self._bodies += 1

    def leave(self) -> None:
        """Count one body less."""
        self._bodies -= 1

    @property
    def share(self) -> int:
        """How many bytes one body may let wait."""
        share = self._total // 2 // max(1, self._bodies)
        # Those that came before may still have what was theirs then.
        return max(_MIN_SHARE, min(_MAX_SHARE, share, self._total - self.used))

    @property
    def read_size(self) -> int:
        """How many bytes to read from one body's socket at once."""
        return min(_MAX_READ, self.share)


@implementer(IInterruptible)
class RequestBody(ArrivingBody):
    """What a client sends, to be read by the request's handler.

    :param budget: how much may wait here before the client is held up.
    :param invite: called once, when the body is first wanted.
    :param pause: called to hold the client up.
    :param resume: called to let it go on.
    :ivar enough: how many bytes are worth the reader's attention, if it wants fewer
        than a store.
    :ivar complete: whether the last byte has arrived.
    """

    def __init__(
        self,
        budget: BodyBudget,
        invite: Callable[[], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        super().__init__()
        self._budget = budget
        self._invite: Callable[[], None] | None = invite
        self._pause = pause
        self._resume = resume
        self.enough = _MAX_READ
        self._discarding = False
        #: Whether the reader gets what has come before it gets an error.
        self._kept = False
        #: Whether the reader gets what is here, however little.
        self._hurried = False
        #: How many bytes the handler works on.
        self._handed = 0
        self.complete = False

    # -- for the handler

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        if not self.complete or self._waiting:
            self._budget.used -= self._handed
            self._handed = 0
        if not self.complete and self._failure is None and not self._worthwhile:
            if self._invite is not None:
                invite, self._invite = self._invite, None
                invite()
            self._let_go()
            await self._arrival()
        if self._failure is not None and not (self._kept and self._waiting):
            raise self._failure
        # At the end the handler still has what it got last.
        self._handed += self._waiting
        self._hurried = False
        chunks = self._take()
        self._let_go()
        return chunks

    def keep(self) -> None:
        """Keep the promises of :class:`giftless.interfaces.IInterruptible` from now on.

        Whoever calls closes the body.
        """
        self._kept = True

    def interrupt(self, error: Exception) -> None:
        """See :meth:`giftless.interfaces.IInterruptible.interrupt`."""
        self.fail(error)

    # -- for the request

    def close(self) -> None:
        """Give the memory back, since nobody reads any more.  Harmless when repeated."""
        self._budget.used -= self._handed + self._waiting
        self._handed = 0
        self._discarding = True
        self._take()

    def abandon(self) -> None:
        """Close, and call nobody any more, since the request is over.

        A body that is kept is not closed: its reader may be in the middle of it.
        """
        if not self._kept:
            self.close()
        self._invite = None
        self._pause = self._resume = _call_nobody

    @property
    def uninvited(self) -> bool:
        """Whether nobody has asked for the body yet."""
        return self._invite is not None

    def deliver(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._discarding:
            self.received += len(data)
            return
        self._add(data)
        self._budget.used += len(data)
        if self._reader is not None and self._worthwhile:
            self._wake()
        if not self.paused and self._waiting >= self._budget.share:
            self.paused = True
            self._pause()

    def hand_over(self) -> None:
        """Give the reader what is here, however little: more may not come for long."""
        if self._waiting:
            self._hurried = True
            self._wake()

    def end(self) -> None:
        """Note that the last byte has arrived."""
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Give the reader an error instead of more bytes."""
        if self._kept and self.complete:
            return  # there are no more
        self._failure = error
        self._wake()

    def discard(self) -> None:
        """Drop what waits and whatever else arrives."""
        self.close()
        self._let_go()

    @property
    def _worthwhile(self) -> bool:
        return self._hurried or self._waiting >= min(self.enough, self._budget.read_size)

    def _let_go(self) -> None:
        if self.paused:
            self.paused = False
            self._resume()


def _call_nobody() -> None:
    """Do nothing."""
