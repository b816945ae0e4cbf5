"""What the parts of a configuration are built for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.backends import build_backends, build_metrics
from giftless.app.config import AdminOptions, Config
from giftless.base.metrics.counts import Counts
from giftless.monitoring.metrics import Metrics
from tests.support.making import part_builder


class CountingTests(SynchronousTestCase):
    def test_a_worker_counts_only_what_somebody_can_read(self) -> None:
        directory = self.mktemp()
        storage = {"type": "local", "path": f"{directory}/objects"}
        for endpoints, kind in ((["tcp:9090"], Metrics), ([], type(None))):
            options = Config(
                storage=storage,
                locks={"type": "none"},
                state_dir=directory,
                admin=AdminOptions(endpoints=endpoints),
            )
            parts = part_builder(directory)
            metrics = build_metrics(options, Counts())
            backends = build_backends(options, parts, metrics=metrics)
            self.assertIsInstance(backends.metrics, kind)
            self.assertEqual(bool(backends.observers), bool(endpoints))
