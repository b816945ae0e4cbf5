"""The audit log: what is written down, and that lines are whole and nobody waits for them."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.app import plugins
from giftless.errors import ConfigError
from giftless.interfaces import (
    AliasChanged,
    CollectionEnded,
    ConfigurationReloaded,
    Environment,
    Event,
    IBlocking,
    IObserver,
    IObserverFactory,
    LockForced,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectTrashed,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    TokenMinted,
)
from giftless.observers.audit import Audit, AuditFile, AuditOptions
from tests.observers.samples import SAMPLES
from tests.support.blocking import ManualBlocking
from tests.support.logs import observe
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

#: The types of what is written down by default.
PRIVILEGED = (
    AliasChanged,
    CollectionEnded,
    ConfigurationReloaded,
    LockForced,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectTrashed,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    TokenMinted,
)

#: Appends 200 lines to a file, each of 100 bytes.
WRITER = """
import sys
from giftless.observers.audit import AuditFile
file = AuditFile(sys.argv[1])
for _ in range(200):
    file.append(sys.argv[2].encode() * 99 + b"\\n")
"""


class AuditTestCase(CoroutineTestCase):
    """Builds audit logs as a configuration would."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.logged: list[dict[str, Any]] = []
        observe(self, self.logged.append)

    def build(self, blocking: IBlocking | None = None, **options: Any) -> Audit:
        """Build an audit log, and start it."""
        lent: Environment = environment(reactor=self.clock, blocking=blocking)
        factory: Any = plugins.choose(IObserverFactory, "audit", "observers.0.type")
        audit: Audit = factory.build(AuditOptions(**options), lent)
        lent.services.startService()
        if blocking is None:
            self.addCleanup(lambda: self.run_now(lent.services.stopService()))
        return audit

    def tell(self, audit: Audit, *events: Event) -> None:
        """Tell it of events, and let it write."""
        for event in events:
            audit.observe(event)
        self.clock.advance(0)

    def lines(self) -> list[dict[str, Any]]:
        """Return what is in the file."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def messages(self) -> list[str]:
        """Return what was logged."""
        return [
            event["log_format"].format(**event)
            for event in self.logged
            if event["log_namespace"] == "giftless.audit"
        ]


class ContentTests(AuditTestCase):
    def test_it_is_an_observer(self) -> None:
        verifyObject(IObserver, self.build())

    def test_privileged_acts_are_written_and_others_are_not(self) -> None:
        self.tell(self.build(file=str(self.path)), *SAMPLES)
        events = [line["event"] for line in self.lines()]
        self.assertEqual(len(events), len(PRIVILEGED))
        self.assertEqual(
            sorted(events),
            [
                "alias.changed",
                "collection.ended",
                "configuration.reloaded",
                "lock.forced",
                "object.deleted",
                "object.marked",
                "object.restored",
                "object.trashed",
                "repository.copied",
                "repository.moved",
                "request.refused",
                "token.minted",
            ],
        )

    def test_a_line_says_when_who_and_from_where(self) -> None:
        self.clock.advance(1795885200.25)
        (forced,) = (event for event in SAMPLES if isinstance(event, LockForced))
        self.tell(self.build(file=str(self.path)), forced)
        self.assertEqual(
            self.lines(),
            [
                {
                    "time": "2026-11-28T17:00:00.250Z",
                    "event": "lock.forced",
                    "repo": "acme/rocket",
                    "path": "art/logo.psd",
                    "lock": "98c28be9130dbb06",
                    "locked_at": 1795884000,
                    "owner": "alice",
                    "owner_principal": "basic#alice",
                    "who": "bob",
                    "principal": "github:github.com#id:583231",
                    "address": "192.0.2.7",
                    "request_id": "5f0c2d6a91b37e48",
                }
            ],
        )

    def test_refusals_are_chosen_by_their_cause(self) -> None:
        audit = self.build(file=str(self.path), refusals=["forbidden"])
        self.tell(audit, Refused("bad-credential", 401, "no"), Refused("forbidden", 403, "no"))
        self.assertEqual([line["cause"] for line in self.lines()], ["forbidden"])

    def test_without_a_file_the_lines_go_to_the_log(self) -> None:
        self.tell(self.build(), *SAMPLES)
        lines = [json.loads(line) for line in self.messages()]
        self.assertEqual(len(lines), len(PRIVILEGED))
        self.assertFalse(self.clock.getDelayedCalls())

    def test_a_name_cannot_begin_a_line_of_its_own(self) -> None:
        who = 'eve"}\n{"event":"token.minted"\u2028\ud800\x1b[2J'
        self.tell(self.build(file=str(self.path)), TokenMinted(who, (), 0, who))
        (line,) = self.lines()
        self.assertEqual((line["subject"], line["who"]), (who, who))
        self.assertNotIn(b"\x1b", self.path.read_bytes())


class WritingTests(AuditTestCase):
    def test_nobody_waits_for_the_disk(self) -> None:
        """Lines that come while others are being written follow in their order."""
        blocking = ManualBlocking()
        audit = self.build(blocking, file=str(self.path))
        self.tell(audit, TokenMinted("1", (), 0, ""), TokenMinted("2", (), 0, ""))
        self.tell(audit, TokenMinted("3", (), 0, ""))
        self.assertEqual((blocking.waiting, self.path.read_bytes()), (1, b""))
        blocking.do_next()
        self.tell(audit, TokenMinted("4", (), 0, ""))
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        blocking.do_next()
        self.assertEqual([line["subject"] for line in self.lines()], ["1", "2", "3", "4"])
        stopping = self.start(audit.stopService())
        blocking.do_next()
        self.successResultOf(stopping)

    def test_the_end_waits_until_all_is_written(self) -> None:
        audit = self.build(file=str(self.path))
        audit.observe(TokenMinted("last", (), 0, ""))
        self.assertEqual(self.lines(), [])
        self.run_now(audit.stopService())
        self.assertEqual([line["subject"] for line in self.lines()], ["last"])

    def test_a_new_file_is_for_its_owner_alone(self) -> None:
        self.build(file=str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_after_a_rotation_a_new_file_is_begun(self) -> None:
        audit = self.build(file=str(self.path))
        self.tell(audit, TokenMinted("old", (), 0, ""))
        rotated = self.path.with_suffix(".1")
        self.path.rename(rotated)
        self.tell(audit, TokenMinted("new", (), 0, ""))
        self.assertEqual([line["subject"] for line in self.lines()], ["new"])
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        # As logrotate's "create" does.
        self.path.unlink()
        self.path.touch(0o600)
        self.tell(audit, TokenMinted("newer", (), 0, ""))
        self.assertEqual([line["subject"] for line in self.lines()], ["newer"])
        self.assertEqual(json.loads(rotated.read_bytes())["subject"], "old")

    def test_what_is_truncated_goes_on_at_its_beginning(self) -> None:
        """As logrotate's ``copytruncate`` does."""
        audit = self.build(file=str(self.path))
        self.tell(audit, TokenMinted("old", (), 0, ""))
        os.truncate(self.path, 0)
        self.tell(audit, TokenMinted("new", (), 0, ""))
        self.assertEqual([line["subject"] for line in self.lines()], ["new"])

    def test_lines_of_several_processes_do_not_mix(self) -> None:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(self.path), letter])
            for letter in "abc"
        ]
        self.assertEqual([writer.wait() for writer in writers], [0, 0, 0])
        lines = self.path.read_bytes().splitlines()
        self.assertEqual(len(lines), 600)
        self.assertEqual({(len(line), len(set(line))) for line in lines}, {(99, 1)})


