"""The compose files: what they configure is known, and nothing has more rights than it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.units import Duration
from giftless.interfaces import IStorageFactory
from giftless.runtime.plans import PATIENCE
from tests.containers.configuring import IMAGE_CONFIG, SECRET, configured, options
from tests.docs.pages import ROOT

COMPOSE = ROOT / "etc" / "compose"

#: A variable of the caller: with a default, or with words for who has not set it.
_VARIABLE = re.compile(r"\$\{(\w+)(:-|:\?)((?:[^{}]|\{[^{}]*\})*)\}")

#: What somebody sets who is asked to.
GIVEN = {
    "PUBLIC_URL": "https://lfs.example.com",
    "AUTH": "[{type: github, orgs: [acme]}, {type: anonymous, access: read}]",
}


class _Loader(yaml.SafeLoader):
    """Reads compose's own tags."""


_Loader.add_constructor("!reset", lambda loader, node: None)


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """Put the caller's variables into a text."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in given and match[2] == ":?":
            raise KeyError(match[1])
        return given.get(match[1], match[3])

    return _VARIABLE.sub(value, text)


def services(name: str) -> dict[str, dict[str, Any]]:
    """Return the services of a file."""
    document = yaml.load((COMPOSE / name).read_text(), _Loader)
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def environment(*names: str) -> dict[str, str]:
    """Return the variables of giftless, of files that are merged."""
    merged: dict[str, str] = {}
    for name in names:
        merged |= services(name)["giftless"]["environment"]
    return {key: interpolated(value, GIVEN) for key, value in merged.items()}


class ComposeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_every_variable_is_known(self) -> None:
        for files in (("compose.yaml",), ("compose.yaml", "compose.tls.yaml")):
            config = configured(IMAGE_CONFIG.read_text(), environment(*files), self.directory)
            storage: Any = options(IStorageFactory, config.storage)
            self.assertEqual((storage.bucket, storage.secret_access_key), ("lfs", SECRET))
            self.assertEqual(config.locks["type"], "postgresql")
            self.assertEqual(len(config.auth), 2)

    def test_who_starts_it_says_who_may_do_what(self) -> None:
        given = {"PUBLIC_URL": "http://lfs.example.com"}
        text = (COMPOSE / "compose.yaml").read_text()
        self.assertEqual(str(self.assertRaises(KeyError, interpolated, text, given)), "'AUTH'")

    def test_no_service_has_more_rights_than_it_needs(self) -> None:
        known = {**services("compose.yaml"), "nginx": services("compose.tls.yaml")["nginx"]}
        self.assertEqual(set(known), {"giftless", "database", "store", "nginx"})
        for name, service in known.items():
            self.assertIs(service["read_only"], True, name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertNotIn("cap_add", service, name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            self.assertEqual(service["restart"], "unless-stopped", name)
            self.assertIn("test", service["healthcheck"], name)

    def test_secrets_are_files_and_all_of_them_are_used(self) -> None:
        for file in ("compose.yaml", "compose.tls.yaml"):
            document = yaml.load((COMPOSE / file).read_text(), _Loader)
            used = {
                secret
                for each in document["services"].values()
                for secret in each.get("secrets", [])
            }
            self.assertEqual(used, set(document["secrets"]))
            for name, secret in document["secrets"].items():
                self.assertEqual(secret, {"file": f"secrets/{name}"})
        for each in services("compose.yaml").values():
            for variable, value in each["environment"].items():
                if re.search("PASSWORD|SECRET|CONNINFO", variable):
                    self.assertTrue(value.startswith("/run/secrets/"), variable)

    def test_only_giftless_or_nginx_is_published(self) -> None:
        published = [name for name, each in services("compose.yaml").items() if "ports" in each]
        self.assertEqual(published, ["giftless"])
        above = services("compose.tls.yaml")
        self.assertIsNone(above["giftless"]["ports"])
        self.assertEqual(above["nginx"]["ports"], ["${TLS_LISTEN:-443}:8443"])

    def test_transfers_may_end_before_a_container_is_killed(self) -> None:
        grace = Duration.of(services("compose.yaml")["giftless"]["stop_grace_period"])
        config = configured(IMAGE_CONFIG.read_text(), environment("compose.yaml"), self.directory)
        self.assertGreater(int(grace), config.shutdown_timeout + PATIENCE)
