"""The audit log of a daemon: every privileged act, whoever does it and by which process."""

from __future__ import annotations

import json
import resource
import signal
import stat
from pathlib import Path
from typing import Any

from tests.integration.locking import AUTH, KEY, LOCKS, giftless, header
from tests.integration.support import Daemon, IntegrationTestCase
from tests.integration.workers import SPARE
from tests.support.processes import ENDED, wait_until
from tests.support.tokens import basic


def wrong(password: str) -> dict[str, str]:
    """Return the headers of somebody who guesses."""
    return {"Authorization": basic("_jwt", f"guess-{password}")}


class AuditTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.audit = self.directory / "audit.log"

    def serve(self, **settings: Any) -> Daemon:
        """Start a daemon that knows people, and has an audit log."""
        observers = [{"type": "audit", "file": str(self.audit)}]
        return self.start_daemon(
            config={"auth": AUTH, "observers": observers, **settings}, spare=SPARE
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines about events of one type."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def wait_for(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait until there are so many lines about a type of event."""
        wait_until(lambda: len(self.lines(event)) >= number, f"{number} lines of {event}")
        return self.lines(event)

    def config_of(self, daemon: Daemon) -> Path:
        """Return a daemon's configuration file."""
        return daemon.directory / "giftless.yaml"

    def test_a_refused_login_is_written_with_its_address(self) -> None:
        daemon = self.serve(workers=2)
        for number in range(20):
            reply = daemon.request("GET", LOCKS, headers=wrong(str(number)))
            self.assertEqual(reply.status, 401)
        self.assertEqual(daemon.stop(), ENDED)
        lines = self.lines("request.refused")
        self.assertEqual(len(lines), 20)
        for line in lines:
            self.assertEqual(
                (line["cause"], line["address"], line["repo"]),
                ("bad-credential", "127.0.0.1", "acme/rocket"),
            )
        self.assertNotIn("guess-", self.audit.read_text())
        self.assertEqual(stat.S_IMODE(self.audit.stat().st_mode), 0o600)

    def test_a_lock_removed_by_force_is_written_with_both_names(self) -> None:
        daemon = self.serve()
        reply = daemon.request("POST", LOCKS, b'{"path": "a.psd"}', header("alice"))
        lock = reply.json["lock"]["id"]
        forced = daemon.request("POST", f"{LOCKS}/{lock}/unlock", b'{"force": true}', header("bob"))
        self.assertEqual(forced.status, 200)
        (line,) = self.wait_for("lock.forced")
        self.assertEqual(
            (line["lock"], line["path"], line["owner"], line["who"]),
            (lock, "a.psd", "alice", "bob"),
        )
        self.assertIn("#sub:bob", line["principal"])
        self.assertEqual(line["address"], "127.0.0.1")
        self.assertEqual(line["request_id"], forced.headers["x-request-id"])

    def test_commands_write_to_the_same_file(self) -> None:
        daemon = self.serve()
        file = str(self.config_of(daemon))
        reply = daemon.request("POST", LOCKS, b'{"path": "a.psd"}', header("alice"))
        released = giftless(daemon, "locks", "release", "--config", file, reply.json["lock"]["id"])
        self.assertEqual((released.returncode, released.stderr), (0, ""))
        scope = "obj:acme/*:read"
        minted = giftless(daemon, "token", "--config", file, "--scope", scope, "--subject", "ci")
        self.assertEqual((minted.returncode, minted.stderr), (0, ""))
        (forced,) = self.lines("lock.forced")
        self.assertRegex(forced["who"], r"\Agiftless locks \(.+\)\Z")
        (line,) = self.lines("token.minted")
        self.assertEqual((line["subject"], line["scopes"]), ("ci", [scope]))
        self.assertRegex(line["who"], r"\Agiftless token \(.+\)\Z")
        whole = self.audit.read_text()
        self.assertNotIn(KEY, whole)
        self.assertNotIn(minted.stdout.strip().split(".")[2], whole)

    def test_no_token_is_made_that_the_audit_log_cannot_tell_of(self) -> None:
        daemon = self.make_daemon(
            config={"auth": AUTH, "observers": [{"type": "audit", "file": "/proc/none"}]}
        )
        file = str(daemon.write_config())
        refused = giftless(daemon, "token", "--config", file, "--scope", "obj:acme/*:read")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("observers.0.file: ", refused.stderr)

    def test_each_reload_is_written_once_with_its_outcome(self) -> None:
        daemon = self.serve(workers=2)
        for number in (1, 2):
            daemon.running.send_signal(signal.SIGHUP)
            lines = self.wait_for("configuration.reloaded", number)
        file = self.config_of(daemon)
        good = file.read_text()
        file.write_text("workers: nonsense\n")
        daemon.running.send_signal(signal.SIGHUP)
        lines = self.wait_for("configuration.reloaded", 3)
        file.write_text(good)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual(lines, self.lines("configuration.reloaded"))
        self.assertEqual([line["problem"] for line in lines[:2]], ["", ""])
        self.assertIn("workers: found text", lines[2]["problem"])
        self.assertEqual({line["source"] for line in lines}, {str(file)})

    def test_a_full_disk_harms_no_request(self) -> None:
        """Nothing more fits into the file; the lines are in the daemon's log instead."""
        daemon = self.serve()
        self.audit.write_bytes(b"x" * 4096)
        for worker in daemon.workers:
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, 4096))
        for _ in range(3):
            self.assertEqual(daemon.request("GET", LOCKS, headers=wrong("no")).status, 401)
        daemon.stop()
        self.assertEqual(daemon.stdout.count("the audit log cannot be written: File too large"), 3)
        self.assertEqual(daemon.stdout.count('"event":"request.refused"'), 3)