class FailureTests(AuditTestCase):
    def test_a_line_that_cannot_be_written_goes_to_the_log(self) -> None:
        audit = self.build(file=str(self.path))
        self.path.unlink()
        self.path.mkdir()
        self.tell(audit, TokenMinted("1", (), 0, ""))
        (message,) = self.messages()
        self.assertIn("the audit log cannot be written: Is a directory", message)
        self.assertIn('"subject":"1"', message)
        self.path.rmdir()
        self.tell(audit, TokenMinted("2", (), 0, ""))
        self.assertEqual([line["subject"] for line in self.lines()], ["2"])

    def test_a_full_disk_is_logged_and_the_next_line_begins_anew(self) -> None:
        """A device that is always full refuses all; a limit on the file's size a part."""
        file = AuditFile(str(self.path))
        file.append(b"first\n")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            self.assertRaises(OSError, file.append, b"second\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        file.append(b"third\n")
        file.close()
        self.assertEqual(self.path.read_bytes(), b"first\nseco\nthird\n")

    def test_a_file_that_cannot_be_written_ends_the_start(self) -> None:
        self.path.mkdir()
        pipe = self.path / "pipe"
        os.mkfifo(pipe)
        for path, problem in (
            (self.path, "Is a directory"),
            (self.path / "none" / "audit.log", "No such file"),
            (Path("/dev/null"), "it is no regular file"),
            (pipe, "No such device"),
        ):
            error = self.assertRaises(ConfigError, self.build, file=str(path))
            self.assertEqual(error.path, "file")
            self.assertIn(f"cannot be written: {problem}", error.problem)


class NothingSecretTests(SynchronousTestCase):
    def test_a_minted_token_is_not_among_what_observers_are_told(self) -> None:
        self.assertEqual(TokenMinted.__slots__, ("subject", "scopes", "expires_at", "who"))
