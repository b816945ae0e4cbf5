"""What was read is remembered, whatever ends a run."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from giftless.lfs.objects import in_trash
from giftless.usecases.fsck import journal as module
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.journal import Busy, Journal
from tests.support.making import key_of

KEYS = [key_of(b"%d" % number) for number in range(10)]


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.join(self.mktemp(), "fsck")
        self.journal = self.opened()

    def opened(self) -> Journal:
        """Open the journal, as another process would."""
        journal = Journal(self.directory, "name")
        journal.open()
        self.addCleanup(journal.close)
        return journal

    def again(self) -> Journal:
        """Let the process die, and open the journal again."""
        self.journal.close()
        self.journal = self.opened()
        return self.journal

    def begin(self) -> None:
        """Begin a run."""
        self.journal.begin("seed", 5.0)
        self.assertEqual(self.journal.fix(0.5), 0.5)

    def test_a_new_journal_has_no_run(self) -> None:
        self.assertEqual((self.journal.seed, self.journal.share), ("", None))
        self.assertEqual(self.again().seed, "")

    def test_what_was_read_is_there_again(self) -> None:
        self.begin()
        for key in KEYS[:3]:
            self.journal.note(key, 7, None)
        self.journal.turn(0, "next")
        self.journal.note(in_trash(KEYS[3]), 9, None)
        found = self.again()
        self.assertEqual((found.seed, found.began, found.fix(0.9)), ("seed", 5.0, 0.5))
        self.assertEqual((found.place, found.cursor), (0, "next"))
        self.assertEqual(found.done, {in_trash(KEYS[3]).path})
        self.assertEqual((found.read, found.size), (4, 30))

    def test_findings_are_there_again(self) -> None:
        findings = [
            Finding(Outcome.WRONG, "its bytes", KEYS[0]),
            Finding(Outcome.UNREADABLE, "Input/output error", in_trash(KEYS[1])),
            Finding(Outcome.WRONG, "marked", KEYS[2], "/srv/x", True),
        ]
        self.begin()
        for finding in findings:
            assert finding.key is not None
            self.journal.note(finding.key, 1, finding)
            self.journal.turn(1, None)
        self.assertEqual(self.again().findings, findings)
        self.journal.fix(1.0)
        self.assertEqual(self.again().findings, findings)

    def test_writing_anew_changes_nothing(self) -> None:
        self.patch(module, "COMPACTED", 0)
        self.begin()
        self.journal.note(KEYS[0], 7, Finding(Outcome.WRONG, "x", KEYS[0]))
        self.journal.turn(1, "there")
        self.journal.note(KEYS[1], 8, None)
        for _ in range(3):
            found = self.again()
            self.assertEqual((found.place, found.cursor, found.read), (1, "there", 2))
            self.assertEqual((found.size, found.done, len(found.findings)), (15, {KEYS[1].path}, 1))
            found.fix(1.0)

    def test_a_line_that_was_cut_off_is_no_problem(self) -> None:
        self.begin()
        self.journal.note(KEYS[0], 7, None)
        self.journal.note(KEYS[1], 7, None)
        path = os.path.join(self.directory, "name.journal")
        os.truncate(path, os.path.getsize(path) - 5)
        self.assertEqual(self.again().done, {KEYS[0].path})
        self.journal.fix(1.0)
        self.journal.note(KEYS[1], 7, None)
        self.assertEqual(self.again().done, {KEYS[0].path, KEYS[1].path})

    def test_a_line_that_is_no_text_is_no_problem(self) -> None:
        self.begin()
        self.journal.note(KEYS[0], 7, None)
        self.journal.close()
        with open(os.path.join(self.directory, "name.journal"), "ab") as file:
            file.write(b'{"seed":"\xff"}\n')
        self.journal = self.opened()
        self.assertEqual(self.journal.done, {KEYS[0].path})

    def test_an_end_forgets_the_run(self) -> None:
        self.begin()
        self.journal.note(KEYS[0], 7, None)
        self.journal.finish()
        self.assertEqual(self.again().seed, "")

    def test_two_runs_at_once_are_refused(self) -> None:
        other = Journal(self.directory, "name")
        self.assertRaises(Busy, other.open)
        self.journal.close()
        other.open()
        other.close()

    def test_nobody_else_can_read_it(self) -> None:
        self.begin()
        self.assertEqual(os.stat(self.directory).st_mode & 0o777, 0o700)
        for name in os.listdir(self.directory):
            self.assertEqual(os.stat(os.path.join(self.directory, name)).st_mode & 0o77, 0)
