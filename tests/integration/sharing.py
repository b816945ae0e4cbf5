"""Daemons that the tests of one module have in common.

Starting a daemon costs more than most tests do with it.  Tests that only send
requests, each to a repository of its own, can share one.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from tests.integration.support import Daemon, IntegrationTestCase

T = TypeVar("T")


class _Fixtures:
    """What the tests of one module have started, until another module's begin."""

    def __init__(self) -> None:
        self._owner = ""
        self._made: dict[str, object] = {}
        self._stack = ExitStack()
        atexit.register(self.close)

    def get(self, owner: str, key: str, start: Callable[[Path], AbstractContextManager[T]]) -> T:
        """Start something in a directory of its own, if this module has not done so."""
        if self._owner != owner:
            self.close()
        self._owner = owner
        if key not in self._made:
            directory = Path(tempfile.mkdtemp(prefix="giftless-test-"))
            self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
            self._made[key] = self._stack.enter_context(start(directory))
        return cast(T, self._made[key])

    def close(self) -> None:
        """Stop everything."""
        self._owner = ""
        self._made.clear()
        self._stack.close()


_FIXTURES = _Fixtures()


def stop_shared() -> None:
    """Stop what the tests of the last module have shared."""
    _FIXTURES.close()


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Start a daemon, and stop it at the end."""
    try:
        yield daemon.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.stop()
    finally:
        daemon.kill()


class SharingTestCase(IntegrationTestCase):
    """Tests that share what they start.

    :ivar repo: a repository that no other test uses.
    """

    _numbers = itertools.count()

    def setUp(self) -> None:
        """Name the repository."""
        super().setUp()
        self.repo = f"acme/rocket-{next(self._numbers)}"

    def share(self, key: str, start: Callable[[Path], AbstractContextManager[T]]) -> T:
        """Start something once for all tests of this module.

        :param key: tells it from other things that the module shares.
        :param start: starts it in a directory.
        """
        return _FIXTURES.get(type(self).__module__, key, start)

    def share_daemon(self, **config: Any) -> Daemon:
        """Return a daemon that runs with a configuration, and whose log is empty.

        No test may stop it or change its configuration.
        """

        def start(directory: Path) -> AbstractContextManager[Daemon]:
            return running(Daemon(directory, config=config))

        daemon = self.share(f"daemon {json.dumps(config, sort_keys=True)}", start)
        daemon.forget()
        self.addCleanup(self._assert_runs, daemon, daemon.running.pid)
        return daemon

    def _assert_runs(self, daemon: Daemon, pid: int) -> None:
        self.assertIsNone(daemon.running.poll(), "the shared daemon has ended")
        self.assertEqual(daemon.running.pid, pid, "the shared daemon was started anew")
