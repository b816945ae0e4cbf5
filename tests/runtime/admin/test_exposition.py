"""What Prometheus is told."""

from __future__ import annotations

import os
import shutil
import subprocess

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from giftless import __version__
from giftless.base.metrics.counts import OTHER, Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.interfaces import Bound, Level, Refused
from giftless.monitoring.events import EventCounter
from giftless.monitoring.health import Report, Stored
from giftless.monitoring.metrics import Metrics
from giftless.monitoring.scrubbing import ScrubCounts, ScrubFacts
from giftless.runtime.admin.exposition import Exposition, Facts, Processes
from giftless.runtime.admin.processes import figures_of
from tests.runtime.admin.support import NO_PROCESSES

FACTS = Facts(
    Processes({"serving": 2, "starting": 0, "leaving": 1}, [], 5, 2),
    NO_PROCESSES,
    {"succeeded": 3, "failed": 1},
    Report({"store": "", "locks": "gone"}, 1e12, 7, Stored(5, 500, 300, 2, 20)),
)


class ExpositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tally = Tally()
        counted = self.tally.open()
        self.counts = Counts(Slab(counted.descriptor))
        counted.close()
        self.facts = FACTS

    def text(self) -> str:
        return Exposition(self.tally.sums, lambda: self.facts).render().decode()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return what a reader of the text finds: values by names and labels."""
        return {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def named(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric by those of its labels, in the order of their names."""
        return {
            tuple(value for _, value in sorted(labels)): number
            for (sample, labels), number in self.samples().items()
            if sample == name
        }

    def test_what_workers_count_is_told(self) -> None:
        counter = self.counts.counter("done_total", "Done.", "what")
        counter.add(("a",), 2)
        counter.place(("b",))
        self.assertEqual(self.named("done_total"), {("a",): 2, ("b",): 0})

    def test_buckets_add_up(self) -> None:
        histogram = self.counts.histogram("sizes", "Sizes.", (1.0, 1024.0, 1e6), "kind")
        for value in (0.5, 3, 4, 5e6):
            histogram.observe(("x",), value)
        histogram.place(("never",))
        self.assertEqual(
            self.named("sizes_bucket"),
            {("x", "1.0"): 1, ("x", "1024.0"): 3, ("x", "1e+06"): 3, ("x", "+Inf"): 4},
        )
        self.assertEqual(self.named("sizes_count"), {("x",): 4})
        self.assertEqual(self.named("sizes_sum"), {("x",): 5e6 + 7.5})

    def test_others_are_told_if_there_are_any(self) -> None:
        counter = self.counts.counter("done_total", "Done.", "what")
        self.assertEqual(self.named("done_total"), {})
        counter.add((OTHER,))
        self.assertEqual(self.named("done_total"), {(OTHER,): 1})

    def test_hostile_values_of_labels_stay_values(self) -> None:
        """A plugin may have any name."""
        counter = self.counts.counter("done_total", "Done.", "what")
        for value in ('a"} 1\nevil_total 5', "\\", "\n", "é\u2028"):
            counter.add((value,))
            self.assertEqual(self.named("done_total")[(value,)], 1)
        self.assertNotIn("evil_total", {name for name, _ in self.samples()})

    def test_the_parent_tells_of_workers_and_reloads(self) -> None:
        self.assertEqual(
            self.named("giftless_workers"), {("serving",): 2, ("starting",): 0, ("leaving",): 1}
        )
        self.assertEqual(self.named("giftless_workers_started_total"), {(): 5})
        self.assertEqual(self.named("giftless_workers_died_total"), {(): 2})
        self.assertEqual(self.named("giftless_reloads_total"), {("succeeded",): 3, ("failed",): 1})
        self.assertIn(f'version="{__version__}"', self.text())

    def test_the_processes_of_the_ssh_listener_are_told_if_there_are_any(self) -> None:
        name = "giftless_ssh_processes"
        self.assertEqual(self.named(name), {})
        ssh = Processes({"serving": 1}, [os.getpid()], 3, 2)
        self.facts = Facts(NO_PROCESSES, ssh, {}, None)
        self.assertEqual(self.named(name), {("serving",): 1})
        self.assertEqual(self.named(f"{name}_started_total"), {(): 3})
        self.assertEqual(self.named(f"{name}_died_total"), {(): 2})
        self.assertGreater(self.named(f"{name}_resident_memory_bytes")[()], 10_000_000)
        self.assertGreater(self.named(f"{name}_open_fds")[()], 2)
        self.assertEqual(self.named("giftless_workers_open_fds"), {(): 0})

    def test_the_last_report_of_the_health_is_told(self) -> None:
        self.assertEqual(self.named("giftless_ready"), {(): 0})
        self.assertEqual(self.named("giftless_part_ready"), {("store",): 1, ("locks",): 0})
        self.assertEqual(self.named("giftless_store_free_bytes"), {(): 1e12})
        self.assertEqual(self.named("giftless_locks"), {(): 7})
        for name, value in (
            ("stored_objects", 5),
            ("stored_bytes", 500),
            ("distinct_bytes", 300),
            ("trashed_objects", 2),
            ("trashed_bytes", 20),
        ):
            self.assertEqual(self.named(f"giftless_{name}"), {(): value})
        self.facts = Facts(NO_PROCESSES, NO_PROCESSES, {}, Report({"store": ""}))
        self.assertEqual(self.named("giftless_locks"), {})
        self.assertEqual(self.named("giftless_stored_bytes"), {})
        self.facts = Facts(NO_PROCESSES, NO_PROCESSES, {}, None)
        self.assertEqual(self.named("giftless_ready"), {})

    def test_quotas_are_told_by_owner(self) -> None:
        levels = (
            Level(Bound("acme", True, 1000), 900, 50),
            Level(Bound("acme/rocket", False, 500), 300, 0),
        )
        stored = Stored(5, 1200, 1200, 0, 0, levels)
        self.facts = Facts(NO_PROCESSES, NO_PROCESSES, {}, Report({}, stored=stored))
        org, repo = ("organisation", "acme"), ("repository", "acme/rocket")
        self.assertEqual(self.named("giftless_quota_used_bytes"), {org: 900, repo: 300})
        self.assertEqual(self.named("giftless_quota_reserved_bytes"), {org: 50, repo: 0})
        self.assertEqual(self.named("giftless_quota_limit_bytes"), {org: 1000, repo: 500})

    def test_the_scrub_is_told(self) -> None:
        running = ScrubCounts(1000.0, 0.0, 3, 3 * 10**9)
        scrub = ScrubFacts(100.0, 1010.0, running, 4, 4 * 10**9)
        self.facts = Facts(NO_PROCESSES, NO_PROCESSES, {}, Report({}, scrub=scrub))
        self.assertEqual(self.named("giftless_scrub_progress_ratio"), {(): 0.75})
        self.assertEqual(self.named("giftless_scrub_period_seconds"), {(): 100})
        self.assertEqual(self.named("giftless_scrub_due_timestamp_seconds"), {(): 1100})
        self.assertEqual(self.named("giftless_scrub_last_pass_timestamp_seconds"), {})
        scrub.last = ScrubCounts(800.0, 990.0)
        self.assertEqual(self.named("giftless_scrub_last_pass_timestamp_seconds"), {(): 990})

    def test_figures_of_processes_are_told(self) -> None:
        workers = Processes({}, [os.getpid(), 2**22 + 1], 0, 0)
        self.facts = Facts(workers, NO_PROCESSES, {}, None)
        (memory,) = self.named("giftless_workers_resident_memory_bytes").values()
        self.assertGreater(memory, 10_000_000)
        self.assertGreater(self.named("process_resident_memory_bytes")[()], 10_000_000)
        self.assertEqual(figures_of([2**22 + 1]), figures_of([]))
        self.assertGreater(figures_of([os.getpid()]).descriptors, 2)

    def test_prometheus_finds_nothing_to_complain_about(self) -> None:
        """By its own tool, over every family that there is."""
        if shutil.which("promtool") is None:
            raise SkipTest("promtool is not installed; Debian's package is prometheus")
        metrics = Metrics(self.counts)
        EventCounter(metrics).observe(Refused("no-room", 507, "No."))
        metrics.store_seconds.observe(("local", "put"), 0.3)
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=self.text(), capture_output=True, text=True
        )
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))
