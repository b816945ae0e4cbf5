"""What is stored, looked at and changed beside a daemon and through it, while workers die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.integration.locking import giftless
from tests.integration.support import Daemon, IntegrationTestCase, Response, oid_of
from tests.integration.workers import SPARE
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, wait_until

JSON = {"Content-Type": "application/json"}

#: Objects of a repository: enough that renaming takes a moment beside its waiting.
DATA = [b"object %d" % number for number in range(300)]


class AdministrationTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.admin = Daemon(self.directory / "admin", port=free_port())
        self.daemon = self.start_daemon(
            config={
                "workers": 2,
                "admin": {"endpoints": [f"tcp:{self.admin.port}:interface=127.0.0.1"]},
                "observers": [{"type": "audit", "file": "audit.log"}],
            },
            spare=SPARE,
        )

    def fill(self) -> None:
        """Store objects, and let the catalogue know them."""
        folder = self.daemon.store / "acme" / "rocket"
        folder.mkdir(parents=True)
        for data in DATA:
            (folder / oid_of(data)).write_bytes(data)
        self.run_giftless("catalogue", "rebuild")

    def run_giftless(self, *arguments: str) -> str:
        """Run a command beside the daemon."""
        config = str(self.daemon.directory / "giftless.yaml")
        result = giftless(self.daemon, *arguments, "--config", config)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def ask(self, name: str, body: Any = None) -> Response:
        """Send a request to the admin endpoint."""
        raw = None if body is None else json.dumps(body).encode()
        return self.admin.request("GET" if body is None else "POST", f"/api/{name}", raw, JSON)

    def until_done(self, name: str, body: Any) -> Any:
        """Repeat a request until it is done, as a client does."""
        answers: list[Response] = []

        def done() -> bool:
            answers.append(self.ask(name, body))
            return answers[-1].status == 200

        wait_until(done, f"{name} is done")
        return answers[-1].json

    def test_what_a_client_pushes_is_listed_with_its_name(self) -> None:
        trick = "\x1b]0;owned\x07\u202e" + "x" * 1000 + ".psd"
        wanted = {"oid": oid_of(b"hello"), "size": 5, "x-filename": trick}
        batch = {"operation": "upload", "transfers": ["basic"], "objects": [wanted]}
        body = json.dumps(batch).encode()
        reply = self.daemon.request("POST", "/acme/rocket/objects/batch", body, JSON)
        action = reply.json["objects"][0]["actions"]["upload"]
        self.daemon.request("PUT", action["href"], b"hello", action["header"])

        def listed() -> bool:
            return bool(self.ask("objects").json["objects"])

        wait_until(listed, "the catalogue knows the object")
        (told,) = self.ask("objects").json["objects"]
        self.assertEqual((told["oid"], told["size"]), (wanted["oid"], 5))
        written = self.run_giftless("ls")
        self.assertIn("\\x1b]0;owned\\x07\\u202e", written)
        self.assertTrue(written.removesuffix("\n").isprintable())
        self.assertIn(oid_of(b"hello"), self.run_giftless("ls", "--json"))

    def test_a_rename_survives_clients_that_leave_and_workers_that_are_killed(self) -> None:
        self.fill()
        operations = self.daemon.directory / "giftless-state" / "operations"
        body = {"repo": "acme/rocket", "to": "acme/engine"}
        for _ in range(2):
            client = threading.Thread(target=self._ask_in_vain, args=("rename", body))
            client.start()
            wait_until(lambda: _runs(operations), "the rename runs")
            for worker in self.daemon.workers:
                os.kill(worker, signal.SIGKILL)
            client.join(PATIENCE)
            wait_until(lambda: self.ask("usage").status == 200, "workers serve again")
        done = self.until_done("rename", body)
        self.assertEqual((done["state"], done["result"]["left"]), ("done", 0))
        for data in (DATA[0], DATA[150], DATA[-1]):
            for repo in ("acme/rocket", "acme/engine"):
                self.assertEqual(self.daemon.get(oid_of(data), repo).body, data)
        names = {path.name for path in (self.daemon.store / "acme" / "engine").iterdir()}
        self.assertEqual(names, set(map(oid_of, DATA)))
        self.assertEqual(len(self.run_giftless("ls", "acme/engine").splitlines()), len(DATA))
        self.assertEqual(self.run_giftless("repo", "alias"), "acme/rocket -> acme/engine\n")

    def _ask_in_vain(self, name: str, body: Any) -> None:
        """Ask, and do not mind that the answer is a failure or none."""
        with contextlib.suppress(OSError, HTTPException):
            self.ask(name, body)

    def test_commands_and_requests_see_what_the_others_do(self) -> None:
        self.fill()
        oids = [oid_of(data) for data in DATA[:3]]
        self.run_giftless("rm", "acme/rocket", *oids, "--reason", "leaked")
        self.assertFalse((self.daemon.store / "acme" / "rocket" / oids[0]).exists())
        trashed = self.ask("trash?repo=acme/rocket").json["objects"]
        self.assertEqual({each["oid"] for each in trashed}, set(oids))
        back = self.ask("trash/restore", {"repo": "acme/rocket", "oids": oids[:2]})
        self.assertEqual({each["result"] for each in back.json["objects"]}, {"restored"})
        self.assertEqual(self.daemon.get(oids[0], "acme/rocket").body, DATA[0])
        self.assertEqual(len(self.run_giftless("trash", "list").splitlines()), 1)
        self.until_done("trash/empty", {"really": True})
        self.assertEqual(self.run_giftless("trash", "list"), "")
        self.assertEqual(self.daemon.get(oids[2], "acme/rocket").status, 404)
        audit = (self.daemon.directory / "audit.log").read_text()
        (restored, *_) = [
            json.loads(line) for line in audit.splitlines() if "object.restored" in line
        ]
        self.assertEqual((restored["who"], restored["address"]), ("admin endpoint", "127.0.0.1"))
        self.assertEqual(restored["request_id"], back.headers["x-request-id"])


def _runs(operations: Path) -> bool:
    """Whether a worker has noted that it is at something."""
    try:
        return any(path.stat().st_size for path in operations.iterdir())
    except OSError:
        return False
