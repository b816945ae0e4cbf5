"""Host keys: made once, read, and refused with words."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import ConfigError
from giftless.sshd.host_keys import MADE, load_host_keys


class HostKeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.state = self.folder / "state"

    def write(
        self,
        key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        encryption: KeySerializationEncryption | None = None,
    ) -> str:
        """Write a key down; returns the file's name."""
        file = self.folder / f"key{len(list(self.folder.iterdir()))}"
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption or NoEncryption())
        file.write_bytes(text)
        return str(file)

    def problem(self, *files: str) -> str:
        error = self.assertRaises(ConfigError, load_host_keys, files, str(self.state))
        return str(error)

    def test_a_key_is_made_once_and_only_for_the_daemon(self) -> None:
        first = load_host_keys([], str(self.state))
        file = self.state / MADE
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(load_host_keys([], str(self.state)).fingerprints, first.fingerprints)
        self.assertEqual([each.name for each in self.state.iterdir()], [MADE])

    def test_a_state_directory_that_cannot_be_written_to(self) -> None:
        self.state.write_text("a file")
        self.assertIn("state_dir: ", self.problem())

    def test_the_best_key_comes_first_whatever_the_order_is(self) -> None:
        keys = load_host_keys(
            [
                self.write(rsa.generate_private_key(65537, 2048)),
                self.write(ec.generate_private_key(ec.SECP256R1())),
                self.write(ed25519.Ed25519PrivateKey.generate()),
            ],
            str(self.state),
        )
        self.assertEqual(
            keys.signatures,
            [b"ssh-ed25519", b"ecdsa-sha2-nistp256", b"rsa-sha2-512", b"rsa-sha2-256"],
        )
        self.assertFalse(self.state.exists())

    def test_two_keys_of_one_kind_are_refused(self) -> None:
        files = [self.write(ed25519.Ed25519PrivateKey.generate()) for _ in range(2)]
        self.assertIn("ssh.host_keys.1: ", self.problem(*files))

    def test_a_key_with_a_passphrase_is_refused(self) -> None:
        file = self.write(ed25519.Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x"))
        self.assertIn("has a passphrase", self.problem(file))

    def test_a_weak_key_is_refused(self) -> None:
        file = self.write(rsa.generate_private_key(65537, 1024))
        self.assertIn("has 1024 bits, but needs 2048", self.problem(file))

    def test_what_is_no_private_key_is_refused(self) -> None:
        public = ed25519.Ed25519PrivateKey.generate().public_key()
        (self.folder / "public").write_bytes(
            public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        )
        (self.folder / "junk").write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
        for name in ("public", "junk"):
            self.assertIn("no private key", self.problem(str(self.folder / name)))

    def test_a_file_that_is_missing_is_named(self) -> None:
        self.assertIn("cannot be read", self.problem(str(self.folder / "none")))
