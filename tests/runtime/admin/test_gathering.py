"""What the daemon learns from its workers."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.monitoring.activity import (
    MAX_EVENTS,
    MAX_REPOSITORIES,
    OTHERS,
    Recent,
    Report,
    RepositoryTraffic,
    Running,
)
from giftless.runtime.admin.gathering import (
    INTERVAL,
    MAX_TOLD,
    PATIENCE,
    SHORTEST,
    STEP,
    STEPS,
    Gatherer,
)
from giftless.runtime.questions import ACTIVITY, MAX_PATIENCE, Unanswered


def refusal(at: float, repo: str = "r", cause: str = "forbidden", count: int = 1) -> Recent:
    return Recent(at, "request.refused", repo, "no", "", cause, count, at)


class GathererTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.clock.advance(10_000)
        self.asked: list[list[Deferred[bytes]]] = []
        self.pids = [1, 2]
        self.gatherer = Gatherer(self.ask_all, lambda: self.pids, self.clock)

    def ask_all(self, name: str, patience: float) -> list[Deferred[bytes]]:
        self.assertEqual((name, patience), (ACTIVITY, MAX_PATIENCE))
        self.asked.append([Deferred() for _ in self.pids])
        return self.asked[-1]

    def take(self, *events: Recent, worker: int = 1, **named: Any) -> None:
        report = Report(worker, events=list(events), **named)
        self.gatherer.take(msgspec.json.encode(report))

    def test_who_looks_waits_for_all_workers(self) -> None:
        looking = Deferred.fromCoroutine(self.gatherer.gather())
        first, second = self.asked[0]
        first.callback(msgspec.json.encode(Report(1, [RepositoryTraffic("a", 1)])))
        self.assertNoResult(looking)
        second.callback(msgspec.json.encode(Report(2, [RepositoryTraffic("a", 2)])))
        self.successResultOf(looking)
        self.assertEqual(self.gatherer.repositories(), [RepositoryTraffic("a", 3)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_waits_long_for_one_that_hangs_and_nothing_of_it_is_lost(self) -> None:
        looking = Deferred.fromCoroutine(self.gatherer.gather())
        first, second = self.asked[0]
        first.callback(b'{"worker": 1}')
        self.clock.advance(PATIENCE)
        self.successResultOf(looking)
        second.callback(msgspec.json.encode(Report(2, [RepositoryTraffic("a", 2)])))
        self.assertEqual(self.gatherer.repositories(), [RepositoryTraffic("a", 2)])

    def test_one_that_ends_or_talks_nonsense_harms_nobody(self) -> None:
        looking = Deferred.fromCoroutine(self.gatherer.gather())
        first, second = self.asked[0]
        first.errback(Unanswered("has ended"))
        second.callback(b'{"worker": "x"')
        self.successResultOf(looking)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_all_who_look_at_once_share_the_answers(self) -> None:
        looking = [Deferred.fromCoroutine(self.gatherer.gather()) for _ in range(3)]
        self.assertEqual(len(self.asked), 1)
        for answer in self.asked[0]:
            answer.callback(b'{"worker": 1}')
        for one in looking:
            self.successResultOf(one)
        self.successResultOf(Deferred.fromCoroutine(self.gatherer.gather()))
        self.clock.advance(SHORTEST)
        self.assertNoResult(Deferred.fromCoroutine(self.gatherer.gather()))
        self.assertEqual(len(self.asked), 2)

    def test_workers_are_asked_now_and_then_if_nobody_looks(self) -> None:
        for _ in range(20):
            self.gatherer.ask(INTERVAL)
            self.clock.advance(1)
        self.assertEqual(len(self.asked), 2)

    def test_a_worker_tells_the_rest_before_it_ends(self) -> None:
        report = Report(1, [RepositoryTraffic("a", 1)])
        told = Deferred.fromCoroutine(self.gatherer.told(msgspec.json.encode(report)))
        self.assertEqual(self.successResultOf(told), b"null")
        self.assertEqual(self.gatherer.repositories(), [RepositoryTraffic("a", 1)])

    def test_repositories_are_those_of_the_last_hour(self) -> None:
        for number in range(STEPS + 1):
            self.take(repositories=[RepositoryTraffic("a", batches=1)])
            if number < STEPS:
                self.clock.advance(STEP)
        self.assertEqual(self.gatherer.repositories()[0].batches, STEPS)
        self.clock.advance(STEPS * STEP)
        self.assertEqual(self.gatherer.repositories(), [])

    def test_what_is_told_of_repositories_is_bounded(self) -> None:
        for first in range(0, 20 * MAX_REPOSITORIES, 500):
            names = range(first, first + 500)
            self.take(repositories=[RepositoryTraffic(f"r{n}", uploaded_bytes=n) for n in names])
            self.clock.advance(10)
        told = self.gatherer.repositories()
        self.assertEqual(len(told), MAX_TOLD + 1)
        self.assertEqual(told[0].uploaded_bytes, 20 * MAX_REPOSITORIES - 1)
        self.assertEqual(told[-1].name, OTHERS)
        total = 20 * MAX_REPOSITORIES
        self.assertEqual(sum(one.uploaded_bytes for one in told), total * (total - 1) // 2)

    def test_events_are_told_the_newest_first(self) -> None:
        self.take(Recent(3, "lock.forced", "r", "three"), refusal(1))
        self.take(Recent(2, "lock.created", "r", "two"), worker=2)
        self.assertEqual([event.at for event in self.gatherer.events()], [3, 2, 1])

    def test_refusals_of_several_workers_that_are_alike_are_one(self) -> None:
        self.take(refusal(1, count=5))
        self.take(refusal(2, "other"))
        self.take(refusal(9, count=7), worker=2)
        first, second = self.gatherer.events()
        self.assertEqual((first.at, first.since, first.count), (9, 1, 12))
        self.assertEqual((second.repo, second.count), ("other", 1))

    def test_a_flood_of_refusals_leaves_other_events(self) -> None:
        self.take(Recent(0, "lock.forced", "r", "forced"))
        for number in range(500):
            self.take(refusal(number + 1, f"r{number}"))
        events = self.gatherer.events()
        self.assertLessEqual(len(events), MAX_EVENTS)
        self.assertEqual(events[-1].kind, "lock.forced")
        self.assertEqual(events[0].repo, "r499")

    def test_a_flood_of_objects_in_the_trash_leaves_other_events(self) -> None:
        self.take(Recent(0, "lock.forced", "r", "forced"), refusal(0.5))
        for number in range(500):
            self.take(Recent(number + 1, "object.trashed", f"r{number}", "moved", since=1.0))
            self.take(Recent(number + 1, "object.deleted", "r", "gone", count=2, since=2.0))
        events = self.gatherer.events()
        self.assertLessEqual(len(events), MAX_EVENTS)
        self.assertEqual([event.kind for event in events[-2:]], ["request.refused", "lock.forced"])
        (deleted,) = [event for event in events if event.kind == "object.deleted"]
        self.assertEqual((deleted.count, deleted.since, deleted.at), (1000, 2.0, 500))

    def test_uploads_are_those_of_workers_that_run(self) -> None:
        def running(worker: int, began_at: float) -> Running:
            return Running("r", "0" * 64, 5, 1, began_at, worker)

        self.take(worker=1, transfers=[running(1, 7.0)], running_total=120)
        self.take(worker=2, transfers=[running(2, 5.0)], running_total=1)
        told, total = self.gatherer.uploads()
        self.assertEqual([(one.worker, one.began_at) for one in told], [(2, 5.0), (1, 7.0)])
        self.assertEqual(total, 121)
        self.take(worker=2)
        self.pids = [2]
        self.assertEqual(self.gatherer.uploads(), ([], 0))

    def test_no_worker_is_no_problem(self) -> None:
        self.pids = []
        self.successResultOf(Deferred.fromCoroutine(self.gatherer.gather()))
        self.assertEqual(self.gatherer.uploads(), ([], 0))
