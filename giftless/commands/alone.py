"""Run what needs the reactor and threads, and no configuration of a server."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from giftless.base.threads import Threads
from giftless.client.errors import ServerError
from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.commands.parts import discard_output
from giftless.interfaces import IBlocking

#: Is given the reactor and threads, and does the work.
Job = Callable[[Any, IBlocking], Awaitable[None]]


def run_alone(job: Job, threads: int = 1) -> None:
    """Run a job.

    :param threads: how many there are for what blocks.
    :raises CommandError: if the job does, if a server cannot be asked, or if nobody reads
        what is printed for another reason than that there is enough.
    """
    # Whatever ends the job puts its own problem here, or none; a signal puts nothing.
    problems: list[Exception] = [CommandError("interrupted before the end")]

    async def run(reactor: Any) -> None:
        pool = Threads(reactor, threads)
        pool.startService()
        try:
            await job(reactor, pool)
            sys.stdout.flush()
            problems.clear()
        except CommandError as error:
            problems[:] = [error]
        except ServerError as error:
            problems[:] = [CommandError(harmless(error.problem))]
        except BrokenPipeError:
            problems.clear()
            discard_output()
        except OSError as error:
            problems[:] = [CommandError(f"cannot print: {error.strerror}")]
        finally:
            pool.stopService()

    try:
        react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    for problem in problems:
        raise problem
