"""What a worker holds in memory for its clients, within ``limits.memory``.

It has three parts.  A quarter is for bodies on their way to a store: whoever sends one
is held up while its share waits (:mod:`giftless.base.received_body`).  A quarter is for bodies
that are needed whole, such as a batch.  Half is for answers that wait for their client.
What does not fit there is refused with 503, or takes the place of what is oldest:
clients that trickle or do not read are slow, and so the oldest are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.received_body import BodyBudget
from giftless.errors import Overloaded

#: An answer of up to so many bytes is not counted: the socket takes it.
SMALL_ANSWER: Final = 128 * 1024

#: About how much an action takes in a reply, in bytes.
ACTION_BYTES: Final = 640

#: An answer of more bytes never takes the place of others.
_LARGE: Final = 1024 * 1024

#: What clients are told to wait when the memory is used up, in seconds.
_RETRY_AFTER: Final = 10

#: How often the log says that the memory is used up, in seconds at least.
_QUIET: Final = 60

_log = Logger(namespace="giftless.base.client_memory")


class Memory:
    """The memory of one worker for its clients.

    :param total: how much there is, in bytes.
    :param clock: tells when the log may say again that it is used up.
    :ivar passing: for bodies that go on to a store as they arrive.
    :ivar bodies: for bodies that are needed whole.
    :ivar answers: for answers that wait for their client.
    """

    def __init__(self, total: int, clock: IReactorTime) -> None:
        self.passing = BodyBudget(total // 4)
        self.bodies = Pool("bodies of requests", total // 4, clock)
        self.answers = Pool("answers that are not read", total // 2, clock)


class Pool:
    """Memory for one purpose, in which the newest may take the place of the oldest.

    :param purpose: what it is for, in the log.
    :param limit: how much there is, in bytes.
    :param clock: tells when the log may say again that it is used up.
    :ivar used: how much is taken, in bytes.
    """

    def __init__(self, purpose: str, limit: int, clock: IReactorTime) -> None:
        self.used = 0
        self._purpose = purpose
        self._limit = limit
        self._clock = clock
        #: Those that can be told to give up, the oldest first.
        self._places: dict[Place, None] = {}
        self._quiet_until = float("-inf")

    def place(self, give_up: Callable[[Overloaded], object]) -> Place:
        """Return a place for something whose size is not known yet.

        :param give_up: is called when others need the memory more.
        """
        place = Place(self, give_up)
        place.offer()
        return place

    def make_room(self, place: Place, size: int) -> None:
        """Let the oldest give up until something fits.

        :param place: what it is for.
        :param size: how much more it needs, in bytes.
        :raises Overloaded: if it does not fit, or if it is the oldest itself.
        """
        while self.used and self.used + size > self._limit:
            self._complain()
            victim = next(iter(self._places), None)
            error = Overloaded("the server is busy; try again later", _RETRY_AFTER)
            if size > _LARGE or victim is None or victim is place:
                raise error
            victim.release()
            victim.give_up(error)

    def offer(self, place: Place) -> None:
        """Let others take a place; as long as it is the newest, they take others first."""
        self._places[place] = None

    def keep(self, place: Place) -> None:
        """Let nobody take a place."""
        self._places.pop(place, None)

    def _complain(self) -> None:
        now = self._clock.seconds()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            _log.warn(
                "the memory for {purpose} is used up: {used} of {limit} bytes;"
                " clients get 503 (see limits.memory)",
                purpose=self._purpose,
                used=self.used,
                limit=self._limit,
            )


class Place:
    """What one request holds of a pool.

    :ivar give_up: is called when others need the memory more.
    """

    def __init__(self, pool: Pool, give_up: Callable[[Overloaded], object]) -> None:
        self.give_up = give_up
        self._pool = pool
        self._size = 0

    def grow(self, size: int) -> None:
        """Take more.

        :param size: how much in all, in bytes; never less than before.
        :raises Overloaded: if that is not to be had; the place is released then.
        """
        more = size - self._size
        try:
            self._pool.make_room(self, more)
        except Overloaded:
            self.release()
            raise
        self._size = size
        self._pool.used += more

    def keep(self) -> None:
        """Never give up from now on, because what is here is being worked on."""
        self._pool.keep(self)

    def offer(self) -> None:
        """Give up from now on when others need the memory more."""
        self._pool.offer(self)

    def release(self) -> None:
        """Give everything back.  Harmless when repeated."""
        self._pool.keep(self)
        self._pool.used -= self._size
        self._size = 0


class Held:
    """What one request holds.

    :param memory: what it is taken from.
    :param break_off: ends the body with an error.
    :param cut: cuts the connection.
    """

    def __init__(
        self,
        memory: Memory,
        break_off: Callable[[Overloaded], object],
        cut: Callable[[], object],
    ) -> None:
        self._memory = memory
        self._break_off = break_off
        self._cut = cut
        self._body: Place | None = None
        self._answer: Place | None = None

    def keep_body(self, size: int, complete: bool) -> None:
        """Take memory for a body that is needed whole, until the request is over.

        While it arrives it may be broken off: others may need the memory more.

        :param size: how much of it is here, in bytes.
        :param complete: whether that is all.
        :raises Overloaded: if there is none.
        """
        if self._body is None:
            self._body = self._memory.bodies.place(self._break_off)
        self._body.grow(size)
        if complete:
            self._body.keep()

    def reserve(self, size: int) -> None:
        """Take memory for an answer that is to be made, unless it is small.

        :param size: about how large it is going to be, or how large it is, in bytes.
        :raises Overloaded: if there is none.
        """
        if size <= SMALL_ANSWER:
            return
        if self._answer is None:
            self._answer = self._memory.answers.place(lambda _: self._cut())
        self._answer.keep()
        self._answer.grow(size)

    def hand_over(self) -> Place | None:
        """Return the place of the answer, if it has one, to who releases it."""
        answer, self._answer = self._answer, None
        return answer

    def release(self) -> None:
        """Give everything back.  Harmless when repeated."""
        for place in (self._body, self._answer):
            if place is not None:
                place.release()
        self._body = self._answer = None
