"""The options of webhooks: what is wrong with wrong ones, without showing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.observers.rendering import NAMES
from giftless.observers.webhooks.options import (
    DEFAULT_EVENTS,
    Target,
    WebhooksOptions,
    targets_of,
)
from tests.observers.webhooks.test_signing import SECRET

URL = "https://ci.example.com/hooks"


def target(**options: Any) -> dict[str, Any]:
    """Return the options of a target."""
    return {"name": "ci", "url": URL, "secrets": [SECRET], **options}


def made(*sections: dict[str, Any]) -> list[Target]:
    """Make targets as a configuration would."""
    options = convert({"targets": list(sections)}, WebhooksOptions, "observers.0")
    return list(targets_of(options).values())


class OptionsTests(SynchronousTestCase):
    def test_a_target_gets_what_changes_something_of_all_repositories(self) -> None:
        (ci,) = made(target())
        self.assertEqual(ci.events, frozenset(DEFAULT_EVENTS))
        self.assertTrue(ci.wants("acme/rocket") and ci.wants(None))
        self.assertEqual(ci.url, URL)

    def test_events_are_chosen_by_name_and_pattern(self) -> None:
        for wanted, events in (
            (["lock.*"], {"lock.created", "lock.released", "lock.forced"}),
            (["*"], set(NAMES)),
            (["*.marked", "token.minted"], {"object.marked", "token.minted"}),
        ):
            (ci,) = made(target(events=wanted))
            self.assertEqual(ci.events, events)

    def test_a_target_with_patterns_gets_no_events_without_a_repository(self) -> None:
        (ci,) = made(target(repositories=["acme/**", "other/one"]))
        for path, wanted in (("acme/rocket", True), ("other/one", True), ("other/two", False)):
            self.assertEqual(ci.wants(path), wanted)
        self.assertFalse(ci.wants(None))

    def test_secrets_come_from_a_file_as_well(self) -> None:
        file = Path(self.mktemp())
        file.write_text(f"{SECRET}\n\n{SECRET}\n")
        (ci,) = made(target(secrets=[], secrets_file=str(file)))
        self.assertEqual(len(ci.secrets), 2)
        (ci,) = made(target(secrets_file=str(file)))
        self.assertEqual(len(ci.secrets), 3)
        file.write_text("canary\n")
        error = self.assertRaises(ConfigError, made, target(secrets_file=str(file)))
        self.assertEqual(error.path, "targets.0.secrets_file")
        self.assertIn("secret 1: a secret begins with", error.problem)

    def test_wrong_options_are_named_and_not_shown(self) -> None:
        for options, path, problem in (
            ({"name": "a b"}, "targets.0.name", "letters, digits"),
            ({"name": ""}, "targets.0.name", "letters, digits"),
            ({"url": "canary"}, "targets.0.url", "does not begin with http"),
            ({"url": "https://u:canary@h"}, "targets.0.url", "a URL with a user"),
            ({"url": "https://h/#canary"}, "targets.0.url", "a URL with a fragment"),
            ({"url": "https://[::1]/"}, "targets.0.url", "an IPv6 address"),
            ({"secrets": []}, "targets.0.secrets", "is missing"),
            ({"secrets": [SECRET, "canary"]}, "targets.0.secrets.1", "begins with whsec_"),
            ({"secrets_file": "/none/canary"}, "targets.0.secrets_file", "No such file"),
            ({"ca_file": "/none/canary"}, "targets.0.ca_file", "No such file"),
            ({"events": ["canary"]}, "targets.0.events.0", "available: object.stored"),
            ({"events": []}, "targets.0.events", "an empty list"),
            ({"repositories": ["a//canary"]}, "targets.0.repositories.0", "cannot match"),
            ({"networks": ["canary"]}, "targets.0.networks.0", "such as 10.0.0.0/8"),
        ):
            error = self.assertRaises(ConfigError, made, target(**options))
            self.assertEqual(error.path, path)
            self.assertIn(problem, error.problem)
            self.assertNotIn("canary", str(error))

    def test_two_targets_have_two_names(self) -> None:
        error = self.assertRaises(ConfigError, made, target(), target())
        self.assertEqual(error.path, "targets.1.name")

    def test_options_and_targets_show_no_secrets(self) -> None:
        options = convert({"targets": [target()], "conninfo": "canary"}, WebhooksOptions, "")
        shown = f"{options!r} {options.targets!r} {made(target())!r}"
        for secret in (SECRET, "canary", "example.com"):
            self.assertNotIn(secret, shown)
