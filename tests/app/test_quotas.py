"""From the configuration to what keeps repositories within their quotas."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.app.assembly import build_resource
from giftless.app.backends import Backends, build_backends
from giftless.app.config import Config
from giftless.app.services import build_services
from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.usecases.events import NO_EVENTS
from tests.support.making import SECRET, part_builder


class QuotaAssemblyTests(SynchronousTestCase):
    """Quotas are built where they are configured, and cost nothing elsewhere."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="giftless-quotas-")
        self.addCleanup(shutil.rmtree, self.directory)

    def backends(self, **options: Any) -> Backends:
        """Build what a configuration describes; remember its services."""
        settings = {
            "secret": SECRET.decode(),
            "storage": {"type": "local", "path": os.path.join(self.directory, "objects")},
            "locks": {"type": "none"},
            "auth": [{"type": "anonymous", "access": "read-write"}],
            **options,
        }
        config = convert(settings, Config, "")
        self.parts = part_builder(self.directory, Clock())
        backends = build_backends(config, self.parts)
        around = self.parts.environment
        services = build_services(config, around, backends, NO_EVENTS)
        build_resource(config, around, backends, services)
        return backends

    def services(self) -> int:
        """Return how many services there are."""
        return len(list(self.parts.environment.services))

    def test_without_quotas_nothing_is_built_and_nothing_observes(self) -> None:
        backends = self.backends()
        self.assertIsNone(backends.quotas)
        self.assertEqual(dict(backends.observers), {})
        before = self.services()
        self.backends(quotas={"orgs": [{"match": "acme", "limit": "1G"}]})
        self.assertEqual(self.services(), before + 1)

    def test_only_budgets_observe(self) -> None:
        backends = self.backends(quotas={"orgs": [{"match": "acme", "limit": "1G"}]})
        self.assertEqual(dict(backends.observers), {})
        backends = self.backends(quotas={"orgs": [{"match": "acme", "downloads": "1G"}]})
        assert backends.quotas is not None
        self.assertIs(backends.observers["quotas"], backends.quotas.budgets)

    def test_quotas_need_a_catalogue(self) -> None:
        error = self.assertRaises(
            ConfigError,
            self.backends,
            catalogue={"type": "none"},
            quotas={"orgs": [{"match": "acme", "limit": "1G"}]},
        )
        self.assertEqual(error.path, "quotas")
        self.assertIn("need a catalogue", error.problem)

    def test_a_pattern_that_is_none_is_refused(self) -> None:
        error = self.assertRaises(
            ConfigError, self.backends, quotas={"repositories": [{"match": "a//b"}]}
        )
        self.assertEqual(error.path, "quotas.repositories.0.match")
