"""What operators see at one glance."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless import __version__
from giftless.base.metrics.tally import Tally
from giftless.monitoring.activity import Recent, Report, RepositoryTraffic, Running
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.gathering import PATIENCE
from giftless.runtime.admin.history import INTERVAL
from giftless.runtime.admin.overview import Reporter
from giftless.runtime.questions import ACTIVITY
from giftless.runtime.supervision.process import Plan
from tests.runtime.admin.support import DAEMON, DATE, metrics_of, supervisor


class Starting(Clock):
    """A reactor that starts this process again and again."""

    def spawnProcess(self, protocol: Any, *arguments: Any, **named: Any) -> None:
        protocol.transport = self
        protocol.pid = os.getpid()


class ReporterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = Starting()
        self.reactor.advance(1000)
        self.date = DATE
        self.tally = Tally()
        self.supervisor = supervisor(self.reactor, self.tally)
        self.ssh = supervisor(self.reactor, self.tally)
        self.doctor = Doctor(self.ask, self.reactor)
        self.reporter = Reporter(
            self.reactor,
            lambda: self.date,
            self.tally,
            self.supervisor,
            self.ssh,
            self.doctor,
            lambda: DAEMON,
        )
        self.addCleanup(self.reporter.stop)
        self.answer = succeed(b'{"problems":{"store":"is full"}}')

    def ask(self, name: str, patience: float) -> Deferred[bytes]:
        return self.answer

    def test_the_daemon_is_described(self) -> None:
        overview = self.reporter.overview()
        self.assertEqual(overview.version, __version__)
        self.assertEqual(overview.url, "https://lfs.example")
        self.assertEqual(overview.endpoints, ["tcp:8080"])
        self.assertEqual(overview.admin_endpoints, ["tcp:9090:interface=127.0.0.1"])
        self.assertEqual((overview.now, overview.started_at), (DATE, DATE - 1000))
        self.assertEqual(overview.reloads, {"succeeded": 2, "failed": 1})
        self.assertEqual(overview.reload_problem, "no such file")

    def test_each_worker_is_described(self) -> None:
        self.supervisor.replace(Plan(1, b"", [], 1, 0))
        self.reactor.advance(5)
        overview = self.reporter.overview()
        (worker,) = overview.workers
        self.assertEqual((worker.pid, worker.state), (os.getpid(), "starting"))
        self.assertEqual(worker.started_at, DATE - 5)
        self.assertGreater(worker.memory_bytes, 1_000_000)
        self.assertGreater(worker.cpu_seconds, 0)
        self.assertGreater(worker.open_fds, 3)
        self.assertEqual((overview.started, overview.died), (1, 0))

    def test_each_process_of_the_ssh_listener_is_described(self) -> None:
        self.ssh.replace(Plan(1, b"", [], 1, 0))
        overview = self.reporter.overview()
        (process,) = overview.ssh_processes
        self.assertEqual((process.pid, process.state), (os.getpid(), "starting"))
        self.assertEqual((overview.ssh_started, overview.ssh_died), (1, 0))
        self.assertEqual((overview.workers, overview.started), ([], 0))

    def test_who_looks_has_the_health_looked_at(self) -> None:
        overview = self.reporter.overview()
        assert overview.health is not None
        self.assertEqual(overview.health.problems, {"store": "is full"})
        self.assertEqual(overview.health_at, DATE)
        self.reactor.advance(4)
        self.assertEqual(self.reporter.overview().health_at, DATE - 4)

    def test_the_first_who_looks_waits_for_the_health_but_not_long(self) -> None:
        self.answer = Deferred()
        looking = Deferred.fromCoroutine(self.reporter.look())
        self.reactor.advance(PATIENCE)
        self.assertIsNone(self.successResultOf(looking).health)
        self.answer.callback(b"{}")
        self.assertIsNotNone(self.reporter.overview().health)

    def test_counters_are_read_all_the_time(self) -> None:
        metrics = metrics_of(self.tally)
        self.reporter.start()
        self.reporter.start()
        for _ in range(3):
            metrics.bytes.add(("upload", "basic"), 100)
            self.reactor.advance(INTERVAL)
        overview = self.reporter.overview()
        self.assertEqual(overview.totals.uploaded_bytes, 300)
        self.assertEqual(overview.rates.uploaded_bytes, 20)
        self.reporter.stop()
        self.reporter.stop()
        metrics.bytes.add(("upload", "basic"), 100)
        self.reactor.advance(0.5)
        self.assertEqual(self.reporter.overview().totals.uploaded_bytes, 300)

    def test_what_workers_tell_is_part_of_it(self) -> None:
        report = Report(
            os.getpid(),
            [RepositoryTraffic("org/repo", uploaded_bytes=5)],
            [Recent(DATE, "lock.forced", "org/repo", "by force")],
            [Running("org/repo", "0" * 64, 9, 3, DATE, os.getpid())],
            1,
        )
        self.supervisor.replace(Plan(1, b"", [], 1, 0))
        told: Any = self.supervisor.answers[ACTIVITY](msgspec.json.encode(report))
        self.successResultOf(Deferred.fromCoroutine(told))
        looking = Deferred.fromCoroutine(self.reporter.look())
        overview = self.successResultOf(looking)
        self.assertEqual(overview.repositories, report.repositories)
        self.assertEqual(overview.events, report.events)
        self.assertEqual(overview.transfers, report.transfers)
        self.assertEqual(overview.running_total, 1)

    def test_a_date_that_is_set_does_no_harm(self) -> None:
        metrics = metrics_of(self.tally)
        self.reporter.start()
        metrics.bytes.add(("upload", "basic"), 100)
        self.reactor.advance(INTERVAL)
        for date in (0.0, DATE + 1e9):
            self.date = date
            overview = self.reporter.overview()
            self.assertEqual(overview.started_at, date - 1005)
            self.assertEqual(sum(overview.hour.uploaded_bytes), 100)
            self.assertLessEqual(date, overview.hour.until)
            self.assertLessEqual(overview.day.until, date + 900)

    def test_it_is_json_and_back(self) -> None:
        overview = self.reporter.overview()
        text = msgspec.json.encode(overview)
        self.assertEqual(msgspec.json.decode(text, type=Overview), overview)
        self.assertLess(len(text), 20_000)
        self.assertEqual(json.loads(text)["version"], __version__)
