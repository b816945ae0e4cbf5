"""Let the first signal that ends the daemon be the last.

Two may come at once: from a terminal, and from what started the daemon there.
Twisted would stop its reactor twice.  And it would log inside of the handler,
which fails if the signal comes while a line is being written.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


def end_once(reactor: Any) -> None:
    """Replace Twisted's handlers of SIGINT and SIGTERM by some that act once, in turn.

    :param reactor: runs already, so it has set these handlers.
    """
    ending = False

    def end(number: int, twisted: Callable[[int], object]) -> None:
        nonlocal ending
        if not ending:
            ending = True
            twisted(number)

    def handle(number: int, twisted: Callable[[int], object]) -> None:
        signal.signal(number, lambda *_: reactor.callFromThread(end, number, twisted))

    for number in (signal.SIGINT, signal.SIGTERM):
        handler: Any = signal.getsignal(number)
        # A shell lets what it starts in the background ignore SIGINT.
        if callable(handler):
            handle(number, handler)
