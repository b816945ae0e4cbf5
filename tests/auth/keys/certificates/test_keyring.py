"""Certificates as an authority signs them: who is let in, and who is not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from giftless.auth.keys.certificates.certificate import parse_certificate
from giftless.auth.keys.certificates.keyring import CertificateFactory, CertificateKeyring
from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.interfaces import KeyOwner, OfferedKey
from tests.auth.keys.certificates.making import FOREVER, Authority
from tests.contracts.keyrings import KeyringContract
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import environment
from tests.support.run import CoroutineTestCase
from tests.support.ssh_keys import (
    KINDS,
    SECURITY_KEYS,
    blob_of,
    keygen,
    make_key,
    public_key,
    string,
)

ALICE = public_key("alice")
NOW = 1_800_000_000


class CertificateCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority()
        self.authorities = self.folder / "authorities"
        self.authorities.write_text(f"# The team's\n{self.authority.line} ca\n")
        self.revoked = self.folder / "revoked"
        self.clock = Clock()
        self.clock.advance(NOW)
        self.log: list[str] = []
        observe(self, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("giftless.auth.keys.certificates"):
            self.log.append(event["log_format"].format(**event))

    def build(self, **options: Any) -> CertificateKeyring:
        """Build a keyring of the authorities."""
        factory = CertificateFactory()
        section = {"authorities_file": str(self.authorities), **options}
        lent = environment(reactor=self.clock, blocking=InlineBlocking())
        return factory.build(convert(section, factory.Options, "ssh.keys.0"), lent)

    def user(
        self,
        blob: bytes,
        login: str = "git",
        address: str = "192.0.2.1",
        keyring: CertificateKeyring | None = None,
    ) -> str | None:
        """Return the user whom a certificate lets in, if it does."""
        offered = OfferedKey(blob, login, address)
        owner = self.run_now((keyring or self.build()).owner(offered))
        return None if owner is None else owner.user


class ContractTests(KeyringContract, CertificateCase):
    def setUp(self) -> None:
        CertificateCase.setUp(self)
        KeyringContract.setUp(self)

    def make_keyring(self) -> CertificateKeyring:
        return self.build()

    def owned(self) -> Sequence[tuple[OfferedKey, str]]:
        both = self.authority.certify(ALICE, ("alice", "ops"))
        return [
            (OfferedKey(self.authority.certify(ALICE), "git"), "alice"),
            (OfferedKey(both, "ops"), "ops"),
        ]

    def unknown(self) -> Sequence[OfferedKey]:
        return [OfferedKey(blob_of(ALICE), "alice"), OfferedKey(blob_of(self.authority.line))]


class OpenSSHTests(CertificateCase):
    """What ``ssh-keygen`` makes."""

    def certify(self, kind: str, bits: str, *options: str, key: Path | None = None) -> bytes:
        """Make an authority of some kind, and let it sign a new key.

        :param options: what else ``ssh-keygen -s`` is told.
        """
        names = (f"ca-{len(list(self.folder.iterdir()))}", "user")
        authority = self.folder / names[0]
        public = make_key(authority, kind, bits)
        with self.authorities.open("a") as file:
            file.write(public.read_text())
        user = key or self.folder / names[1]
        if key is None and not user.exists():
            make_key(user)
        signed = user.with_name(f"{user.name}.pub")
        arguments = ("-q", "-s", str(authority), "-I", "alice@work", "-n", "alice", *options)
        keygen(*arguments, str(signed))
        return blob_of(user.with_name(f"{user.name}-cert.pub").read_text())

    def test_every_kind_of_authority_and_of_key_is_taken(self) -> None:
        for kind, bits in KINDS:
            user = self.folder / f"{kind}{bits}"
            make_key(user, kind, bits)
            blob = self.certify(kind, bits, key=user)
            self.assertEqual(self.user(blob), "alice", (kind, bits))
            found = parse_certificate(blob)
            assert found is not None
            plain = user.with_name(f"{user.name}.pub").read_text()
            self.assertEqual(found.key.blob, blob_of(plain))
            self.assertEqual((found.key_id, found.principals), ("alice@work", ("alice",)))

    def test_both_signatures_with_rsa_are_taken(self) -> None:
        for algorithm in ("rsa-sha2-256", "rsa-sha2-512"):
            self.assertEqual(self.user(self.certify("rsa", "2048", "-t", algorithm)), "alice")

    def test_validity_is_kept_and_the_serial_number_is_read(self) -> None:
        validity = "20260101000000Z:20270101000000Z"
        blob = self.certify("ed25519", "", "-z", "77", "-V", validity)
        for moment, user in ((1767225599, None), (1767225600, "alice"), (1798761600, None)):
            keyring = self.build()
            keyring._wall_clock = partial(float, moment)
            self.assertEqual(self.user(blob, keyring=keyring), user, moment)
        found = parse_certificate(blob)
        assert found is not None
        self.assertEqual(found.serial, 77)

    def test_options_of_a_certificate_are_kept_or_refused(self) -> None:
        for options, user in (
            (("-O", "clear"), "alice"),
            (("-O", "permit-pty", "-O", "no-touch-required"), "alice"),
            (("-O", "extension:login@example.com=mallory"), "alice"),
            (("-O", "source-address=192.0.2.0/24,2001:db8::/32"), "alice"),
            (("-O", "source-address=192.0.2.2"), None),
            (("-O", "force-command=/bin/true"), None),
            (("-O", "verify-required"), None),
            (("-O", "critical:new@example.com=x"), None),
        ):
            self.assertEqual(self.user(self.certify("ed25519", "", *options)), user, options)

    def test_a_certificate_of_a_host_lets_nobody_in(self) -> None:
        self.assertIsNone(self.user(self.certify("ed25519", "", "-h")))
        self.assertIn("it is not a user's", self.log[-1])


class RefusedTests(CertificateCase):
    """Every field may be wrong."""

    def refused(self, words: str, blob: bytes, login: str = "alice") -> None:
        """Check that nobody is let in, and that the log says why."""
        self.log.clear()
        self.assertIsNone(self.user(blob, login))
        self.assertEqual(len(self.log), 1 if words else 0, self.log)
        for line in self.log:
            self.assertIn(words, line)

    def test_a_certificate_is_good_within_its_times(self) -> None:
        for valid in ((NOW, NOW + 1), (0, FOREVER), (NOW - 1, NOW + 1)):
            self.assertEqual(self.user(self.authority.certify(ALICE, valid=valid)), "alice")
        for valid, words in (
            ((NOW + 1, FOREVER), "not valid yet"),
            ((0, NOW), "has expired"),
            ((0, 0), "has expired"),
            ((NOW + 1, NOW - 1), "not valid yet"),
            ((FOREVER, FOREVER), "not valid yet"),
        ):
            self.refused(words, self.authority.certify(ALICE, valid=valid))

    def test_a_certificate_that_is_no_users_is_refused(self) -> None:
        for purpose in (0, 2, 3, 0xFFFFFFFF):
            self.refused("not a user's", self.authority.certify(ALICE, purpose=purpose))

    def test_authorities_that_are_not_trusted_let_nobody_in(self) -> None:
        other = Authority()
        self.refused("", other.certify(ALICE))
        self.refused("", other.certify(ALICE, authority=self.authority.line))
        self.refused("", self.authority.certify(ALICE, authority=other.line))
        # Whoever is signed for is no authority.
        self.authorities.write_text(f"{other.line}\n")
        self.refused("", self.authority.certify(ALICE))

    def test_a_certificate_signed_by_a_certified_key_lets_nobody_in(self) -> None:
        second = Authority()
        signed = self.authority.certify(second.line)
        self.assertEqual(self.user(signed), "alice")
        self.refused("", second.certify(ALICE))

    def test_critical_options_that_cannot_be_kept_are_refused(self) -> None:
        address = string(b"192.0.2.0/24")
        for critical in (
            [("force-command", string(b"true"))],
            [("verify-required", b"")],
            [("SOURCE-ADDRESS", address)],
            [("source-address ", address)],
            [("", b"")],
            [("source-address", address), ("x", b"")],
        ):
            blob = self.authority.certify(ALICE, critical=critical)
            self.refused("critical option that cannot be kept", blob)
        twice = [("source-address", address), ("source-address", string(b"0.0.0.0/0"))]
        self.refused("", self.authority.certify(ALICE, critical=twice))

    def test_a_certificate_is_good_for_its_addresses(self) -> None:
        for allowed, address, is_let_in in (
            ("192.0.2.1", "192.0.2.1", True),
            ("192.0.2.0/24", "192.0.2.255", True),
            ("10.0.0.0/8,192.0.2.0/24", "192.0.2.1", True),
            ("192.0.2.0/24", "::ffff:192.0.2.1", True),
            ("2001:db8::/32", "2001:db8::1", True),
            ("fe80::/10", "fe80::1%eth0", True),
            ("0.0.0.0/0", "192.0.2.1", True),
            ("0.0.0.0/0", "2001:db8::1", False),
            ("192.0.2.0/24", "192.0.3.1", False),
            ("192.0.2.0/24", "", False),
            ("192.0.2.0/24", "office", False),
            ("192.0.2.1/24", "192.0.2.1", False),
            ("*", "192.0.2.1", False),
            ("!192.0.2.1,192.0.2.0/24", "192.0.2.2", False),
            ("192.0.2.0/24,", "192.0.2.1", False),
            ("", "192.0.2.1", False),
        ):
            critical = [("source-address", string(allowed.encode()))]
            blob = self.authority.certify(ALICE, critical=critical)
            expected = "alice" if is_let_in else None
            self.assertEqual(self.user(blob, address=address), expected, (allowed, address))
        for data in (b"", string(b"192.0.2.1") + b"x", b"\0\0\0\xff1", string(b"\xff")):
            blob = self.authority.certify(ALICE, critical=[("source-address", data)])
            self.refused("not for the address", blob)

    def test_principals_are_users_and_no_patterns(self) -> None:
        for principals, login, user in (
            (("alice",), "git", "alice"),
            (("alice",), "bob", "alice"),
            (("alice", "ops"), "ops", "ops"),
            (("alice", "git"), "git", "git"),
            (("alice", "ops"), "git", None),
            (("alice", "ops"), "", None),
            ((), "alice", None),
            (("",), "", None),
            (("*",), "alice", None),
            (("*",), "*", None),
            (("al*",), "alice", None),
            (("alice,bob",), "alice", None),
            (("alice\0bob",), "alice", None),
            (("alice\n",), "alice", None),
            (("-alice",), "-alice", None),
            ((b"\xff",), "alice", None),
            (("x" * 129,), "alice", None),
        ):
            blob = self.authority.certify(ALICE, principals)
            self.assertEqual(self.user(blob, login), user, principals)

    def test_keys_that_are_damaged_or_of_another_kind_are_refused(self) -> None:
        for line in SECURITY_KEYS:
            kind = f"{line.split()[0].removesuffix('@openssh.com')}-cert-v01@openssh.com"
            self.assertEqual(self.user(self.authority.certify(line, kind=kind.encode())), "alice")
            self.refused("", self.authority.certify(line))
        for other in (b"ssh-dss-cert-v01@openssh.com", b"ssh-ed25519-cert-v00@openssh.com", b""):
            self.refused("", self.authority.certify(ALICE, kind=other))
        self.refused("", self.authority.certify(ALICE, kind=b"ssh-rsa-cert-v01@openssh.com"))
        self.refused("", self.authority.certify(ALICE, tail=b"\0"))
        self.refused("", self.authority.certify(ALICE, key_id=b"\xff"))
        self.refused("", self.authority.certify(ALICE) * 20)

    def test_what_an_authority_has_signed_is_shown_in_one_line_of_the_log(self) -> None:
        blob = self.authority.certify(ALICE, purpose=2, key_id=b"a\n\x1b[2Jb" + b"x" * 999)
        self.refused("not a user's", blob)
        self.assertTrue(self.log[0].isprintable())
        self.assertLess(len(self.log[0]), 300)

    @given(st.binary(max_size=200), st.integers(0, 400))
    def test_no_change_of_a_certificate_lets_anybody_in(self, noise: bytes, place: int) -> None:
        good = self.authority.certify(ALICE)
        blob = good[:place] + noise + good[place + len(noise) :]
        if blob != good:
            self.assertIsNone(self.user(blob, keyring=self.keyring))

    @property
    def keyring(self) -> CertificateKeyring:
        return self.build()


class RevokedTests(CertificateCase):
    def revoke(self, *lines: str) -> CertificateKeyring:
        """Build a keyring with a list of what is revoked."""
        self.revoked.write_text("".join(f"{line}\n" for line in lines))
        return self.build(revoked_file=str(self.revoked))

    def test_what_the_list_names_lets_nobody_in(self) -> None:
        blob = self.authority.certify(ALICE, serial=7, key_id=b"alice@work")
        path = self.folder / "alice.pub"
        path.write_text(ALICE)
        fingerprint = keygen("-l", "-f", str(path)).split()[1]
        for line in (
            "serial: 7",
            "serial:7",
            "Serial: 1-7",
            "serial: 0x7",
            "serial: 7-18446744073709551615",
            "id: alice@work",
            f"key: {ALICE}",
            f"sha256: {ALICE} alice",
            f"hash: {fingerprint}",
            ALICE,
            f"key: {self.authority.line}",
        ):
            keyring = self.revoke("# gone", "", line)
            self.assertIsNone(self.user(blob, keyring=keyring), line)
            self.assertIn("it is revoked", self.log[-1])
        for line in ("serial: 8", "serial: 8-9", "id: alice", f"key: {public_key('bob')}", ""):
            self.assertEqual(self.user(blob, keyring=self.revoke(line)), "alice", line)

    def test_a_certificate_is_revoked_without_a_restart(self) -> None:
        keyring = self.revoke()
        blob = self.authority.certify(ALICE, serial=7)
        self.assertEqual(self.user(blob, keyring=keyring), "alice")
        self.revoked.write_text("serial: 7\n")
        self.clock.advance(1)
        self.assertIsNone(self.user(blob, keyring=keyring))

    def test_openssh_makes_a_list_of_the_same_text(self) -> None:
        text = self.folder / "text"
        text.write_text(f"serial: 7-9\nid: alice@work\nkey: {ALICE}\nsha256: {ALICE}\n")
        self.revoke(*text.read_text().splitlines())
        keygen("-k", "-f", str(self.revoked), "-s", str(self.authorities), str(text))
        error = self.assertRaises(ConfigError, self.build, revoked_file=str(self.revoked))
        self.assertIn("compiled list", error.problem)

    def test_lines_that_say_nothing_keep_the_daemon_from_starting(self) -> None:
        for line in (
            "serial:",
            "serial: 0",
            "serial: 9-7",
            "serial: 7-",
            "serial: -7",
            "serial: 7-8-9",
            "serial: 18446744073709551616",
            "serial: seven",
            "serials: 7",
            "hash: MD5:00",
            "hash: SHA256:short",
            "key: ssh-ed25519",
            f"key: {ALICE[:-8]}",
            "alice",
        ):
            error = self.assertRaises(ConfigError, self.revoke, "id: x", line)
            self.assertEqual(error.path, "revoked_file")
            self.assertIn("line 2: ", error.problem)


class OptionsTests(CertificateCase):
    def test_files_must_be_good_at_the_start(self) -> None:
        for text, words in (
            ("hunter2\n", "line 1: "),
            (f'principals="alice" {self.authority.line}\n', "options that have no effect"),
            (SECURITY_KEYS[0], "what a security key signs"),
        ):
            self.authorities.write_text(text)
            error = self.assertRaises(ConfigError, self.build)
            self.assertEqual(error.path, "authorities_file")
            self.assertIn(words, error.problem)
            self.assertNotIn("hunter2", error.problem)

    def test_lines_of_authorized_keys_files_may_name_authorities(self) -> None:
        self.authorities.write_text(f"cert-authority {self.authority.line}\n")
        self.assertEqual(self.user(self.authority.certify(ALICE)), "alice")

    def test_an_empty_file_trusts_nobody(self) -> None:
        self.authorities.write_text("")
        self.assertIsNone(self.user(self.authority.certify(ALICE)))

    def test_the_realm_is_that_of_the_section(self) -> None:
        keyring = self.build(realm="basic:staff")
        owner = self.run_now(keyring.owner(OfferedKey(self.authority.certify(ALICE))))
        self.assertEqual(owner, KeyOwner("alice", "basic:staff"))
