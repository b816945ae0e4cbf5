"""A server that is silent costs one request its time-out, and not all of them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime

from giftless.storage.mirror.errors import UpstreamUnavailable, UpstreamUnusable

T = TypeVar("T")

#: For how many seconds a silent server is not asked again.
PAUSE: Final = 10.0

#: After how many seconds without an answer a server is silent; one that cannot be reached at
#: once costs nobody anything.
SLOW: Final = 1.0


class Outage:
    """Knows whether a server is silent.  Each worker has its own.

    While it is, requests fail at once; after :data:`PAUSE` seconds, one of them asks the
    server, and the others go on to fail until that has an answer.

    :param clock: tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: What the last request has failed with, and until when; ``None`` if the server answers.
        self._problem: str | None = None
        self._until = 0.0
        #: Whether a request asks although the server was silent.
        self._trying = False
        self._answered = float("-inf")

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Send a request, unless it is known that there will be no answer.

        :param attempt: sends it.
        :raises UpstreamUnavailable: if there is no answer.
        """
        began, trying = self._clock.seconds(), False
        if self._problem is not None:
            if self._trying or began < self._until:
                left = max(1, math.ceil(self._until - began))
                raise UpstreamUnavailable(self._problem, left)
            trying = self._trying = True
        try:
            outcome = await attempt()
        except UpstreamUnavailable as error:
            now = self._clock.seconds()
            # If others had answers meanwhile, it is this request that takes long.
            if now - began >= SLOW and self._answered < began:
                self._problem, self._until = error.message, now + PAUSE
            elif trying:
                self._problem = None
            raise
        except UpstreamUnusable:
            self._note_answer()
            raise
        else:
            self._note_answer()
            return outcome
        finally:
            if trying:
                self._trying = False

    def _note_answer(self) -> None:
        self._problem = None
        self._answered = self._clock.seconds()
