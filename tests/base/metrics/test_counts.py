"""What a process counts, and what its parent reads of it."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.counts import MAX_HISTOGRAMS, MAX_SERIES, MAX_VALUE, OTHER, Counts
from giftless.base.metrics.families import Family, Kind
from giftless.base.metrics.slab import (
    _SIZE,
    DIRECTORY_BYTES,
    NUMBERS,
    Slab,
    SlabReader,
    slab_memory,
)
from giftless.base.metrics.tally import MAX_SERIES as MOST_IN_ALL
from giftless.base.metrics.tally import Counted, Sums, Tally
from tests.support.rounds import rounds

BOUNDS = (1.0, 5.0, 10.0)

#: A process that counts until it is killed.
ENDLESS = """
import sys
from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
counts = Counts(Slab(int(sys.argv[1])))
done = counts.counter("done_total", "Done.", "what")
while True:
    done.add(("this",))
    print(flush=True)
"""


def found(tally: Tally) -> dict[str, dict[tuple[str, ...], list[float]]]:
    """Return what was counted, without what is nothing."""
    return {
        family.name: {labels: numbers for labels, numbers in series.items() if any(numbers)}
        for family, series in tally.sums()
        if any(map(any, series.values()))
    }


class Process:
    """A process that counts, in this one."""

    def __init__(self, tally: Tally) -> None:
        self.counted = tally.open()
        counts = Counts(Slab(self.counted.descriptor))
        self.counted.close()
        self.done = counts.counter("done_total", "Done.", "what")
        self.busy = counts.gauge("busy", "Busy.")
        self.sizes = counts.histogram("sizes", "Sizes.", BOUNDS, "kind")


class CountsTests(SynchronousTestCase):
    """One process."""

    def setUp(self) -> None:
        self.tally = Tally()
        self.process = Process(self.tally)

    def test_nothing_is_counted_before_something_happens(self) -> None:
        self.assertEqual(found(self.tally), {})

    def test_a_counter_and_a_gauge_are_added_to(self) -> None:
        self.process.done.add(("a",))
        self.process.done.add(("a",), 2)
        self.process.done.add(("b",))
        self.process.busy.add((), 3)
        self.process.busy.add((), -1)
        self.assertEqual(
            found(self.tally), {"done_total": {("a",): [3], ("b",): [1]}, "busy": {(): [2]}}
        )

    def test_a_value_is_counted_in_its_bucket_and_in_the_sum(self) -> None:
        """A bound belongs to the bucket below it."""
        for value in (0, 1, 1.5, 10, 11):
            self.process.sizes.observe(("x",), value)
        self.assertEqual(found(self.tally)["sizes"], {("x",): [2, 1, 1, 1, 23.5]})

    def test_labels_that_are_too_many_are_counted_as_other(self) -> None:
        for number in range(MAX_SERIES + 50):
            self.process.done.add((str(number),))
        done = found(self.tally)["done_total"]
        self.assertEqual(len(done), MAX_SERIES + 1)
        self.assertEqual(done[(OTHER,)], [50])
        self.assertEqual(found(self.tally)["giftless_metrics_overflow_total"], {(): [50]})

    def test_a_family_that_is_full_takes_nothing_from_others(self) -> None:
        for number in range(1000):
            self.process.done.add((str(number),))
            self.process.sizes.observe((str(number),), 1)
        sizes = found(self.tally)["sizes"]
        self.assertEqual(len(sizes), MAX_HISTOGRAMS + 1)
        self.assertEqual(sizes[(OTHER,)], [1000 - MAX_HISTOGRAMS, 0, 0, 0, 1000 - MAX_HISTOGRAMS])

    def test_the_directory_has_an_end_too(self) -> None:
        """It takes as many families as there are, each with the longest labels."""
        counts = Counts(Slab())
        families = [counts.counter(f"f{n}_total", "w" * 100, "a", "b") for n in range(20)]
        for number in range(2000):
            for family in families:
                family.add((f"{number:05}" + "é" * MAX_VALUE, "y" * MAX_VALUE))
        self.assertTrue(all(family.values[family.place((OTHER, OTHER))] for family in families))

    def test_long_values_of_labels_are_cut_off(self) -> None:
        self.process.done.add(("x" * 1000,))
        self.process.done.add(("x" * 2000,))
        self.assertEqual(found(self.tally)["done_total"], {("x" * MAX_VALUE,): [2]})


class TallyTests(SynchronousTestCase):
    """Several processes, which come and go."""

    def test_counters_outlast_a_process_and_gauges_do_not(self) -> None:
        tally = Tally()
        first, second = Process(tally), Process(tally)
        for process in (first, second):
            process.done.add(("a",))
            process.busy.add(())
            process.sizes.observe(("x",), 2)
        tally.retire(first.counted)
        self.assertEqual(
            found(tally),
            {"done_total": {("a",): [2]}, "busy": {(): [1]}, "sizes": {("x",): [0, 2, 0, 0, 4]}},
        )

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["count", "observe", "end"]),
                st.integers(0, 3),
                st.sampled_from(["a", "b", "c"]),
                st.integers(0, 12),
            ),
            max_size=80,
        )
    )
    def test_the_sums_are_what_all_processes_have_counted(
        self, steps: list[tuple[str, int, str, int]]
    ) -> None:
        """Whichever process counts, and whenever one ends."""
        tally = Tally()
        processes = [Process(tally) for _ in range(4)]
        done: Counter[tuple[str]] = Counter()
        sizes: dict[tuple[str], list[float]] = {}
        for step, index, label, value in steps:
            if step == "count":
                processes[index].done.add((label,), value)
                done[(label,)] += value
            elif step == "observe":
                processes[index].sizes.observe((label,), value)
                numbers = sizes.setdefault((label,), [0.0] * 5)
                numbers[bisect_left(BOUNDS, value)] += 1
                numbers[-1] += value
            else:
                tally.retire(processes[index].counted)
                processes[index] = Process(tally)
            seen = found(tally)
            self.assertEqual(seen.get("done_total", {}), {key: [n] for key, n in done.items() if n})
            self.assertEqual(seen.get("sizes", {}), sizes)

    def test_a_process_of_another_version_may_have_other_bounds(self) -> None:
        """Its values are counted in the next larger bucket, and none is lost."""
        sums = Sums()
        ours = Family("sizes", Kind.HISTOGRAM, "Sizes.", (), (1.0, 10.0))
        theirs = Family("sizes", Kind.HISTOGRAM, "Sizes.", (), (1.0, 5.0, 20.0))
        sums.add(ours, (), [1, 1, 1, 30])
        sums.add(theirs, (), [1, 2, 4, 8, 100])
        ((_, series),) = sums
        self.assertEqual(series, {(): [2, 3, 13, 130]})

    def test_a_family_that_became_another_kind_is_passed_over(self) -> None:
        sums = Sums()
        sums.add(Family("x", Kind.COUNTER, "X.", ("a",)), ("1",), [1])
        sums.add(Family("x", Kind.GAUGE, "X.", ("a",)), ("1",), [5])
        sums.add(Family("x", Kind.COUNTER, "X."), (), [5])
        ((_, series),) = sums
        self.assertEqual(series, {("1",): [1]})

    def test_processes_that_come_and_go_bring_no_end_of_labels(self) -> None:
        sums = Sums()
        family = Family("x_total", Kind.COUNTER, "X.", ("a",))
        for number in range(MOST_IN_ALL + 10):
            sums.add(family, (str(number),), [1])
        ((_, series),) = sums
        self.assertEqual(len(series), MOST_IN_ALL + 1)
        self.assertEqual(series[(OTHER,)], [10])

    def test_what_a_killed_process_has_counted_is_kept(self) -> None:
        tally = Tally()
        counted = tally.open()
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(counted.descriptor)],
            pass_fds=[counted.descriptor],
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            for _ in range(1000):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            lines = 1000 + len(process.stdout.readlines())
        tally.retire(counted)
        ((count,),) = found(tally)["done_total"].values()
        # It may have been killed between the count and the line.
        self.assertIn(count, (lines, lines + 1))


class HostileMemoryTests(SynchronousTestCase):
    """A worker that a client has broken into writes what it likes."""

    def memory(self) -> tuple[SlabReader, mmap.mmap, Counts]:
        descriptor = slab_memory()
        self.addCleanup(os.close, descriptor)
        memory = mmap.mmap(descriptor, _SIZE)
        return SlabReader(descriptor), memory, Counts(Slab(descriptor))

    def test_the_memory_cannot_be_cut_off(self) -> None:
        """Otherwise reading it would kill the parent."""
        counted = Counted()
        for size in (0, 2 * _SIZE):
            self.assertRaises(PermissionError, os.ftruncate, counted.descriptor, size)
        counted.close()
        counted.close()

    @settings(max_examples=rounds(25, 1000), deadline=None)
    @given(st.data())
    def test_nonsense_in_the_directory_is_passed_over(self, data: Any) -> None:
        reader, memory, counts = self.memory()
        counts.counter("x_total", "X.", "a").add(("b",))
        start = _SIZE - DIRECTORY_BYTES
        for place, junk in data.draw(
            st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=40)))
        ):
            memory[start + place : start + place + len(junk)] = junk
        memory[:8] = data.draw(st.binary(min_size=8, max_size=8))
        for family, labels, numbers in reader.series():
            self.assertEqual(len(labels), len(family.labels))
            self.assertEqual(len(numbers), family.width)

    def test_series_outside_of_the_numbers_are_passed_over(self) -> None:
        for number in (-1, NUMBERS, NUMBERS - 1):
            descriptor = slab_memory()
            self.addCleanup(os.close, descriptor)
            slab = Slab(descriptor)
            family = Family("x", Kind.HISTOGRAM, "X.", (), (1.0,))
            slab.add_family(family)
            slab._taken = number
            slab.add_series(family, ())
            self.assertEqual(list(SlabReader(descriptor).series()), [])

    def test_families_that_cannot_be_told_are_passed_over(self) -> None:
        """Their names would end what Prometheus is told, or change what it means."""
        for family in (
            Family('x{a="b"} 1\n', Kind.COUNTER, "X."),
            Family("x", Kind.COUNTER, "X.", ("a b",)),
            Family("x", Kind.HISTOGRAM, "X.", (), (2.0, 1.0)),
            Family("x", Kind.HISTOGRAM, "X.", (), (1.0, float("inf"))),
        ):
            descriptor = slab_memory()
            self.addCleanup(os.close, descriptor)
            slab = Slab(descriptor)
            slab.add_family(family)
            slab.add_series(family, tuple("v" for _ in family.labels))
            self.assertEqual(list(SlabReader(descriptor).series()), [])
