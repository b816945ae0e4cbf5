"""Questions that the daemon and its workers ask each other over the pipes between them.

A question is one line, ``ask N NAME JSON``, and so is its answer: ``answer N JSON``, or
``error N JSON`` with the reason as a text.  Each side numbers its own questions.
Everything is bounded, because the other process may hang, be stopped, or be of another
version: how many questions are open, how long they are waited for, how long a line is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.base.showing import describe_failure

#: The first words of the lines.
ASK: Final = b"ask"
ANSWER: Final = b"answer"
ERROR: Final = b"error"

#: The question whether a worker's store and locks work.
HEALTH: Final = "health"

#: The question what a worker does and has done since it was asked last.  It asks its
#: parent the same before it ends, and brings the answer along.
ACTIVITY: Final = "activity"

#: How long a line may be, in bytes.
MAX_LINE: Final = 4 * 1024 * 1024

#: How many questions of one side may be open.
MAX_OPEN: Final = 100

#: For how many seconds an answer is waited for, unless the question says otherwise.
PATIENCE: Final = 10.0

#: For how many seconds an answer may be worked on; nobody waits for longer.
MAX_PATIENCE: Final = 60.0

#: How long the number of a question may be, in bytes.
_MAX_NUMBER: Final = 20

#: Writes one line to the other side; tells whether that can take it now.
Send = Callable[[bytes], bool]

#: Asks a worker by a question's name; returns ``None`` if no worker answers.
Ask = Callable[..., Deferred[bytes] | None]

#: Answers a question: takes its JSON, returns that of the answer.
Answerer = Callable[[bytes], Awaitable[bytes]]

_log = Logger(namespace="giftless.questions")


class Unanswered(Exception):
    """A question has got no answer.

    The text says why, for operators, and goes on where the name of the other side ends:
    ``has not answered in time``.  What answers a question may raise it: its text goes to
    whoever has asked.
    """


class Questions:
    """The questions that this side asks.

    :param send: writes a line.
    :param clock: tells when an answer is late.
    """

    def __init__(self, send: Send, clock: IReactorTime) -> None:
        self._send = send
        self._clock = clock
        self._asked = 0
        self._open: dict[bytes, Deferred[bytes]] = {}

    def ask(
        self, name: str, payload: bytes = b"null", patience: float = PATIENCE
    ) -> Deferred[bytes]:
        """Ask the other side.

        :param name: what is asked: a word.
        :param payload: the rest, as JSON in one line.
        :param patience: for how many seconds the answer is waited for; at most
            :data:`MAX_PATIENCE`.
        :returns: fires with the answer, as JSON; fails with :class:`Unanswered`.
        """
        if len(self._open) >= MAX_OPEN:
            return fail(Unanswered("has too many questions to answer already"))
        self._asked += 1
        number = b"%d" % self._asked
        line = b"%s %s %s %s" % (ASK, number, name.encode(), payload)
        if len(line) > MAX_LINE:
            return fail(Unanswered("cannot be asked so much at once"))
        if not self._send(line):
            return fail(Unanswered("does not read what it is sent"))
        self._open[number] = asked = Deferred[bytes]()
        asked.addTimeout(patience, self._clock)
        return asked.addBoth(self._end, number)

    def answered(self, word: bytes, text: bytes) -> None:
        """Take an answer; one that nobody waits for is passed over.

        :param word: :data:`ANSWER` or :data:`ERROR`.
        :param text: the line behind it.
        """
        number, _, payload = text.partition(b" ")
        asked = self._open.get(number)
        if asked is None:
            return
        if word == ANSWER:
            asked.callback(payload)
        else:
            asked.errback(Unanswered(_reason(payload)))

    def lost(self, reason: str) -> None:
        """Let all open questions fail, because nobody will answer them.

        :param reason: why, in words.
        """
        for asked in list(self._open.values()):
            asked.errback(Unanswered(reason))

    def _end(self, result: bytes | Failure, number: bytes) -> bytes | Failure:
        del self._open[number]
        if isinstance(result, Failure) and result.check(TimeoutError):
            return Failure(Unanswered("has not answered in time"))
        return result


class Answers:
    """The answers that this side gives.

    :param answerers: who answers, by the names of the questions; may grow.
    :param send: writes a line.
    :param clock: tells when an answer takes too long.
    """

    def __init__(self, answerers: Mapping[str, Answerer], send: Send, clock: IReactorTime) -> None:
        self._answerers = answerers
        self._send = send
        self._clock = clock
        self._open = 0

    def asked(self, text: bytes) -> None:
        """Answer a question, as soon as that is possible.

        :param text: the line behind :data:`ASK`; what is no question is passed over.
        """
        number, _, rest = text.partition(b" ")
        name, _, payload = rest.partition(b" ")
        if not number.isdigit() or len(number) > _MAX_NUMBER:
            return
        answerer = self._answerers.get(name.decode(errors="replace"))
        if answerer is None:
            self._refuse(number, "does not know what is asked")
        elif self._open >= MAX_OPEN:
            self._refuse(number, "has too many questions to answer already")
        else:
            self._open += 1
            # Who waits gives up before: what hangs must not hold its place for ever.
            answered = Deferred.fromCoroutine(_answer(answerer, payload))
            answered.addTimeout(MAX_PATIENCE, self._clock)
            answered.addCallbacks(self._tell, self._fail, (number,), errbackArgs=(number,))
            answered.addErrback(lambda failure: _log.failure("a question failed", failure))

    def _tell(self, payload: bytes, number: bytes) -> None:
        self._open -= 1
        line = b"%s %s %s" % (ANSWER, number, payload)
        if len(line) > MAX_LINE:
            self._refuse(number, "has too much to answer at once")
        else:
            self._send(line)

    def _fail(self, failure: Failure, number: bytes) -> None:
        self._open -= 1
        if failure.check(Unanswered):
            self._refuse(number, str(failure.value))
        elif failure.check(TimeoutError):
            self._refuse(number, "has taken too long")
        else:
            _log.failure("a question could not be answered", failure)
            assert failure.value is not None, "a failure holds what was raised"
            # Not its text, which may hold a secret.
            self._refuse(number, f"could not answer: {describe_failure(failure.value)}")

    def _refuse(self, number: bytes, reason: str) -> None:
        self._send(b"%s %s %s" % (ERROR, number, msgspec.json.encode(reason)))


async def _answer(answerer: Answerer, payload: bytes) -> bytes:
    return await answerer(payload)


def _reason(payload: bytes) -> str:
    try:
        return msgspec.json.decode(payload, type=str)
    except msgspec.MsgspecError:
        return "could not answer"
