"""Threads that work beside a test (``tests/support/threads.py``)."""

from __future__ import annotations

import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.support.threads import working_beside


class WorkingBesideTests(SynchronousTestCase):
    def test_what_ends_one_thread_ends_the_test(self) -> None:
        def die(over: threading.Event) -> None:
            raise ConnectionResetError("gone")

        def test() -> None:
            with working_beside([threading.Event.wait, die]):
                pass

        self.assertIn("gone", str(self.assertRaises(ConnectionResetError, test)))

    def test_all_end_when_the_test_fails(self) -> None:
        ended = []

        def work(over: threading.Event) -> None:
            over.wait()
            ended.append(over)

        def test() -> None:
            with working_beside([work, work]):
                raise AssertionError("wrong")

        self.assertRaises(AssertionError, test)
        self.assertEqual(len(ended), 2)
