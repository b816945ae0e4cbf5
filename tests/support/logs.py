"""What is logged while a test runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import LogEvent, globalLogPublisher


def observe(case: Any, observer: Callable[[LogEvent], object]) -> None:
    """Tell an observer of every event until the test ends.

    :param case: the test.
    """
    # Any callable will do, but an interface has no place for that.
    observing: Any = observer
    globalLogPublisher.addObserver(observing)
    case.addCleanup(globalLogPublisher.removeObserver, observing)
