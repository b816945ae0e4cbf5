"""The page about monitoring against what is told."""

from __future__ import annotations

import json
import re

import yaml
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.interfaces import CacheHoldings
from giftless.monitoring.health import Report, Stored
from giftless.monitoring.metrics import Metrics
from giftless.runtime.admin.exposition import Exposition, Facts, Processes
from giftless.sshd.metrics import ListenerMetrics
from tests.docs.pages import DOCS, code
from tests.support.monitoring import RULES, SCRUB


class MonitoringPageTests(SynchronousTestCase):
    def test_every_metric_is_on_the_page_and_no_other(self) -> None:
        tally = Tally()
        counted = tally.open()
        counts = Counts(Slab(counted.descriptor))
        Metrics(counts)
        ListenerMetrics(counts)
        counted.close()
        cache = CacheHoldings(path="/cache", bytes=1, entries=1, limit=1)
        report = Report({}, 1, 1, Stored(1, 1, 1, 1, 1), SCRUB, (cache,))
        processes = Processes({"serving": 1}, [], 1, 0)
        facts = Facts(processes, processes, {}, report)
        text = Exposition(tally.sums, lambda: facts).render().decode()
        told = set()
        for family in text_string_to_metric_families(text):
            total = "_total" if family.type == "counter" else ""
            told.add(family.name.removesuffix("_total") + total)
        page = (DOCS / "monitoring.rst").read_text()
        # At the beginning of a line or of a table's cell, or behind another one.
        begins = r"(?:^(?: *\* - | {7})?|(?<=``), )``(giftless_\w+)``"
        described = set(re.findall(begins, page, re.MULTILINE))
        self.assertEqual(described, {name for name in told if name.startswith("giftless_")})

    def test_the_examples_can_be_read(self) -> None:
        scrape, rules = code(DOCS / "monitoring.rst", "text")
        (job,) = yaml.safe_load(scrape.content)["scrape_configs"]
        self.assertIn(f'up{{job="{job["job_name"]}"}}', RULES.read_text())
        (path,) = yaml.safe_load(rules.content)["rule_files"]
        self.assertEqual(path.rpartition("/")[2], RULES.name)
        for health in code(DOCS / "monitoring.rst", "json"):
            self.assertEqual(json.loads(health.content)["status"], "not ready")
