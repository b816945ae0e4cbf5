"""From the ``ssh`` section to keyrings."""

from __future__ import annotations

from pathlib import Path

from giftless.app.config import parse
from giftless.app.keyrings import build_keyrings
from giftless.auth.keys.keyrings import Keyrings
from giftless.base.ssh_greeting import Owned, WhoseKey
from giftless.errors import ConfigError
from giftless.interfaces import IAuthenticatorFactory
from tests.support.making import part_builder
from tests.support.run import CoroutineTestCase
from tests.support.ssh_keys import blob_of, public_key

ALICE = public_key("alice")
BOB = public_key("bob")


class BuildTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "access").write_text("")
        (self.folder / "one").write_text(f'principals="alice" {ALICE}\n')
        (self.folder / "two").write_text(f'principals="mallory" {ALICE}\nprincipals="bob" {BOB}\n')

    def build(self, realm: str, *keys: str) -> Keyrings:
        """Build keyrings of files, beside an authenticator of some realm."""
        text = f"auth: [{{type: basic, access: {self.folder}/access, realm: '{realm}'}}]\n"
        options = parse("", f"{text}ssh: {{keys: [{', '.join(keys)}]}}", {}).config
        parts = part_builder()
        parts.build(IAuthenticatorFactory, options.auth[0], "auth.0")
        return build_keyrings(options, parts)

    def section(self, name: str, realm: str = "basic") -> str:
        """Return the section of a file."""
        return f"{{type: file, keys_file: {self.folder}/{name}, realm: '{realm}'}}"

    def test_keyrings_are_asked_in_the_order_of_the_configuration(self) -> None:
        keyrings = self.build("", self.section("one"), self.section("two"))
        for line, user in ((ALICE, "alice"), (BOB, "bob")):
            owned = self.run_now(keyrings.owner(WhoseKey(blob_of(line))))
            self.assertEqual(owned, Owned(user, "basic"))

    def test_no_keyring_knows_nobody(self) -> None:
        owned = self.run_now(self.build("").owner(WhoseKey(blob_of(ALICE))))
        self.assertEqual(owned, Owned())

    def test_users_may_be_those_of_an_authenticator_below_a_path(self) -> None:
        inside = f"{{type: basic, access: {self.folder}/access, realm: inside}}"
        text = f"auth: [{{type: below, path: a.example, auth: [{inside}]}}]\n"
        keys = self.section("one", "basic:inside")
        options = parse("", f"{text}ssh: {{keys: [{keys}]}}", {}).config
        parts = part_builder()
        parts.build(IAuthenticatorFactory, options.auth[0], "auth.0")
        owned = self.run_now(build_keyrings(options, parts).owner(WhoseKey(blob_of(ALICE))))
        self.assertEqual(owned, Owned("alice", "basic:inside"))

    def test_errors_say_which_section_is_wrong(self) -> None:
        for realm, sections, path in (
            ("staff", [self.section("one", "basic:staff"), self.section("two")], "1.realm"),
            ("", [self.section("one", "github:github.com")], "0.realm"),
            ("", [self.section("one"), self.section("nowhere")], "1.keys_file"),
            ("", ["{type: rot13}"], "0.type"),
            ("", [self.section("one").replace("realm", "realms")], "0.realms"),
        ):
            error = self.assertRaises(ConfigError, self.build, realm, *sections)
            self.assertEqual(error.path, f"ssh.keys.{path}")
