"""``giftless-transfer-agent``: what git-lfs starts, and what the user does once."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from giftless.agent import protocol
from giftless.agent.protocol import Download, Init, MessageError, Terminate, Upload

if TYPE_CHECKING:
    from giftless.agent.session import Session


def main(arguments: Sequence[str] | None = None) -> None:
    """Run: for git-lfs, if there are no arguments.

    :param arguments: the command line; that of the process if ``None``.
    :raises SystemExit: with the exit status.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given or sys.stdin.isatty():
        from giftless.agent import install

        install.run(given)
    else:
        Agent(sys.stdout.buffer).serve(sys.stdin.buffer)


class _Signalled(BaseException):
    """A signal asks the process to end.

    :param number: which.
    """

    def __init__(self, number: int) -> None:
        self.number = number


def _on_signal(number: int, frame: FrameType | None) -> NoReturn:
    raise _Signalled(number)


class Agent:
    """The process that git-lfs talks to.

    The main thread reads, so that it sees at once when git-lfs goes; another
    one makes the transfers.  The process ends as soon as the main thread does:
    threads may be waiting for a server, and nobody waits for them.

    :param answers: what git-lfs reads.
    """

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[Upload | Download] = queue.SimpleQueue()
        self._session: Session | None = None

    def serve(self, lines: Iterable[bytes]) -> NoReturn:
        """Do what git-lfs asks for, until it says that this is all, or has gone."""
        signal.signal(signal.SIGTERM, _on_signal)
        signal.signal(signal.SIGINT, _on_signal)
        status = 0
        try:
            for line in lines:
                if not self._take(protocol.parse(line)):
                    break
        except MessageError as error:
            print(f"giftless-transfer-agent: {error}", file=sys.stderr, flush=True)
            status = 1
        except BrokenPipeError:
            pass  # it has gone
        except _Signalled as signalled:
            status = 128 + signalled.number
        self._end(status)

    def _take(self, message: protocol.Message) -> bool:
        """Take a message.

        :returns: whether there may be more.
        """
        if isinstance(message, Init):
            self._write(protocol.ready())
            threading.Thread(target=self._transfer, args=(message,), daemon=True).start()
        elif isinstance(message, Terminate):
            return False
        else:
            self._requests.put(message)
        return True

    def _transfer(self, init: Init) -> None:
        try:
            # This takes longer than all before it; git-lfs, which has its
            # answer, starts the next agent meanwhile.
            from giftless.agent.session import Session

            session = self._session = Session(init, self._write)
            while True:
                session.handle(self._requests.get())
        except BrokenPipeError:
            self._end(0)
        except BaseException:
            traceback.print_exc()
            self._end(1)

    def _write(self, line: bytes) -> None:
        with self._writing:
            self._answers.write(line)
            self._answers.flush()

    def _end(self, status: int) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._session is not None:
            self._session.end()
        os._exit(status)
