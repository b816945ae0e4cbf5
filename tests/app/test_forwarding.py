"""What goes together with a mirror, and what does not."""

from __future__ import annotations

from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from giftless.app import config
from giftless.app.backends import build_backends
from giftless.app.config import Config
from giftless.app.space import build_space
from giftless.errors import ConfigError
from giftless.interfaces import IForwarding
from tests.support.making import part_builder


class ForwardingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.mirror = {
            "type": "mirror",
            "path": f"{self.directory}/kept",
            "limit": "1G",
            "upstreams": [{"url": "https://git.example.com"}],
        }

    def options(self, **sections: Any) -> Config:
        """Make a configuration with a mirror, unless its sections say something else."""
        keys = {
            "storage": self.mirror,
            "auth": [{"type": "mirror"}],
            "state_dir": f"{self.directory}/state",
            **sections,
        }
        return config.parse("", yaml.safe_dump(keys), {}).config

    def refuse(self, path: str, **sections: Any) -> str:
        """Check that a configuration is refused because of a key.

        :returns: what is said.
        """
        options = self.options(**sections)
        parts = part_builder(options.state_dir)
        error = self.assertRaises(ConfigError, build_backends, options, parts)
        self.assertEqual(error.path, path)
        return error.problem

    def test_nothing_is_kept_here_that_the_other_server_keeps(self) -> None:
        for sections in ({}, {"locks": {"type": "none"}, "catalogue": {"type": "none"}}):
            options = self.options(**sections)
            parts = part_builder(options.state_dir)
            backends = build_backends(options, parts)
            self.assertTrue(IForwarding.providedBy(backends.store))
            self.assertEqual((backends.locks, backends.catalogue), (None, None))
            self.assertIsNone(backends.space.trash)

    def test_what_is_the_other_servers_cannot_be_configured(self) -> None:
        for path, section in (
            ("locks", {"type": "sqlite", "path": "x"}),
            ("catalogue", {"type": "sqlite", "path": "x"}),
            ("quotas", {"orgs": [{"match": "*", "limit": "1G"}]}),
            ("scrub", {"period": "30d"}),
            ("ssh", {"socket": "x"}),
            ("aliases", {"acme/engine": "acme/rocket"}),
        ):
            self.assertIn("leave it out", self.refuse(path, **{path: section}))

    def test_nobody_but_the_other_server_decides(self) -> None:
        for auth in (
            [{"type": "anonymous"}],
            [{"type": "mirror"}, {"type": "anonymous"}],
        ):
            self.refuse(f"auth.{len(auth) - 1}.type", auth=auth)

    def test_nobody_is_let_in_without_a_server_that_decides(self) -> None:
        storage = {"type": "local", "path": f"{self.directory}/objects"}
        self.assertIn("lets in everybody", self.refuse("auth.0.type", storage=storage))

    def test_a_mirror_stands_alone(self) -> None:
        for name, key in (("cache", "store"), ("compressed", "store"), ("moving", "to")):
            storage = {"type": name, key: self.mirror, "path": f"{self.directory}/c", "limit": "1G"}
            if name == "moving":
                storage = {"type": name, "to": self.mirror, "from": {"type": "local"}}
            if name == "compressed":
                storage = {"type": name, "store": self.mirror}
            options = self.options(storage=storage)
            parts = part_builder(options.state_dir)
            error = self.assertRaises(ConfigError, build_backends, options, parts)
            self.assertTrue(error.path.startswith("storage"), str(error))

    def test_commands_on_what_is_stored_say_that_nothing_is(self) -> None:
        options = self.options()
        parts = part_builder(options.state_dir)
        error = self.assertRaises(ConfigError, build_space, options, parts)
        self.assertIn("giftless cache", str(error))
