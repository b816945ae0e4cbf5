"""Run coroutines that finish without a reactor."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import LFSError

T = TypeVar("T")


def assert_kind(case: SynchronousTestCase, error: Exception, kind: type[Exception]) -> None:
    """Check that an error is of a class, and of none with another meaning.

    :param kind: exactly its class; or the class of its status from which its own
        derives, where only the status matters.
    """
    if isinstance(error, LFSError) and issubclass(kind, LFSError):
        case.assertEqual((error.code, isinstance(error, kind)), (kind.code, True))
    else:
        case.assertIs(type(error), kind)


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
        """Return the error that ``awaitable`` ends with.

        :param kind: see :func:`assert_kind`.
        """
        try:
            self.run_now(awaitable)
        except kind as error:
            assert_kind(self, error, kind)
            return error
        self.fail(f"{kind.__name__} was not raised")
