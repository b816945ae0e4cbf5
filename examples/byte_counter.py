"""An observer in one file: counts stored and served bytes by repository.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    observers:
      - {type: byte-counter, path: /var/lib/giftless/bytes, interval: 60}

Each worker counts for itself and writes a file of its own into the directory,
``{process id}.json``; add them up for the whole daemon::

    {"acme/rocket": {"stored": 3145728, "served": 1048576}}

``observe`` runs inside a request, so it only adds numbers up; a timer writes the
file in a thread.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
from twisted.application.internet import TimerService
from twisted.logger import Logger
from zope.interface import implementer

from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    Event,
    IBlocking,
    IObserver,
    IObserverFactory,
    ObjectServed,
    ObjectStored,
)

log = Logger(namespace="giftless.byte_counter")


class ByteCounterOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: byte-counter``.

    :ivar path: the directory that the counts are written to; made if it is missing.
    :ivar interval: how often they are written, in seconds.
    """

    path: str
    interval: Annotated[int, msgspec.Meta(ge=1)] = 60


class Bytes(msgspec.Struct):
    """What was counted for one repository, in bytes."""

    stored: int = 0
    served: int = 0


@implementer(IObserver)
class ByteCounter(TimerService):
    """Counts bytes, and writes the counts to a file every now and then.

    :param file: where the counts are written.
    :param interval: how often, in seconds.
    :param blocking: writes the file.
    :param clock: tells the time.
    """

    def __init__(self, file: str, interval: int, blocking: IBlocking, clock: Any) -> None:
        super().__init__(interval, self.write)
        self.clock = clock
        self.counts: dict[str, Bytes] = {}
        self._file = file
        self._blocking = blocking

    def observe(self, event: Event) -> None:
        """See ``IObserver.observe``: count, and do nothing else."""
        if isinstance(event, ObjectStored):
            self._of(event.key.repo.path).stored += event.size
        elif isinstance(event, ObjectServed):
            self._of(event.key.repo.path).served += event.sent

    async def write(self) -> None:
        """Write the counts; if that fails, say so and try again next time."""
        counts = msgspec.json.encode(self.counts)
        try:
            await self._blocking.run(replace_file, self._file, counts)
        except OSError as error:
            log.error("{file} cannot be written: {error}", file=self._file, error=str(error))

    async def stopService(self) -> None:
        """Write what was counted since the last time."""
        await TimerService.stopService(self)
        await self.write()

    def _of(self, repo: str) -> Bytes:
        return self.counts.setdefault(repo, Bytes())


def replace_file(path: str, content: bytes) -> None:
    """Replace a file as a whole: whoever reads it finds the old or the new.  Blocks."""
    temporary = f"{path}.new"
    with open(temporary, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


@implementer(IObserverFactory)
class ByteCounterFactory:
    """What giftless finds in this file: builds the observer from its options."""

    name = "byte-counter"
    Options = ByteCounterOptions

    def build(self, options: ByteCounterOptions, environment: Environment) -> ByteCounter:
        """See ``IObserverFactory.build``."""
        try:
            os.makedirs(options.path, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                "path", f"{options.path!r} cannot be used: {error.strerror}"
            ) from None
        file = os.path.join(options.path, f"{os.getpid()}.json")
        counter = ByteCounter(file, options.interval, environment.blocking, environment.reactor)
        # Starts and stops with the daemon.
        counter.setServiceParent(environment.services)
        return counter


byte_counter = ByteCounterFactory()
