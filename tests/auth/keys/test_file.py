"""A file of keys: whose they are, what is wrong with wrong ones, and what changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.keys.file import FileFactory, FileKeyring, OwnedKeys
from giftless.base.schema import convert
from giftless.base.watched_file import FileProblem
from giftless.errors import ConfigError
from giftless.interfaces import KeyOwner, OfferedKey
from tests.contracts.keyrings import KeyringContract
from tests.support.blocking import InlineBlocking
from tests.support.making import environment
from tests.support.run import CoroutineTestCase
from tests.support.ssh_keys import KINDS, SECURITY_KEYS, blob_of, public_key

ALICE = public_key("alice")
LAPTOP = public_key("alice's laptop", "ecdsa", "256")
BOB = public_key("bob")


class FileCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text(
            "# The team\n\n"
            f'principals="alice" {ALICE} alice@desktop\n'
            f'restrict,principals="alice",no-pty\t{LAPTOP}\n'
            f'  PRINCIPALS="bob" {BOB} eve\r\n'
        )
        self.clock = Clock()

    def build(self, **options: Any) -> FileKeyring:
        """Build the keyring of the file."""
        factory = FileFactory()
        section = {"keys_file": str(self.path), **options}
        lent = environment(reactor=self.clock, blocking=InlineBlocking())
        return factory.build(convert(section, factory.Options, "ssh.keys.0"), lent)


class ContractTests(KeyringContract, FileCase):
    def setUp(self) -> None:
        FileCase.setUp(self)
        KeyringContract.setUp(self)

    def make_keyring(self) -> FileKeyring:
        return self.build()

    def owned(self) -> Sequence[tuple[OfferedKey, str]]:
        return [
            (OfferedKey(blob_of(ALICE), "git", "192.0.2.1"), "alice"),
            (OfferedKey(blob_of(LAPTOP), "bob"), "alice"),
            (OfferedKey(blob_of(BOB)), "bob"),
        ]

    def unknown(self) -> Sequence[OfferedKey]:
        return [OfferedKey(blob_of(public_key("eve")), login) for login in ("git", "alice")]


class KeyringTests(FileCase):
    def test_all_keys_are_listed(self) -> None:
        listed = [(key.owner.user, key.line) for key in self.run_now(self.build().keys())]
        self.assertEqual(listed, [("alice", ALICE), ("alice", LAPTOP), ("bob", BOB)])

    def test_the_realm_is_that_of_the_section(self) -> None:
        keyring = self.build(realm="github:github.com")
        owner = self.run_now(keyring.owner(OfferedKey(blob_of(BOB))))
        self.assertEqual(owner, KeyOwner("bob", "github:github.com"))

    def test_a_change_counts_without_a_restart(self) -> None:
        keyring = self.build()
        self.path.write_text(f'principals="carol" {BOB}\n')
        self.clock.advance(1)
        for line, user in ((ALICE, None), (BOB, "carol")):
            owner = self.run_now(keyring.owner(OfferedKey(blob_of(line))))
            self.assertEqual(owner and owner.user, user)

    def test_a_file_that_is_broken_by_a_change_stays_in_force(self) -> None:
        keyring = self.build()
        self.path.write_text(f'principals="mallory" {ALICE}\nbroken\n')
        self.clock.advance(1)
        owner = self.run_now(keyring.owner(OfferedKey(blob_of(ALICE))))
        self.assertEqual(owner and owner.user, "alice")

    def test_the_file_must_be_good_at_the_start(self) -> None:
        for spoil in (lambda: self.path.write_text("alice\n"), self.path.unlink):
            spoil()
            error = self.assertRaises(ConfigError, self.build)
            self.assertEqual(error.path, "keys_file")


class LineTests(SynchronousTestCase):
    def problem(self, text: str | bytes) -> str:
        """Return what is wrong with a file of these lines."""
        content = text if isinstance(text, bytes) else text.encode()
        return str(self.assertRaises(FileProblem, OwnedKeys.parse, content))

    def test_every_kind_of_key_is_taken(self) -> None:
        lines = [*(public_key("any", kind, bits) for kind, bits in KINDS), *SECURITY_KEYS]
        content = "\n".join(f'principals="alice" {line}' for line in lines)
        users = OwnedKeys.parse(content.encode()).users
        self.assertEqual([key.line for key in users], lines)

    def test_a_key_may_stand_there_twice_for_one_user(self) -> None:
        line = f'principals="alice" {ALICE}\n'
        self.assertEqual(len(OwnedKeys.parse((line * 2).encode()).users), 1)

    def test_a_key_of_two_users_is_refused(self) -> None:
        """Whoever has it would be one of them by chance."""
        problem = self.problem(
            f'principals="alice" {ALICE} a\nprincipals="bob" {BOB}\nprincipals="bob" {ALICE} b\n'
        )
        self.assertEqual(problem, "line 3: the key is another user's as well, in line 1")

    def test_a_comment_names_nobody(self) -> None:
        """Whoever sends a key in has written it."""
        for line in (ALICE, f"{ALICE} alice", f"restrict {ALICE} alice"):
            self.assertIn("names no user", self.problem(line))

    def test_options_that_would_have_no_effect_are_refused(self) -> None:
        for option in (
            'command="/bin/true"',
            'from="10.0.0.0/8"',
            'expiry-time="20200101"',
            "cert-authority",
            "verify-required",
            'environment="A=b"',
        ):
            name = option.partition("=")[0]
            problem = self.problem(f'principals="alice",{option} {ALICE}')
            self.assertIn(f"line 1: the option {name} has no effect here", problem)

    def test_names_that_mean_something_else_are_refused(self) -> None:
        for name in ("", "alice,bob", "a b", "*", "al?ce", "!alice", "-alice", "a;b", "$(id)"):
            self.problem(f'principals="{name}" {ALICE}')
        for name in ('a\\"b', "a\\nb", "a\x00b", "a\x1bb", "a\u2028b", "x" * 129):
            self.problem(f'principals="{name}" {ALICE}')

    def test_hostile_lines_are_refused_with_their_number_and_without_their_text(self) -> None:
        encoded = ALICE.split()[1]
        for line in (
            "hunter2",
            f"ssh-ed25519 {encoded[:-8]}",
            f"ssh-rsa {encoded}",
            "ssh-ed25519",
            f'principals="alice"{ALICE}',
            f'principals="alice {ALICE}',
            f'principals="alice"," {ALICE}',
            f"principals=alice {ALICE}",
            f'principals="alice",principals="bob" {ALICE}',
            f'principals="alice",Principals="bob" {ALICE}',
            f'principals="alice",hunter2 {ALICE}',
            f'principals="alice",="x" {ALICE}',
            'principals="alice" ssh-dss hunter2',
            'principals="alice" ssh-ed25519-cert-v01@openssh.com hunter2',
            'principals="alice"',
            "x" * 40_000,
            '"' * 30_000,
            f'principals="{"x," * 10_000}" {ALICE}',
            "\\" * 30_000,
        ):
            problem = self.problem(f"# good\n\n{line}\n")
            self.assertTrue(problem.startswith("line 3: "), problem)
            self.assertNotIn("hunter2", problem)
            self.assertLess(len(problem), 200)

    def test_bytes_that_are_no_text_are_refused(self) -> None:
        self.assertEqual(self.problem(b'principals="\xff" x'), "line 1: is not UTF-8")
        self.problem(f'principals="alice" {ALICE}\n'.encode() + b"\0\0\0\n")

    @given(st.text(max_size=200) | st.from_regex(r'([a-z-]+(="[^"]*")?,?)+ ssh-ed25519 \w+'))
    def test_any_text_is_read_or_refused_in_words(self, text: str) -> None:
        try:
            OwnedKeys.parse(text.encode("utf-8", "surrogatepass"))
        except FileProblem as problem:
            self.assertTrue(str(problem).startswith("line "))
