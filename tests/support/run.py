"""Run coroutines that finish without a reactor."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

T = TypeVar("T")


class CoroutineTestCase(SynchronousTestCase):
    """A test case whose tests call ``async`` code that never really waits."""

    def run_now(self, awaitable: Awaitable[T]) -> T:
        """Return what ``awaitable`` results in, or raise what it raises."""
        results: list[Any] = []
        self.start(awaitable).addBoth(results.append)
        self.assertTrue(results, "it waits for something")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: T = results[0]
        return result

    def start(self, awaitable: Awaitable[T]) -> Deferred[T]:
        """Let ``awaitable`` run as far as it can."""

        async def run() -> T:
            return await awaitable

        return Deferred.fromCoroutine(run())

    def assert_fails(self, kind: type[Exception], awaitable: Awaitable[Any]) -> Any:
        """Return the error, of exactly this class, that ``awaitable`` ends with."""
        try:
            self.run_now(awaitable)
        except kind as error:
            self.assertIs(type(error), kind)
            return error
        self.fail(f"{kind.__name__} was not raised")
