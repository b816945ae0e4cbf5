"""Workers, and the slots that agents share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.agent.errors import Cancelled, Outdated, TransferError
from giftless.agent.slots import Slots
from giftless.agent.workers import Crew, Workers
from tests.support.processes import PATIENCE


class SlotsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_as_many_as_there_are(self) -> None:
        """No more are taken than there are, until one is given back."""
        slots = Slots(self.path, 2)
        taken = [slots.take(), slots.take()]
        self.assertEqual(sorted(filter(lambda slot: slot is not None, taken)), [0, 1])
        self.assertIsNone(slots.take())
        slots.give_back(1)
        self.assertEqual(slots.take(), 1)

    def test_shared_with_other_processes(self) -> None:
        """What another process holds is free when that is killed."""
        code = (
            "import sys; from pathlib import Path; from giftless.agent.slots import Slots\n"
            "slots = Slots(Path(sys.argv[1]), 2); print(slots.take(), flush=True); input()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(self.path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(other.communicate)
        self.addCleanup(other.kill)
        assert other.stdout is not None
        self.assertEqual(other.stdout.readline(), b"0\n")
        slots = Slots(self.path, 2)
        self.assertEqual((slots.take(), slots.take()), (1, None))
        other.kill()
        other.wait()
        self.assertEqual(slots.take(), 0)

    def test_slots_are_optional_without_files(self) -> None:
        """Where there can be no file there are no slots, and no error."""
        self.assertIsNone(Slots(self.path / "nowhere" / "file", 2).take())


class WorkersTests(SynchronousTestCase):
    def workers(self, limit: int, slots: int) -> Workers:
        return Workers(limit, Slots(Path(self.mktemp()), slots))

    def test_every_piece_once(self) -> None:
        """Every piece is worked on once."""
        done: list[int] = []

        def work(piece: int, crew: Crew[int]) -> None:
            crew.under_way()
            done.append(piece)

        self.workers(4, 3).run(range(100), work)
        self.assertEqual(sorted(done), list(range(100)))

    def test_at_the_same_time(self) -> None:
        """As many are worked on at once as there may be workers, but no more."""
        for limit, slots, expected in ((3, 9, 3), (9, 2, 3), (9, 0, 1), (1, 9, 1)):
            self.assertEqual(self.most_at_once(self.workers(limit, slots), expected), expected)

    def most_at_once(self, workers: Workers, expected: int) -> int:
        """Return how many pieces are worked on at once, where so many wait for each other."""
        together = threading.Barrier(expected)
        running: set[int] = set()
        counts = []

        def work(piece: int, crew: Crew[int]) -> None:
            running.add(piece)
            counts.append(len(running))
            crew.under_way()
            together.wait(PATIENCE)
            running.remove(piece)

        workers.run(range(expected * 4), work)
        return max(counts)

    def test_nobody_helps_before_one_goes_well(self) -> None:
        """If the first piece fails, no other is begun."""
        begun: list[int] = []

        def work(piece: int, crew: Crew[int]) -> None:
            begun.append(piece)
            raise TransferError("no")

        self.assertRaises(TransferError, self.workers(4, 3).run, range(9), work)
        self.assertEqual(begun, [0])

    def test_failure_ends_the_others(self) -> None:
        """When one fails, others are given up, even while they wait."""
        waiting = threading.Event()
        given_up: list[int] = []

        def work(piece: int, crew: Crew[int]) -> None:
            if piece == 0:
                crew.under_way()
                waiting.wait(PATIENCE)
                raise TransferError("no")
            waiting.set()
            try:
                crew.pause(PATIENCE)
            except Cancelled:
                given_up.append(piece)
                raise

        self.assertRaises(TransferError, self.workers(2, 1).run, range(9), work)
        self.assertEqual(given_up, [1])

    def test_outdated_lets_others_finish(self) -> None:
        """What is being sent when the plan turns out to be old arrives all the same."""
        working, told = threading.Event(), threading.Event()
        done: list[int] = []

        def work(piece: int, crew: Crew[int]) -> None:
            if piece == 0:
                crew.under_way()
                working.wait(PATIENCE)
                told.set()
                raise Outdated("expired")
            working.set()
            told.wait(PATIENCE)
            crew.pause(0.01)
            done.append(piece)

        self.assertRaises(Outdated, self.workers(2, 1).run, range(9), work)
        self.assertEqual(done[:1], [1])

    def test_slots_are_given_back(self) -> None:
        """Slots are free again when all is done, also if it failed."""
        slots = Slots(Path(self.mktemp()), 2)

        def work(piece: int, crew: Crew[int]) -> None:
            crew.under_way()
            if piece == 5:
                raise TransferError("no")

        self.assertRaises(TransferError, Workers(3, slots).run, range(9), work)
        self.assertEqual({slots.take(), slots.take()}, {0, 1})
