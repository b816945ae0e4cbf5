"""``--check``: ask every part that can try whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from giftless.base.concurrency import settle
from giftless.base.schema import below
from giftless.base.showing import describe_failure
from giftless.base.threads import Threads
from giftless.errors import ConfigError
from giftless.interfaces import ICheckable

#: How long each part may take, in seconds.
CHECK_TIMEOUT: Final = 30


def run_checks(
    parts: Mapping[str, object], threads: Threads, clock: IReactorTime
) -> list[ConfigError]:
    """Check parts of the daemon before it runs.

    The reactor runs for it, once and for all: the process must end then.

    :param parts: what may provide :class:`~giftless.interfaces.ICheckable`, by
        the dotted path of its section.
    :param threads: where the parts do what blocks.
    :returns: what does not work; each path begins with the section's.
    :raises SystemExit: if a signal ends it.
    """
    checks = [
        problem_of(part, path, clock) for path, part in parts.items() if ICheckable.providedBy(part)
    ]
    problems: list[ConfigError] = []
    if not checks:
        return problems

    async def run() -> None:
        threads.startService()
        problems.extend(problem for problem in await settle(checks) if problem is not None)
        threads.stopService()

    try:
        react(lambda _: Deferred.fromCoroutine(run()))
    except SystemExit as end:
        if end.code:
            raise SystemExit("giftless: the check was broken off") from None
    return problems


async def problem_of(part: Any, path: str, clock: IReactorTime) -> ConfigError | None:
    """Let one part check itself.

    :param part: provides :class:`~giftless.interfaces.ICheckable`.
    :param path: the dotted path of its section.
    :returns: what is wrong, with the whole path; ``None`` if all is well.
    """

    async def check() -> None:
        await part.check()

    try:
        await Deferred.fromCoroutine(check()).addTimeout(CHECK_TIMEOUT, clock)
    except ConfigError as error:
        return below(path, error)
    except TimeoutError:
        return ConfigError(path, f"could not be checked within {CHECK_TIMEOUT} seconds")
    except Exception as error:
        return ConfigError(path, f"could not be checked: {describe_failure(error)}")
    return None
