"""What a real daemon tells of itself at one glance, whatever is killed, stopped or replaced."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from tests.integration.support import REPO, Daemon, oid_of, upload_head
from tests.integration.test_monitoring import Admin, MonitoringTestCase
from tests.integration.workers import MIB
from tests.support.certificates import write_certificate
from tests.support.commands import run_command
from tests.support.ports import free_port
from tests.support.processes import ENDED, wait_until
from tests.support.rounds import rounds

#: How often all workers are replaced, or one is killed.
ROUNDS = rounds(2, 10)


class OverviewTests(MonitoringTestCase):
    def overview(self, admin: Admin) -> Any:
        status, body = admin.get("/overview.json")
        self.assertEqual(status, 200)
        return json.loads(body)

    def repositories(self, admin: Admin) -> dict[str, tuple[int, int, int, int, int]]:
        """Return what was done for each repository, as far as workers have told it."""
        return {
            one["name"]: (
                one["batches"],
                one["objects_stored"],
                one["objects_served"],
                one["uploaded_bytes"],
                one["downloaded_bytes"],
            )
            for one in self.overview(admin)["repositories"]
        }

    def become(self, admin: Admin, expected: dict[str, tuple[int, int, int, int, int]]) -> None:
        """Wait until workers have told what was done."""
        wait_until(lambda: self.repositories(admin) == expected, f"{expected}")

    def exchange(self, daemon: Daemon, number: int) -> None:
        """Upload, download and ask; each is a new connection, to whichever worker."""
        for count in range(number):
            data = f"object {count}".encode().ljust(100)
            self.assertEqual(daemon.put(data), 200)
            self.assertEqual(daemon.get(oid_of(data)).status, 200)
            self.assertEqual(daemon.get(oid_of(b"absent")).status, 404)
            self.assertEqual(daemon.batch("download", (oid_of(data), 100)).status, 200)

    def test_work_and_its_causes_are_told(self) -> None:
        daemon, admin = self.serve()
        self.exchange(daemon, 10)
        self.assertEqual(daemon.put(b"other", "someone/else"), 200)
        self.become(admin, {REPO: (10, 10, 10, 1000, 1000), "someone/else": (0, 1, 0, 5, 0)})
        overview = self.overview(admin)
        totals = overview["totals"]
        self.assertEqual((totals["uploaded_bytes"], totals["downloaded_bytes"]), (1005, 1000))
        self.assertEqual((totals["refused"], totals["errors"], totals["objects"]), (10, 0, 10))
        self.assertEqual(
            overview["causes"], [{"cause": "not-found", "hour": 10, "day": 10, "total": 10}]
        )
        self.assertEqual(sum(overview["hour"]["uploaded_bytes"]), 1005)
        (event,) = overview["events"]
        self.assertEqual((event["cause"], event["repo"], event["count"]), ("not-found", REPO, 10))
        self.assertTrue(event["request_id"])
        self.assertEqual(overview["url"], f"http://127.0.0.1:{daemon.port}")
        self.assertEqual(len(overview["workers"]), 2)
        self.assertEqual(
            overview["health"]["problems"], {"store": "", "locks": "", "catalogue": ""}
        )
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_a_running_upload_is_told(self) -> None:
        daemon, admin = self.serve(1)
        oid, size, sent = oid_of(b"large"), 4 * MIB, MIB
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid, size) + bytes(sent))

            def running() -> list[Any]:
                transfers: list[Any] = self.overview(admin)["transfers"]
                return [one for one in transfers if one["received"]]

            wait_until(lambda: bool(running()), "the upload")
            (upload,) = running()
            self.assertEqual((upload["repo"], upload["oid"], upload["size"]), (REPO, oid, size))
            self.assertLessEqual(upload["received"], sent)
            self.assertEqual([upload["worker"]], daemon.workers)
            self.assertEqual(self.overview(admin)["uploads_in_progress"], 1)
        wait_until(lambda: not self.overview(admin)["transfers"], "its end")

    def test_giftless_top_finds_each_kind_of_endpoint(self) -> None:
        key, certificate = write_certificate(self.directory)
        path = self.directory / "admin.sock"
        port, admin = free_port(), Admin(free_port())
        endpoints = [
            f"tcp:{admin.port}:interface=127.0.0.1",
            f"unix:{path}",
            f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
        ]
        daemon = self.start_daemon(config={"log_format": "json", "admin": {"endpoints": endpoints}})
        self.exchange(daemon, 1)
        # Workers are asked every two seconds at most, and may just have been.
        self.become(admin, {REPO: (1, 1, 1, 100, 100)})
        for number, endpoint in enumerate(endpoints):
            file = self.directory / f"{number}.yaml"
            file.write_text(json.dumps({"admin": {"endpoints": [endpoint]}}))
            shown = run_command(
                "giftless", "top", "--once", "--config", str(file), directory=self.directory
            )
            self.assertEqual((shown.returncode, shown.stderr), (0, ""))
            for words in (daemon.url, "ready", "not-found", REPO):
                self.assertIn(words, shown.stdout)

    def test_a_reload_loses_nothing(self) -> None:
        """Workers that end tell the rest."""
        daemon, admin = self.serve()
        for _ in range(ROUNDS):
            self.exchange(daemon, 5)
            self.hup(daemon)
        wait_until(lambda: len(daemon.workers) == 2, "the end of the others")
        count = 5 * ROUNDS
        self.become(admin, {REPO: (count, count, count, 100 * count, 100 * count)})

        def reloads() -> int:
            """Return how many reloads are told."""
            kinds = [event["kind"] for event in self.overview(admin)["events"]]
            return kinds.count("configuration.reloaded")

        wait_until(lambda: reloads() == ROUNDS, "the last reload")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_a_worker_that_is_stopped_holds_up_nobody_and_loses_nothing(self) -> None:
        daemon, admin = self.serve()
        self.exchange(daemon, 10)
        stopped = daemon.workers[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(3):
                began = time.monotonic()
                self.assertEqual(len(self.overview(admin)["workers"]), 2)
                self.assertLess(time.monotonic() - began, 30)
        finally:
            os.kill(stopped, signal.SIGCONT)
        self.become(admin, {REPO: (10, 10, 10, 1000, 1000)})

    def replaced(self, daemon: Daemon, victim: int) -> None:
        """Wait until another worker serves for one that has ended."""
        wait_until(lambda: victim not in self.serving(daemon), "its end")
        wait_until(lambda: len(self.serving(daemon)) == 2, "another worker")

    def test_a_worker_that_is_killed_while_it_is_asked_is_passed_over(self) -> None:
        daemon, admin = self.serve()
        for _ in range(ROUNDS):
            victim = sorted(self.serving(daemon))[0]
            os.kill(victim, signal.SIGSTOP)
            self.overview(admin)
            os.kill(victim, signal.SIGKILL)
            self.replaced(daemon, victim)
        overview = self.overview(admin)
        self.assertEqual((overview["died"], len(overview["workers"])), (ROUNDS, 2))
        self.exchange(daemon, 1)
        self.become(admin, {REPO: (1, 1, 1, 100, 100)})
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)
