"""Import Twisted without what it has for others: asyncio, cookies, and tests.

Together they bring 90 modules, which take 4 MB of each process.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Coroutine
from types import CoroutineType, ModuleType
from typing import Any


class _StandIn(ModuleType):
    """Stands for a module until somebody asks for more than it has.

    :param name: of the module.
    :param known: what can be had without importing it.
    """

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        # Imports ask whether it is a package.
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(self.__name__), name)

    def leave(self) -> None:
        """Let whoever imports the module from now on get the real one."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def import_twisted() -> None:
    """Import some modules of Twisted as if what they import had been imported already.

    Whoever imports that later gets the real modules, and Deferreds work with those.  Does
    nothing where it has been imported before.
    """
    # Classes are for annotations, which nothing evaluates.
    known = {"AbstractEventLoop": object, "Future": object, "iscoroutine": _is_coroutine}
    _import("twisted.internet.defer", _StandIn("asyncio", **known), _StandIn("http.cookiejar"))
    # Twisted's cache of plugins names its interfaces.
    _import("twisted.trial.itrial", _StandIn("unittest", TestCase=object))


def _import(name: str, *stand_ins: _StandIn) -> None:
    """Import a module beside modules that stand for others."""
    absent = [module for module in stand_ins if module.__name__ not in sys.modules]
    sys.modules.update((module.__name__, module) for module in absent)
    try:
        importlib.import_module(name)
    finally:
        for module in absent:
            module.leave()


def _is_coroutine(something: object) -> bool:
    """Tell what :func:`asyncio.iscoroutine` tells."""
    return type(something) is CoroutineType or isinstance(something, Coroutine)
