"""What ``--check`` makes of parts that check themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from giftless.app.selfcheck import CHECK_TIMEOUT, problem_of, run_checks
from giftless.base.threads import Threads
from giftless.errors import ConfigError
from giftless.interfaces import ICheckable
from tests.support.run import CoroutineTestCase


@implementer(ICheckable)
class Part:
    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self.check = check


class ProblemTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def problem(self, check: Callable[[], Awaitable[None]]) -> str | None:
        problem = self.run_now(problem_of(Part(check), "storage", self.clock))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return None if problem is None else str(problem)

    def test_all_is_well(self) -> None:
        async def check() -> None:
            pass

        self.assertIsNone(self.problem(check))
        self.assertIsNone(self.problem(lambda: succeed(None)))

    def test_what_is_wrong_has_the_sections_path(self) -> None:
        for error, expected in (
            (ConfigError("bucket", "is missing"), "storage.bucket: is missing"),
            (ConfigError("", "may not write"), "storage: may not write"),
            (ZeroDivisionError("oops"), "storage: could not be checked: ZeroDivisionError"),
        ):
            problem = self.problem(lambda error=error: fail(error))  # type: ignore[misc]
            assert problem is not None
            self.assertTrue(problem.startswith(expected), problem)

    def test_what_takes_too_long_is_given_up(self) -> None:
        cancelled: list[Any] = []
        hanging: Deferred[None] = Deferred(cancelled.append)
        waiting = self.start(problem_of(Part(lambda: hanging), "auth.1", self.clock))
        self.clock.advance(CHECK_TIMEOUT)
        problem = self.successResultOf(waiting)
        self.assertEqual(str(problem), "auth.1: could not be checked within 30 seconds")
        self.assertEqual(cancelled, [hanging])

    def test_parts_that_cannot_check_themselves_need_no_reactor(self) -> None:
        threads = Threads(self.clock, 1)  # type: ignore[arg-type]
        self.assertEqual(run_checks({"storage": object()}, threads, self.clock), [])
