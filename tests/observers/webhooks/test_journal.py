"""The journal: lines outlast the process that has written them, and only that."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.observers.webhooks.journal import Abandoned, Journal


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "journals"
        self.journal = Journal(str(self.directory))
        self.journal.open()
        self.addCleanup(self.journal.close)

    def taken(self, remove: bool = True) -> list[bytes]:
        """Return what processes have left that have died."""
        abandoned = Abandoned(str(self.directory))
        lines = list(abandoned.take())
        abandoned.release(remove)
        return lines

    def die(self) -> None:
        """Let the process die: the kernel closes its files."""
        for file in self.journal._files:
            os.close(file._fd)
        self.journal._files = []

    def test_the_lines_of_a_process_that_lives_are_its_own(self) -> None:
        self.journal.append(b"1\n")
        self.assertEqual(self.taken(), [])
        self.assertEqual(len(list(self.directory.iterdir())), 2)

    def test_the_lines_of_a_process_that_has_died_are_taken_once(self) -> None:
        self.journal.append(b"1\n")
        self.journal.append(b"2\nhalf")
        self.die()
        self.assertEqual(self.taken(remove=False), [b"1", b"2"])
        first, second = Abandoned(str(self.directory)), Abandoned(str(self.directory))
        self.assertEqual((first.take(), second.take()), ([b"1", b"2"], []))
        second.release(True)
        first.release(True)
        self.assertEqual(self.taken(), [])
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_what_was_committed_is_forgotten_and_what_came_meanwhile_is_not(self) -> None:
        self.journal.append(b"1\n")
        self.journal.begin()
        self.journal.append(b"2\n")
        self.journal.commit()
        self.journal.append(b"3\n")
        self.die()
        self.assertEqual(sorted(self.taken()), [b"2", b"3"])

    def test_after_a_commit_in_vain_nothing_is_forgotten(self) -> None:
        self.journal.append(b"1\n")
        self.journal.begin()
        self.journal.append(b"2\n")
        self.journal.begin()  # again, since the first has failed
        self.journal.append(b"3\n")
        self.journal.commit()
        self.journal.begin()
        self.journal.commit()
        self.journal.append(b"4\n")
        self.die()
        self.assertEqual(self.taken(), [b"4"])

    def test_a_process_that_ends_well_leaves_no_files(self) -> None:
        self.journal.append(b"1\n")
        self.journal.begin()
        self.journal.commit()
        self.journal.close()
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_a_process_that_ends_with_lines_leaves_them_to_others(self) -> None:
        self.journal.append(b"1\n")
        self.journal.close()
        self.assertEqual(self.taken(), [b"1"])

    def test_where_there_is_no_directory_nothing_was_left(self) -> None:
        self.assertEqual(Abandoned(str(self.directory / "none")).take(), [])
