"""Metrics and health of a real daemon, whatever is killed, replaced or gone."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import (
    REPO,
    Daemon,
    IntegrationTestCase,
    object_path,
    oid_of,
    read_reply,
)
from tests.integration.workers import WorkersTestCase
from tests.support.commands import run_command
from tests.support.passwords import quick_hash
from tests.support.ports import free_port
from tests.support.postgresql import PostgreSQLServer, postgresql
from tests.support.processes import ENDED, PATIENCE, wait_until
from tests.support.rounds import rounds
from tests.support.servers import shared
from tests.support.tokens import basic

#: Labels of metrics.
OBJECT = "route=objects/storage/{oid}"
OK_PUT = "backend=local,operation=put,outcome=ok"

#: How often a worker is killed, or all are replaced.
ROUNDS = rounds(4, 40)

#: A sample: its name, and its labels as text.
Samples = Mapping[tuple[str, str], float]


class Admin:
    """The admin endpoint of a daemon."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            client.request("GET", path)
            reply = client.getresponse()
            return reply.status, reply.read()
        finally:
            client.close()

    def samples(self) -> Samples:
        """Return what a scrape finds."""
        status, body = self.get("/metrics")
        assert status == 200, body
        return {
            (
                sample.name,
                ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())),
            ): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def counters(self) -> Samples:
        """Return what must never fall."""
        ends = ("_total", "_bucket", "_count", "_sum")
        return {key: value for key, value in self.samples().items() if key[0].endswith(ends)}

    def health(self) -> tuple[int, Any]:
        status, body = self.get("/health/ready")
        return status, json.loads(body)


def admin_config(admin: Admin, workers: int, **settings: Any) -> dict[str, Any]:
    """Return a configuration with an admin endpoint."""
    return {
        "workers": workers,
        "log_format": "json",
        "admin": {"endpoints": [f"tcp:{admin.port}:interface=127.0.0.1"]},
        **settings,
    }


class MonitoringTestCase(WorkersTestCase, SharingTestCase):
    def serve(self, workers: int = 2, **settings: Any) -> tuple[Daemon, Admin]:
        """Start a daemon with an admin endpoint."""
        admin = Admin(free_port())
        return self.start_daemon(config=admin_config(admin, workers, **settings)), admin

    def share_admin(self) -> tuple[Daemon, Admin]:
        """Use a daemon with one worker and an admin endpoint, to which nothing is uploaded."""

        @contextmanager
        def start(directory: Path) -> Iterator[tuple[Daemon, Admin]]:
            admin = Admin(free_port())
            with running(Daemon(directory, config=admin_config(admin, 1))) as daemon:
                yield daemon, admin

        daemon, admin = self.share("admin", start)
        self.addCleanup(self._assert_runs, daemon, daemon.running.pid)
        return daemon, admin


