"""What ``twistd giftless`` does before it becomes the daemon."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from giftless.daemon import Daemon
from giftless.service import Options


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        self.patch(os, "environ", {"PATH": "/bin"})

    def service(self, **twistd: Any) -> Daemon:
        """Make the daemon."""
        config = self.directory / "giftless.yaml"
        settings = {
            "storage": {"type": "local", "path": str(self.directory / "objects")},
            "state_dir": str(self.directory / "state"),
        }
        config.write_text(yaml.safe_dump(settings))
        options = Options()
        options["config"] = str(config)
        options.parent = {"nodaemon": True, **twistd}
        return options.getService(reactor)

    def made(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def test_everything_is_tried(self) -> None:
        self.assertIsInstance(self.service(), Daemon)
        self.assertEqual(self.made(), ["giftless.yaml", "objects", "state"])

    def test_nothing_is_made_that_belongs_to_the_wrong_user(self) -> None:
        self.assertIsInstance(self.service(uid=65534), Daemon)
        self.assertEqual(self.made(), ["giftless.yaml"])
