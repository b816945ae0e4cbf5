"""Show operators what storages log of their problems; their errors tell clients less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.errors import ServiceUnavailable

#: The logger of every storage.
_STORAGE = "giftless.storage"


@contextmanager
def told_problems() -> Iterator[None]:
    """Add what a storage has logged last to the error that ends a command.

    :raises CommandError: in place of a :class:`ServiceUnavailable`.
    """
    last: list[str] = []

    def note(event: LogEvent) -> None:
        namespace = str(event.get("log_namespace"))
        if namespace == _STORAGE and event.get("log_level") is LogLevel.error:
            last[:] = [harmless(formatEvent(event))]

    # Any callable will do, but the interface has no place for that.
    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]
    try:
        yield
    except ServiceUnavailable as error:
        raise CommandError(": ".join([error.message, *last])) from None
    finally:
        globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]
