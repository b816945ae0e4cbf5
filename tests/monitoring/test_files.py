"""The files for Prometheus and Grafana under ``etc/``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.interfaces import Bound, Level
from giftless.monitoring.health import Report, Stored
from giftless.monitoring.metrics import Metrics
from giftless.runtime.admin.exposition import Exposition, Facts, Processes
from tests.support.monitoring import DASHBOARD, RULES, SCRUB, expressions, panels
from tests.support.prometheus import promtool

#: What a name in an expression may end with if it is a histogram's.
PARTS = ("_bucket", "_count", "_sum")

_NAME = re.compile(r"(?<![\w:])(?:giftless|process)_\w+")


def told() -> dict[str, set[str]]:
    """Return the labels of everything that a daemon tells, by the names of samples."""
    tally = Tally()
    counted = tally.open()
    Metrics(Counts(Slab(counted.descriptor)))
    counted.close()
    states = {"serving": 1}
    quotas = (Level(Bound("acme", True, 1), 1, 1),)
    report = Report({"store": "", "locks": ""}, 1, 1, Stored(1, 1, 1, 1, 1, quotas), SCRUB)
    processes = Processes(states, [], 1, 0)
    facts = Facts(processes, processes, {"failed": 0}, report)
    found: dict[str, set[str]] = {}
    for family, _ in tally.sums():
        names = {family.name, *(family.name + part for part in PARTS)}
        found |= dict.fromkeys(names, set(family.labels) | {"le"})
    text = Exposition(tally.sums, lambda: facts).render().decode()
    for each in text_string_to_metric_families(text):
        for sample in each.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


class RulesTests(SynchronousTestCase):
    def setUp(self) -> None:
        groups = yaml.safe_load(RULES.read_text())["groups"]
        self.rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"]]

    def test_prometheus_takes_them(self) -> None:
        status, text = promtool("check", "rules", str(RULES))
        self.assertEqual(status, 0, text)
        self.assertIn(f"{len(self.rules)} rules found", text)

    def test_alerts_come_when_they_should_and_only_then(self) -> None:
        tests = Path(__file__).with_name("giftless.rules.test.yml")
        status, text = promtool("test", "rules", str(tests))
        self.assertEqual(status, 0, text)

    def test_each_alert_says_what_is_wrong_how_bad_and_what_to_do(self) -> None:
        for rule in self.rules:
            if "alert" in rule:
                self.assertIn("for", rule, rule["alert"])
                self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
                self.assertEqual(set(rule["annotations"]), {"summary", "description"})

    def test_everything_that_they_name_is_told(self) -> None:
        names = set(_NAME.findall(RULES.read_text()))
        self.assertGreater(len(names), 8)
        self.assertEqual(names - set(told()), set())


class DashboardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())

    def test_prometheus_understands_each_expression(self) -> None:
        rules = [
            {"record": f"panel:{number}", "expr": expression}
            for number, expression in enumerate(expressions())
        ]
        file = Path(self.mktemp())
        file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        status, text = promtool("check", "rules", str(file))
        self.assertEqual(status, 0, text)

    def test_everything_that_it_names_is_told(self) -> None:
        known = told()
        target = {"job", "instance"}
        for expression in expressions():
            names = set(_NAME.findall(expression))
            self.assertTrue(names, expression)
            self.assertEqual(names - set(known), set(), expression)
            labels = set().union(*(known[name] for name in names)) | target
            used = set(re.findall(r"(\w+)(?:=~|!=|=)", expression))
            used |= set(re.findall(r"\w+", ",".join(re.findall(r"by \(([^)]*)\)", expression))))
            self.assertEqual(used - labels, set(), expression)

    def test_it_is_one_that_grafana_10_and_11_import(self) -> None:
        """Without a plugin, and with the data source that is chosen there."""
        self.assertEqual(self.dashboard["schemaVersion"], 39)
        self.assertNotIn("id", self.dashboard)
        variables = {each["name"]: each for each in self.dashboard["templating"]["list"]}
        self.assertEqual(variables["datasource"]["type"], "datasource")
        self.assertEqual(variables["datasource"]["query"], "prometheus")
        self.assertLessEqual(
            {panel["type"] for panel in panels()}, {"row", "stat", "timeseries"}, "no plugin's"
        )
        for panel in panels():
            for owner in (panel, *panel.get("targets", ())):
                if panel["type"] != "row":
                    wanted = {"type": "prometheus", "uid": "${datasource}"}
                    self.assertEqual(owner["datasource"], wanted, panel["title"])

    def test_panels_have_titles_and_places_of_their_own(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in panels():
            self.assertTrue(panel["title"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells
        self.assertEqual(len({panel["id"] for panel in panels()}), len(panels()))
