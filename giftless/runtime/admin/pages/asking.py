"""Ask workers for what pages show and change, within bounds."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime

from giftless.auth.cache import TTLCache
from giftless.base.shared_answers import Shared
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.questions import MAX_PATIENCE, Ask, Unanswered

#: For how many seconds a page waits for an answer, its turn included.
PATIENCE: Final = 8.0

#: How many others may wait for their turn: each holds a connection.
MAX_WAITING: Final = 20

#: How many answers are remembered.
_REMEMBERED: Final = 100


class Told(Protocol):
    """What all answers have."""

    @property
    def status(self) -> int:
        """The HTTP status that stands for how it went."""

    @property
    def problem(self) -> str:
        """Why nothing was found or done; empty if all is well."""


T = TypeVar("T", bound=Told)


class Asking:
    """Asks workers.

    :param ask: asks one.
    :param clock: tells when an answer is late.
    :param turns: how many questions may run at once: each may read much of a database
        that users want, too.
    """

    def __init__(self, ask: Ask, clock: IReactorTime, turns: int) -> None:
        self._ask = ask
        self._clock = clock
        self._turns = DeferredSemaphore(turns)
        self._answers: TTLCache[tuple[str, bytes], Any] = TTLCache(_REMEMBERED, clock)
        self._shared: Shared[tuple[str, bytes], Any] = Shared()

    async def look(self, name: str, question: msgspec.Struct, kind: type[T]) -> T:
        """Ask for something to show, in turn.

        :param kind: what the answer is.
        :raises Problem: if there is no answer in time, or one that says why not.
        """
        return await self._in_turn(name, msgspec.json.encode(question), kind)

    async def look_again(
        self, name: str, question: msgspec.Struct, kind: type[T], fresh: float
    ) -> T:
        """Do the same; all who ask within some seconds get the same answer, or problem.

        :param fresh: for how many seconds.
        """
        payload = msgspec.json.encode(question)
        known = self._answers.get((name, payload))
        if known is None:
            known = await self._shared.ask(
                (name, payload), self._remember(name, payload, kind, fresh)
            )
        if isinstance(known, Problem):
            raise Problem(known.status, known.message)
        answer: T = known
        return answer

    async def change(self, name: str, order: msgspec.Struct, kind: type[T]) -> T:
        """Have something changed; what was remembered is forgotten.

        :raises Problem: as :meth:`look` does.
        """
        try:
            return await self._question(name, msgspec.json.encode(order), kind, MAX_PATIENCE)
        finally:
            self._answers = TTLCache(_REMEMBERED, self._clock)

    async def _remember(
        self, name: str, payload: bytes, kind: type[T], fresh: float
    ) -> T | Problem:
        answers = self._answers
        answer: T | Problem
        try:
            answer = await self._in_turn(name, payload, kind)
        except Problem as problem:
            answer = problem
        answers.put((name, payload), answer, fresh)
        return answer

    async def _in_turn(self, name: str, payload: bytes, kind: type[T]) -> T:
        if len(self._turns.waiting) >= MAX_WAITING:
            raise Problem(503, "too many pages are asked for already; try again in a moment")
        began = self._clock.seconds()
        turn: Deferred[Any] = self._turns.acquire()
        try:
            await turn.addTimeout(PATIENCE, self._clock)
        except TimeoutError:
            raise Problem(503, "the server is busy with other pages; try again later") from None
        try:
            left = max(1.0, PATIENCE - (self._clock.seconds() - began))
            return await self._question(name, payload, kind, left)
        finally:
            self._turns.release()

    async def _question(self, name: str, payload: bytes, kind: type[T], patience: float) -> T:
        asked = self._ask(name, payload, patience)
        if asked is None:
            raise Problem(503, "no worker serves and answers")
        try:
            answer = msgspec.json.decode(await asked, type=kind)
        except Unanswered as error:
            raise Problem(503, f"a worker {error}") from None
        if answer.problem:
            raise Problem(answer.status, answer.problem)
        return answer
