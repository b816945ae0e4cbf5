"""What the parts of a configuration are built for."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.backends import build_backends, build_metrics
from giftless.app.config import AdminOptions, Config
from giftless.base.metrics.counts import Counts
from giftless.errors import ConfigError
from giftless.monitoring.metrics import Metrics
from giftless.ssh.options import SSHOptions
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


class KeyringTests(SynchronousTestCase):
    def test_keyrings_without_a_way_for_clients_are_a_mistake(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in ("keys", "access"):
            (directory / name).write_text("")
        keyring = {"type": "file", "keys_file": str(directory / "keys")}
        for ssh, is_served in (
            (SSHOptions(keys=[keyring]), False),
            (SSHOptions(endpoints=["tcp:2222"], socket="/run/ssh.sock"), False),
            (SSHOptions(keys=[keyring], socket="/run/ssh.sock"), True),
            (SSHOptions(keys=[keyring], endpoints=["tcp:2222"]), True),
            (SSHOptions(keys=[keyring], trusted=["git"]), True),
        ):
            options = Config(
                storage={"type": "local", "path": str(directory / "objects")},
                auth=[{"type": "basic", "access": str(directory / "access")}],
                locks={"type": "none"},
                state_dir=str(directory),
                ssh=ssh,
            )
            parts = part_builder(str(directory))
            if is_served:
                self.assertIsNotNone(build_backends(options, parts).keyrings)
                continue
            error = self.assertRaises(ConfigError, build_backends, options, parts)
            self.assertEqual(error.path, "ssh.keys")
