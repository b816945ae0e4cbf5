"""Workers import Twisted without asyncio, cookies and tests, and can still have them."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

#: Imports Twisted without them.
LEAN: Final = """
import sys
from giftless.runtime import lean
lean.import_twisted()
from twisted.internet.defer import Deferred, ensureDeferred
assert not {"asyncio", "http.cookiejar", "unittest"} & sys.modules.keys()
"""


class ImportTests(SynchronousTestCase):
    def check(self, program: str, begin: str = LEAN) -> None:
        """Run a program in a Python of its own, which asserts something."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", begin + program],
            capture_output=True,
            check=False,
            text=True,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_coroutines_are_known(self) -> None:
        self.check(
            "async def one(): return 1\n"
            "def two(): yield Deferred().callback(None); return 2\n"
            "class Other:\n"
            "    send = throw = close = __await__ = None\n"
            "assert Deferred.fromCoroutine(one()).result == 1\n"
            "for wrong in (1, one, None, Deferred()):\n"
            "    try: Deferred.fromCoroutine(wrong)\n"
            "    except TypeError: continue\n"
            "    raise AssertionError(wrong)\n"
            "import asyncio\n"
            "started = one()\n"
            "for value in (started, one, None, 1, Deferred(), Other()):\n"
            "    assert lean._is_coroutine(value) == asyncio.iscoroutine(value), value\n"
            "started.close()\n"
        )

    def test_deferreds_work_with_asyncio_that_comes_later(self) -> None:
        self.check(
            "import asyncio\n"
            "async def add(one, other):\n"
            "    loop = asyncio.get_running_loop()\n"
            "    first = Deferred()\n"
            "    loop.call_soon(first.callback, one)\n"
            "    second = loop.create_future()\n"
            "    sums = []\n"
            "    Deferred.fromFuture(second).addCallback(sums.append)\n"
            "    second.set_result(other)\n"
            "    return await first.asFuture(loop) + (await asyncio.sleep(0) or sums[0])\n"
            "assert asyncio.run(add(1, 2)) == 3\n"
        )

    def test_others_get_the_real_modules(self) -> None:
        self.check(
            "from twisted.python.compat import cookielib\n"
            "jar = cookielib.CookieJar\n"
            "import asyncio, http.cookiejar, unittest\n"
            "assert http.cookiejar.CookieJar is jar\n"
            "assert asyncio.Future and asyncio.iscoroutine is not lean._is_coroutine\n"
            "import twisted.internet.asyncioreactor, twisted.web.client, twisted.trial.unittest\n"
            "assert issubclass(twisted.trial.unittest.SynchronousTestCase, unittest.TestCase)\n"
        )

    def test_no_process_that_serves_ssh_gets_them(self) -> None:
        self.check(
            "import giftless.runtime.ssh_process, giftless.sshd.front\n"
            "assert not {'asyncio', 'http.cookiejar', 'unittest'} & sys.modules.keys()\n"
        )

    def test_more_may_be_asked_of_a_module_than_is_known(self) -> None:
        """A later Twisted may import more."""
        self.check(
            "module = sys.modules['asyncio'] = lean._StandIn('asyncio', Future=object)\n"
            "from asyncio import Future\n"
            "assert Future is object and sys.modules['asyncio'] is module\n"
            "from asyncio import Future, TaskGroup\n"
            "import asyncio\n"
            "assert asyncio is not module and asyncio.TaskGroup is TaskGroup\n"
        )

    def test_what_has_been_imported_stays(self) -> None:
        self.check(
            "import asyncio, http.cookiejar, unittest\n"
            "from giftless.runtime import lean\n"
            "lean.import_twisted()\n"
            "from twisted.internet import defer\n"
            "from twisted.python.compat import cookielib\n"
            "assert defer.Future is asyncio.Future and cookielib is http.cookiejar\n"
            "assert sys.modules['asyncio'] is asyncio and sys.modules['unittest'] is unittest\n",
            begin="import sys\n",
        )