class MetricsTests(MonitoringTestCase):
    """What is counted is what clients have seen, whatever happens to workers."""

    def exchange(self, daemon: Daemon, numbers: Iterator[int]) -> tuple[int, int]:
        """Upload and download objects; return how many bytes went up and down."""
        up = down = 0
        for _ in range(5):
            data = f"object {next(numbers)}".encode() * 100
            self.assertEqual(daemon.put(data), 200)
            up += len(data)
            self.assertEqual(daemon.get(oid_of(data)).body, data)
            down += len(data)
        self.assertEqual(daemon.get(oid_of(b"absent")).status, 404)
        reply = daemon.batch("download", (oid_of(b"absent"), 6), (oid_of(data), len(data)))
        self.assertEqual(reply.status, 200)
        return up, down

    def kill_one(self, daemon: Daemon) -> None:
        """Kill a worker, and wait for another."""
        victim = sorted(self.serving(daemon))[0]
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            serving = self.serving(daemon)
            return victim not in serving and len(serving) == 2

        wait_until(replaced, "another worker")

    def test_counts_are_the_clients_after_reloads_and_kills(self) -> None:
        """No counter falls meanwhile."""
        daemon, admin = self.serve()
        numbers = itertools.count()
        up = down = rounds = 0
        before: Samples = {}
        for number in range(ROUNDS):
            more_up, more_down = self.exchange(daemon, numbers)
            up, down, rounds = up + more_up, down + more_down, rounds + 1
            if number % 2:
                self.hup(daemon)
            else:
                self.kill_one(daemon)
            found = admin.counters()
            for key, value in before.items():
                self.assertGreaterEqual(found.get(key, -1), value, key)
            before = found
        for name, labels, value in (
            ("giftless_transfer_bytes_total", "direction=upload,transfer=basic", up),
            ("giftless_transfer_bytes_total", "direction=download,transfer=basic", down),
            ("giftless_object_size_bytes_count", "transfer=basic", rounds * 5),
            ("giftless_object_size_bytes_sum", "transfer=basic", up),
            # One by its URL, and one in a batch.
            ("giftless_refusals_total", "cause=not-found", rounds * 2),
            ("giftless_batches_total", "operation=download,transfer=basic", rounds),
            ("giftless_batch_objects_total", "operation=download,result=transfer", rounds),
            ("giftless_batch_objects_total", "operation=download,result=refused", rounds),
            ("giftless_http_requests_total", f"method=PUT,{OBJECT},status=200", rounds * 5),
            ("giftless_http_requests_total", f"method=GET,{OBJECT},status=200", rounds * 5),
            ("giftless_http_requests_total", f"method=GET,{OBJECT},status=404", rounds),
            ("giftless_http_request_duration_seconds_count", f"method=PUT,{OBJECT}", rounds * 5),
            ("giftless_workers_died_total", "", ROUNDS // 2),
            ("giftless_reloads_total", "result=succeeded", ROUNDS // 2),
            ("giftless_workers", "state=serving", 2),
            ("giftless_uploads_in_progress", "", 0),
        ):
            self.assertEqual(admin.samples()[name, labels], value, f"{name}{{{labels}}}")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_what_is_no_endpoint_and_no_request_is_counted_too(self) -> None:
        daemon, admin = self.serve(1)
        before = admin.samples()
        daemon.request("GET", "/nothing/here")
        daemon.request("BREW", object_path(oid_of(b"x")))
        with daemon.connect() as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            self.assertEqual(read_reply(connection)[0], 400)

        def more() -> dict[str, float]:
            name = "giftless_http_requests_total"
            return {
                labels: value - before.get((found, labels), 0)
                for (found, labels), value in admin.samples().items()
                if found == name and value != before.get((found, labels), 0)
            }

        wait_until(lambda: sum(more().values()) == 3, "the counts")
        self.assertEqual(
            more(),
            {
                "method=GET,route=none,status=404": 1,
                "method=other,route=none,status=405": 1,
                "method=other,route=none,status=400": 1,
            },
        )

    def test_looks_into_caches_are_counted(self) -> None:
        users, access = self.directory / "htpasswd", self.directory / "access.yaml"
        users.write_text(f"alice:{quick_hash('secret')}\n")
        access.write_text(f"alice: {{{REPO}: write}}\n")
        section = {"type": "basic", "htpasswd": str(users), "access": str(access)}
        daemon, admin = self.serve(1, auth=[section])
        headers = {"Authorization": basic("alice", "secret")}
        for _ in range(5):
            self.assertEqual(daemon.put(b"x", headers=headers), 200)
        name, found = "giftless_cache_requests_total", admin.samples()
        self.assertEqual(found[name, "cache=basic,result=miss"], 1)
        self.assertEqual(found[name, "cache=basic,result=hit"], 4)

    def test_admin_endpoints_answer_until_the_last_transfer_is_over(self) -> None:
        daemon, admin = self.serve(1)
        data = b"some bytes"
        with daemon.connect() as connection:
            head = f"PUT {object_path(oid_of(data))} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
            connection.sendall(head.encode() + b"\r\n" + data[:5])
            name = "giftless_uploads_in_progress", ""
            wait_until(lambda: admin.samples()[name] == 1, "the upload")
            daemon.running.send_signal(signal.SIGTERM)
            wait_until(lambda: not daemon.listens(), "the end of the endpoint")
            self.assertEqual(admin.samples()[name], 1)
            status, overview = admin.get("/overview.json")
            self.assertEqual((status, json.loads(overview)["url"]), (200, daemon.url))
            connection.sendall(data[5:])
            self.assertEqual(read_reply(connection)[0], 200)
        self.assertEqual(daemon.running.wait(), ENDED)
        self.assert_no_traceback(daemon)

    def test_no_public_endpoint_tells_of_it(self) -> None:
        daemon, _ = self.share_admin()
        for path in ("/metrics", "/health/live", "/health/ready", "/-/metrics"):
            self.assertEqual(daemon.request("GET", path).status, 404, path)

    def test_admin_endpoints_come_and_go_with_a_reload(self) -> None:
        daemon = self.start_daemon(config={"log_format": "json"})
        first, second = Admin(free_port()), Admin(free_port())
        self.assertFalse(daemon.listens(first.port))

        def use(*admins: Admin) -> None:
            endpoints = [f"tcp:{admin.port}:interface=127.0.0.1" for admin in admins]
            self.change(daemon, admin={"endpoints": endpoints})
            self.hup(daemon)

        use(first)
        self.assertEqual(first.get("/health/live")[0], 200)
        use(first, second)
        for admin in (first, second):
            self.assertEqual(admin.get("/health/live")[0], 200)
        use(second)
        wait_until(lambda: not daemon.listens(first.port), "the end of the first")
        self.assertEqual(second.get("/health/live")[0], 200)
        use()
        wait_until(lambda: not daemon.listens(second.port), "the end of the second")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_an_admin_endpoint_that_is_taken_fails_the_reload_alone(self) -> None:
        daemon, admin = self.serve(1)
        endpoints = [f"tcp:{daemon.port}:interface=127.0.0.1"]
        self.change(daemon, admin={"endpoints": endpoints})
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: "stays as it was" in daemon.stdout, "the refusal")
        self.assertIn("admin.endpoints.0: cannot listen", daemon.stdout)
        self.assertIn("already listed", daemon.stdout)
        self.assertEqual(admin.get("/health/live")[0], 200)
        wait_until(
            lambda: admin.samples()["giftless_reloads_total", "result=failed"] == 1, "the count"
        )

    def test_the_parent_is_small_without_admin_endpoints(self) -> None:
        """It imports what they need when there are some."""
        daemon = self.start_daemon(config={"log_format": "json"}, forked=False)
        before = self.resident(daemon)
        self.change(daemon, admin={"endpoints": [f"tcp:{free_port()}:interface=127.0.0.1"]})
        self.hup(daemon)
        self.assertGreater(self.resident(daemon), before + 3_000_000)

    def resident(self, daemon: Daemon) -> int:
        """Return the resident memory of the parent, in bytes."""
        pages = Path(f"/proc/{daemon.running.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class HealthTests(MonitoringTestCase):
    """Ready turns false with the reason, and true again; no process is started anew."""

    def becomes(self, admin: Admin, status: int) -> Any:
        """Wait until the health is so; return what is told."""
        wait_until(lambda: admin.health()[0] == status, f"{status}")
        return admin.health()[1]["parts"]

    def test_all_is_well(self) -> None:
        daemon, admin = self.share_admin()
        self.assertEqual(
            admin.health(),
            (
                200,
                {
                    "status": "ready",
                    "parts": {"store": "well", "locks": "well", "catalogue": "well"},
                },
            ),
        )
        self.assertEqual([path for path in daemon.store.rglob("*/tmp/*") if path.is_file()], [])
        samples = admin.samples()
        self.assertEqual(samples["giftless_ready", ""], 1)
        self.assertGreater(samples["giftless_store_free_bytes", ""], 0)
        self.assertEqual(samples["giftless_locks", ""], 0)
        self.assertEqual(samples["giftless_store_requests_total", OK_PUT], 0)

    def test_public_endpoints_tell_no_reason_and_only_if_they_are_to(self) -> None:
        daemon, admin = self.serve(1)
        self.assertEqual(daemon.request("GET", "/health/ready").status, 404)
        endpoints = [f"tcp:{admin.port}:interface=127.0.0.1"]
        self.change(daemon, admin={"endpoints": endpoints, "public_health": True})
        self.hup(daemon)
        self.assertEqual(daemon.request("GET", "/health/live").json, {"status": "alive"})
        self.assertEqual(daemon.request("GET", "/health/ready").status, 200)
        away = daemon.store.with_name("away")
        daemon.store.rename(away)
        wait_until(lambda: daemon.request("GET", "/health/ready").status == 503, "the outage")
        response = daemon.request("GET", "/health/ready")
        self.assertEqual(
            response.json["parts"],
            {"store": "not well", "locks": "well", "catalogue": "well"},
        )
        self.assertNotIn(str(daemon.store).encode(), response.body)
        self.assertIn(str(daemon.store), self.becomes(admin, 503)["store"])
        away.rename(daemon.store)
        wait_until(lambda: daemon.request("GET", "/health/ready").status == 200, "the end")

    def test_a_store_that_is_away_is_not_ready(self) -> None:
        daemon, admin = self.share_admin()
        workers = daemon.workers
        away = daemon.store.with_name("away")
        daemon.store.rename(away)
        self.assertIn("No such file", self.becomes(admin, 503)["store"])
        self.assertEqual(admin.get("/health/live")[0], 200)
        self.assertEqual(admin.samples()["giftless_part_ready", "part=store"], 0)
        away.rename(daemon.store)
        self.becomes(admin, 200)
        self.assertEqual(daemon.workers, workers)

    def test_a_worker_that_hangs_is_not_ready_and_not_alive(self) -> None:
        daemon, admin = self.share_admin()
        (worker,) = daemon.workers
        os.kill(worker, signal.SIGSTOP)
        try:
            self.assertIn("not answered in time", self.becomes(admin, 503)["workers"])
            wait_until(lambda: admin.get("/health/live")[0] == 503, "nobody to answer")
        finally:
            os.kill(worker, signal.SIGCONT)
        self.becomes(admin, 200)

    def test_a_database_of_locks_that_is_stopped_is_not_ready(self) -> None:
        server: PostgreSQLServer = shared(postgresql)
        conninfo = server.conninfo(server.make_database())
        daemon, admin = self.serve(1, locks={"type": "postgresql", "conninfo": conninfo})
        workers = daemon.workers
        self.becomes(admin, 200)
        server.stop()
        try:
            self.assertIn("locks cannot be reached", self.becomes(admin, 503)["locks"])
        finally:
            server.start()
        self.becomes(admin, 200)
        self.assertEqual(daemon.workers, workers)


class CheckTests(IntegrationTestCase):
    """A bad admin endpoint is an error of the configuration."""

    def test_a_bad_endpoint_is_found_with_its_line(self) -> None:
        config = self.directory / "giftless.yaml"
        config.write_text(
            "workers: 1\nadmin:\n  endpoints:\n    - nonsense\n"
            f"endpoints: ['tcp:{free_port()}:interface=127.0.0.1']\n"
        )
        done = run_command(
            "twistd", "giftless", "--check", "--config", str(config), directory=self.directory
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("admin.endpoints.0: found text that cannot be used", done.stderr)
        self.assertIn("(line 4, column 7)", done.stderr)
