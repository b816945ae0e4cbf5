"""Clients in threads of their own, which work until a test has seen enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Self


class Crowd:
    """Clients; a context manager that starts them, and ends them with the block.

    :param clients: what each of them does, until :attr:`over` is set.
    :ivar over: whether they are to end.
    """

    def __init__(self, clients: Iterable[Callable[[], object]]) -> None:
        self.over = threading.Event()
        self._threads = [threading.Thread(target=client) for client in clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()
