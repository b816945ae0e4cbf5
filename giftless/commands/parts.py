"""Build parts of the daemon's configuration for a command, and use them."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from giftless.app import config, plugins
from giftless.app.backends import build_observers
from giftless.app.config import Config, Loaded
from giftless.app.plugins import PartBuilder
from giftless.base.late_client import late_client
from giftless.base.threads import Threads
from giftless.commands import CommandError
from giftless.errors import ConfigError, LFSError
from giftless.interfaces import Environment, Event
from giftless.usecases.events import Events

#: What the built-in observers log with.
_OBSERVERS: Final = (
    "giftless.audit",
    "giftless.webhooks",
    "giftless.catalogue.recorder.Recorder",
)

#: Builds what it needs, starts the services if these are to run, and does its work.
Job = Callable[[Config, PartBuilder], Awaitable[None]]


class Interrupted(CommandError):
    """A signal has ended the command before its end."""


def use_parts(loaded: Loaded, job: Job, threads: int = 1) -> None:
    """Run a job with what builds the parts of a configuration.

    What it has built is stopped when it has ended.

    :param threads: how many there are for what blocks.
    :raises CommandError: if the job does, or something that it uses fails.
    :raises Interrupted: if a signal ends it before.
    :raises ConfigError: if the configuration cannot be used.
    """
    # Whatever ends the job puts its own problem here, or none; a signal puts nothing.
    problems: list[Exception] = [Interrupted("interrupted before the end")]
    # Any callable will do, but the interface has no place for that.
    complain: Any = _complain

    async def run(reactor: Any) -> None:
        pool = Threads(reactor, threads)
        pool.startService()
        state_dir = loaded.config.state_dir
        parts = PartBuilder(partial(Environment, reactor, pool, late_client(reactor), state_dir))
        globalLogPublisher.addObserver(complain)
        try:
            plugins.add_directories(loaded.config.plugin_path)
            await job(loaded.config, parts)
            sys.stdout.flush()
            problems.clear()
        except ConfigError as error:
            problems[:] = [config.located(error, loaded.source, loaded.text, os.environ)]
        except CommandError as error:
            problems[:] = [error]
        except BrokenPipeError:
            problems.clear()
            discard_output()
        except OSError as error:
            problems[:] = [CommandError(f"cannot print: {error.strerror}")]
        except LFSError as error:
            problems[:] = [CommandError(error.message)]
        finally:
            await parts.environment.services.stopService()
            pool.stopService()
            globalLogPublisher.removeObserver(complain)

    try:
        react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    for problem in problems:
        raise problem


def discard_output() -> None:
    """Throw away what is printed from now on, because nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def publish(loaded: Loaded, event: Event) -> None:
    """Tell the observers of a configuration of an event.

    :raises ConfigError: if they cannot be built.
    """

    async def tell(settings: Config, parts: PartBuilder) -> None:
        events = Events(build_observers(settings, parts))
        parts.environment.services.startService()
        events.publish(event)

    use_parts(loaded, tell)


def _complain(event: LogEvent) -> None:
    """Show what observers could not do; what fails otherwise ends the command."""
    namespace = str(event.get("log_namespace"))
    if event.get("log_level") is LogLevel.error and namespace in _OBSERVERS:
        print(f"giftless: {formatEvent(event)}", file=sys.stderr)
