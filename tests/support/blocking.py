"""Providers of ``IBlocking`` that need no threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail, maybeDeferred
from zope.interface import implementer

from giftless.interfaces import IBlocking

T = TypeVar("T")


@implementer(IBlocking)
class InlineBlocking:
    """Does blocking work at once, where it is asked for.

    :ivar jobs: the functions that have been called, in order.
    """

    def __init__(self) -> None:
        self.jobs: list[Callable[..., Any]] = []

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """See :meth:`giftless.interfaces.IBlocking.run`."""
        self.jobs.append(function)
        return execute(function, *args)


@implementer(IBlocking)
class ManualBlocking:
    """Keeps blocking work until the test lets it happen.

    :ivar waiting: how many jobs wait.
    """

    def __init__(self) -> None:
        self._jobs: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """See :meth:`giftless.interfaces.IBlocking.run`."""
        done: Deferred[T] = Deferred()
        self._jobs.append((done, function, args))
        return done

    def do_next(self) -> None:
        """Do the job that has waited longest."""
        done, function, args = self._jobs.pop(0)
        maybeDeferred(function, *args).chainDeferred(done)

    def fail_next(self, error: Exception) -> None:
        """Let the job that has waited longest fail without being done."""
        done, _, _ = self._jobs.pop(0)
        fail(error).chainDeferred(done)


def jobs_of(case: Any, blocking: IBlocking) -> list[Any]:
    """Return the functions that are run from now on, as they come, until the test ends.

    :param case: the test.
    """
    jobs: list[Any] = []
    run = blocking.run

    def noting(function: Any, *args: Any) -> Any:
        jobs.append(function)
        return run(function, *args)

    case.patch(blocking, "run", noting)
    return jobs
