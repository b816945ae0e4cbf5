"""Processes of several kinds, kept as if they were of one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.tally import Tally
from giftless.runtime.supervision.fleet import Fleet
from giftless.runtime.supervision.process import Plan
from giftless.runtime.supervision.supervisor import Supervisor, WorkerFailed
from tests.runtime.supervision.test_supervisor import Process, Processes, plan


class FleetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactors = [Processes(), Processes()]
        self.supervisors = [
            self.make(kind, reactor)
            for kind, reactor in zip(("worker", "SSH process"), self.reactors, strict=True)
        ]
        self.fleet = Fleet(*self.supervisors)
        self.fleet.startService()

    def make(self, kind: str, reactor: Any) -> Supervisor:
        return Supervisor(kind, reactor, ["python"], {}, "/", lambda _: None, lambda: None, Tally())

    def started(self, kind: int) -> list[Process]:
        return self.reactors[kind].started

    def replace(self, *plans: Plan) -> Deferred[None]:
        return Deferred.fromCoroutine(self.fleet.replace(plans))

    def start(self, *plans: Plan) -> None:
        replaced = self.replace(*plans)
        self.started(0)[-1].ready()
        self.started(1)[-1].ready()
        self.successResultOf(replaced)

    def test_one_kind_is_started_after_the_other(self) -> None:
        replaced = self.replace(plan(), plan())
        self.assertEqual(self.started(1), [])
        self.started(0)[0].ready()
        self.assertNoResult(replaced)
        self.assertFalse(self.fleet.settled)
        self.started(1)[0].ready()
        self.successResultOf(replaced)
        self.assertTrue(self.fleet.settled)
        self.assertEqual(self.fleet.status, "workers: 1 serving; SSH processes: 1 serving")

    def test_a_kind_of_which_none_is_wanted_is_not_mentioned(self) -> None:
        replaced = self.replace(plan(), plan(0))
        self.started(0)[0].ready()
        self.successResultOf(replaced)
        self.assertTrue(self.fleet.settled)
        self.assertEqual(self.fleet.status, "workers: 1 serving")

    def test_those_of_a_kind_that_is_no_longer_wanted_retire(self) -> None:
        self.start(plan(), plan())
        replaced = self.replace(plan(), plan(0))
        self.started(0)[1].ready()
        self.successResultOf(replaced)
        self.assertEqual(self.started(1)[0].told_to, "retire")

    def test_if_the_second_kind_cannot_start_the_first_goes_back(self) -> None:
        before, after = plan(orders=b"before"), plan(orders=b"after")
        self.start(before, plan())
        replaced = self.replace(after, plan())
        self.started(0)[1].ready()
        self.started(1)[1].say(b"failed there is no key\n")
        self.started(1)[1].end(1)
        self.assertNoResult(replaced)
        self.assertEqual(self.started(0)[2].orders, b"before\n")
        self.started(0)[2].ready()
        problem = self.failureResultOf(replaced, WorkerFailed).value
        self.assertEqual(str(problem), "there is no key")
        self.assertEqual(self.started(0)[1].told_to, "retire")
        self.assertEqual(self.started(1)[0].told_to, "")

    def test_if_the_first_kind_cannot_start_the_second_is_left_alone(self) -> None:
        self.start(plan(), plan())
        replaced = self.replace(plan(), plan())
        self.started(0)[1].end(1)
        self.failureResultOf(replaced, WorkerFailed)
        self.assertEqual(len(self.started(1)), 1)

    def test_all_end_at_once(self) -> None:
        self.start(plan(), plan())
        ended = self.fleet.stopService()
        for kind in (0, 1):
            self.assertEqual(self.started(kind)[0].told_to, "SIGTERM")
        self.started(0)[0].end()
        self.assertNoResult(ended)
        self.started(1)[0].end()
        self.successResultOf(ended)
