"""The options of ``type: oidc``: what cannot work is told before the server starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.oidc.authenticator import OIDCAuthenticator
from giftless.auth.oidc.factory import OIDCFactory
from giftless.auth.oidc.options import OIDCOptions
from giftless.base.schema import convert
from giftless.errors import ConfigError
from tests.support.making import environment

GOOD = {"issuer": "https://sso.example/realms/acme", "audience": "lfs", "grants": {}}


def build(**options: Any) -> OIDCAuthenticator:
    """Build an authenticator as the daemon does."""
    section = {**GOOD, **options}
    parsed = convert({k: v for k, v in section.items() if v is not None}, OIDCOptions, "")
    return OIDCFactory().build(parsed, environment())


class OptionTests(SynchronousTestCase):
    def test_what_is_needed_is_little(self) -> None:
        authenticator = build()
        self.assertEqual(str(authenticator.realm), "oidc:https://sso.example/realms/acme")
        self.assertEqual(authenticator.issuer, GOOD["issuer"])
        self.assertEqual(authenticator.scopes, ("openid",))

    def test_an_issuer_on_this_machine_needs_no_tls(self) -> None:
        for host in ("127.0.0.1:8080", "localhost", "[::1]:8080", "127.1.2.3"):
            build(issuer=f"http://{host}/")

    def test_options_that_cannot_work_are_refused(self) -> None:
        empty = Path(self.mktemp())
        empty.write_bytes(b"\xff")
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("issuer", {"issuer": None}),
            ("issuer", {"issuer": "sso.example"}),
            ("issuer", {"issuer": "http://sso.example"}),
            ("issuer", {"issuer": "http://10.0.0.1"}),
            ("issuer", {"issuer": "http://127.0.0.1.example"}),
            ("issuer", {"issuer": "https://user:hidden@sso.example"}),
            ("issuer", {"issuer": "https://sso.example/?tenant=1"}),
            ("audience", {"audience": None}),
            ("audience", {"audience": []}),
            ("audience", {"audience": ""}),
            ("grants", {"grants": None}),
            ("grants.staff", {"grants": {"staff": {"acme/*": "all"}}}),
            ("algorithms", {"algorithms": []}),
            ("algorithms", {"algorithms": ["RS256", "HS256"]}),
            ("algorithms.0", {"algorithms": ["none"]}),
            ("client_secret_file", {"client_id": "lfs"}),
            ("client_id", {"client_secret": "x"}),
            ("client_secret_file", {"client_id": "x", "client_secret_file": "/nowhere"}),
            ("client_secret_file", {"client_id": "x", "client_secret_file": str(empty)}),
            (
                "client_secret_file",
                {"client_id": "x", "client_secret": "y", "client_secret_file": "/z"},
            ),
            ("userinfo", {"userinfo": "always"}),
            ("scopes.1", {"scopes": ["openid", "a b"]}),
            ("networks.0", {"networks": ["nowhere"]}),
            ("groups_claim", {"groups_claim": ""}),
            ("ttl", {"ttl": 86_400}),
        )
        for path, options in cases:
            error = self.assertRaises(ConfigError, build, **options)
            self.assertEqual(error.path, path, options)
            self.assertNotIn("hidden", str(error))

    def test_secrets_are_in_no_representation(self) -> None:
        options = {"client_id": "giftless", "client_secret": "of great length"}
        parsed = convert({**GOOD, **options}, OIDCOptions, "")
        for shown in (repr(parsed), repr(build(**options))):
            self.assertNotIn("of great length", shown)
