"""A real Prometheus scrapes a daemon under load whose workers are killed and replaced."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
from collections import Counter
from functools import partial
from pathlib import Path

from tests.integration.support import Daemon, object_path, oid_of
from tests.integration.test_monitoring import Admin, MonitoringTestCase
from tests.support.crowd import Crowd
from tests.support.monitoring import RULES, expressions
from tests.support.processes import ENDED, is_running, wait_until
from tests.support.prometheus import Prometheus, prometheus
from tests.support.rounds import rounds

#: How often all workers are replaced, and how often one of them is killed.
ROUNDS = rounds(3, 20)

#: How long each client rests, in seconds: most of the time workers start.
PAUSE = rounds(0.3, 0.01)

#: What the names of counters end with.
COUNTERS = ("_total", "_bucket", "_count", "_sum")

#: What Prometheus knows of what a client counts.
QUERIES = {
    "uploads": 'sum(giftless_http_requests_total{method="PUT",status="200"})',
    "uploaded bytes": 'sum(giftless_transfer_bytes_total{direction="upload"})',
    "downloads": 'sum(giftless_http_requests_total{method="GET",status="200"})',
    "downloaded bytes": 'sum(giftless_transfer_bytes_total{direction="download"})',
    "refusals": 'sum(giftless_refusals_total{cause="not-found"})',
}


class Clients(Crowd):
    """Clients that upload, download, and ask for what is not there; they count it all.

    :param number: how many work at the same time.
    :ivar seen: what they have seen the end of.
    :ivar unknown: what they have not seen the end of, because a worker was killed: it may
        have been counted.
    """

    def __init__(self, daemon: Daemon, number: int = 3) -> None:
        super().__init__(partial(self._run, random.Random(seed)) for seed in range(number))
        self._daemon = daemon
        self._lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.wrong: list[str] = []

    def more(self, uploads: int = rounds(20, 50)) -> None:
        """Wait for some more uploads."""
        wanted = self.seen["uploads"] + uploads
        wait_until(lambda: self.seen["uploads"] >= wanted or self.wrong, "uploads")

    def _run(self, chance: random.Random) -> None:
        while not self.over.wait(PAUSE):
            data = chance.randbytes(chance.randrange(1, 20_000))
            size = len(data)
            self._do("PUT", data, 200, {"uploads": 1, "uploaded bytes": size})
            self._do("GET", data, 200, {"downloads": 1, "downloaded bytes": size})
            self._do("GET", data + b"!", 404, {"refusals": 1})

    def _do(self, method: str, data: bytes, status: int, counts: dict[str, int]) -> None:
        path, body = object_path(oid_of(data)), data if method == "PUT" else None
        try:
            reply = self._daemon.request(method, path, body)
        except (OSError, http.client.HTTPException):
            with self._lock:
                self.unknown.update(counts)
            return
        if method == "GET" and reply.status == 404 and status == 200:
            # Its upload was cut off.
            counts, status = {"refusals": 1}, 404
        if reply.status != status:
            self.wrong.append(f"{method}: {reply.status} {reply.body[:200]!r}")
        with self._lock:
            self.seen.update(counts)


class ScrapeTests(MonitoringTestCase):
    """What Prometheus knows in the end is what clients have seen."""

    def scrape(self, admin: Admin) -> Prometheus:
        """Start a Prometheus."""
        running = prometheus(self.directory / "prometheus", admin.port, RULES)
        self.addCleanup(running.__exit__, None, None, None)
        return running.__enter__()

    def reload(self, daemon: Daemon) -> None:
        """Let all workers be replaced, and do not wait for the last."""
        logged = daemon.stdout.count("worker ")
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.stdout.count("worker ") > logged, "a worker")

    def kill(self, daemon: Daemon, chance: random.Random) -> None:
        """Kill a worker, whatever it is doing, and wait until it is gone."""
        victim = 0
        while not victim:
            victim = chance.choice(sorted(daemon.workers))
            if not self.stopped(victim):
                victim = 0  # it has ended by itself
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_running(victim), "its end")

    def stopped(self, pid: int) -> bool:
        """Stop a process; return whether it had not ended before."""
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return False
        status = Path(f"/proc/{pid}/stat")
        state = ""

        def has_taken_effect() -> bool:
            nonlocal state
            state = status.read_text().rpartition(")")[2].split()[0] if status.exists() else "X"
            return state in "TZX"

        wait_until(has_taken_effect, "the stop")
        return state == "T"

    def settled(self, daemon: Daemon, admin: Admin) -> bool:
        """Whether two workers serve, and there are no others."""
        # The log tells it first, and costs less than a scrape.
        if self.serving(daemon) != set(daemon.workers) or len(daemon.workers) != 2:
            return False
        found = admin.samples()
        states = ("serving", "starting", "leaving")
        return [found["giftless_workers", f"state={state}"] for state in states] == [2, 0, 0]

    def test_prometheus_evaluates_the_rules_and_the_panels_of_the_dashboard(self) -> None:
        daemon, admin = self.serve(scrub={"period": "1h"})
        server = self.scrape(admin)
        with Clients(daemon) as clients:
            clients.more()
            daemon.batch("download", (oid_of(b"absent"), 6))

            def rules() -> list[str]:
                groups = server.ask("rules")["groups"]
                return [rule["health"] for group in groups for rule in group["rules"]]

            wait_until(lambda: set(rules()) == {"ok"}, "the rules")
            requests = "sum(rate(giftless_http_requests_total[1m]))"
            wait_until(lambda: server.query(requests).get("", 0) > 0, "a rate")
            # There was no failure, no lock that changed, no cache, no quota and no end of a pass.
            words = ("lock_changes", "cache_requests", "quota_", "last_pass", 'outcome!="ok"')
            wanted = [each for each in expressions() if not any(map(each.__contains__, words))]
            for each in wanted:
                if "scrub" not in each:
                    # A rate takes two samples.
                    wait_until(lambda each=each: server.query(each), each)  # type: ignore[misc]
        # The pass begins after a minute, for which nobody need do anything.
        for each in wanted:
            if "scrub" in each:
                wait_until(lambda each=each: server.query(each), each, 1.0)  # type: ignore[misc]

    def test_counters_are_those_of_the_clients_and_never_fall(self) -> None:
        daemon, admin = self.serve()
        chance = random.Random(16)
        server = self.scrape(admin)
        with Clients(daemon) as clients:
            for _ in range(ROUNDS):
                scraped = server.scraped()
                clients.more()
                self.reload(daemon)
                # One that serves, starts, or leaves.
                self.kill(daemon, chance)
                clients.more()
                wait_until(lambda: self.settled(daemon, admin), "all workers")
                wait_until(lambda seen=scraped: server.scraped() > seen + 1, "two scrapes")  # type: ignore[misc]
        self.assertEqual(clients.wrong, [])
        scraped = server.scraped()
        wait_until(lambda: server.scraped() > scraped + 1, "the last numbers")
        for name, query in QUERIES.items():
            (found,) = server.query(query).values()
            least, most = clients.seen[name], clients.seen[name] + clients.unknown[name]
            self.assertTrue(least <= found <= most, f"{name}: {least} <= {found} <= {most}")
        self.assertEqual(server.query("sum(giftless_workers_died_total)"), {"": ROUNDS})
        self.assertEqual(server.query("sum(giftless_reloads_total)"), {"": ROUNDS})
        counters = [name for name in server.names() if name.endswith(COUNTERS)]
        self.assertGreater(len(counters), 15)
        for name in counters:
            self.assertEqual(server.query(f"resets({name}[1h]) > 0"), {}, name)
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)
