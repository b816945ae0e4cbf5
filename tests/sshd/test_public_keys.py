"""Users' keys: which are taken, whose signatures count."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.keys import Key
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.ssh_wire import string, uint32
from giftless.sshd.algorithms import OFFERED_SIGNATURES
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.public_keys import MAX_BLOB, OfferedKey, read_offered
from tests.support.ssh_keys import blob_of, keygen, make_key

DATA = b"what is signed"


def offered(algorithm: bytes, blob: bytes) -> OfferedKey:
    key = read_offered(algorithm, blob)
    assert key is not None
    return key


class PlainKeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rsa = Key(rsa.generate_private_key(65537, 2048))
        self.ed25519 = Key(ed25519.Ed25519PrivateKey.generate())

    def test_a_signature_counts_only_for_what_was_signed(self) -> None:
        key = offered(b"ssh-ed25519", self.ed25519.public().blob())
        signature = self.ed25519.sign(DATA)
        self.assertTrue(key.verify(signature, DATA))
        self.assertFalse(key.verify(signature, DATA + b"!"))
        self.assertFalse(key.certified)

    def test_rsa_signs_with_sha2_only(self) -> None:
        blob = self.rsa.public().blob()
        for name in (b"rsa-sha2-256", b"rsa-sha2-512"):
            self.assertTrue(offered(name, blob).verify(self.rsa.sign(DATA, name), DATA))
        self.assertIsNone(read_offered(b"ssh-rsa", blob))
        old = self.rsa.sign(DATA, b"ssh-rsa")
        self.assertFalse(offered(b"rsa-sha2-512", blob).verify(old, DATA))

    def test_weak_and_monstrous_rsa_keys_are_passed_over(self) -> None:
        weak = Key(rsa.generate_private_key(65537, 1024)).public().blob()
        monstrous = b"".join(map(string, (b"ssh-rsa", b"\1\0\1", b"\x7f" * 3000)))
        for blob in (weak, monstrous):
            self.assertIsNone(read_offered(b"rsa-sha2-512", blob))

    def test_the_algorithm_and_the_key_must_be_of_one_kind(self) -> None:
        self.assertIsNone(read_offered(b"rsa-sha2-512", self.ed25519.public().blob()))
        self.assertIsNone(read_offered(b"ssh-dss", self.ed25519.public().blob()))

    def test_keys_that_are_too_long_are_passed_over(self) -> None:
        self.assertIsNone(read_offered(b"ssh-ed25519", bytes(MAX_BLOB + 1)))

    def test_nothing_may_follow_a_key(self) -> None:
        blob = self.ed25519.public().blob() + b"more"
        self.assertRaises(BrokenProtocol, read_offered, b"ssh-ed25519", blob)

    @given(st.sampled_from(OFFERED_SIGNATURES), st.binary(max_size=100), st.binary(max_size=100))
    def test_strangers_bytes_are_no_keys_and_no_signatures(
        self, algorithm: bytes, rest: bytes, signature: bytes
    ) -> None:
        for blob in (rest, string(algorithm) + rest):
            try:
                key = read_offered(algorithm, blob)
                if key is not None:
                    self.assertFalse(key.verify(signature, DATA))
                    self.assertFalse(key.verify(string(key.signature) + string(signature), DATA))
            except BrokenProtocol:
                pass


class SecurityKeyTests(SynchronousTestCase):
    """A key that does not leave a device, and whose owner touches that."""

    KIND = b"sk-ssh-ed25519@openssh.com"

    def setUp(self) -> None:
        self.private = ed25519.Ed25519PrivateKey.generate()
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = offered(self.KIND, b"".join(map(string, (self.KIND, raw, b"ssh:"))))

    def sign(self, flags: int, application: bytes = b"ssh:") -> bytes:
        tail = bytes([flags]) + uint32(7)
        signed = sha256(application).digest() + tail + sha256(DATA).digest()
        return string(self.KIND) + string(self.private.sign(signed)) + tail

    def test_a_touch_counts(self) -> None:
        self.assertTrue(self.key.verify(self.sign(1), DATA))
        self.assertTrue(self.key.verify(self.sign(5), DATA))

    def test_without_a_touch_it_is_no_signature(self) -> None:
        self.assertFalse(self.key.verify(self.sign(0), DATA))

    def test_a_signature_for_another_application_does_not_count(self) -> None:
        self.assertFalse(self.key.verify(self.sign(1, b"https://example.com"), DATA))

    def test_half_a_signature_is_none(self) -> None:
        self.assertRaises(BrokenProtocol, self.key.verify, self.sign(1)[:-2], DATA)


class CertificateTests(SynchronousTestCase):
    """As ``ssh-keygen`` makes them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.authority = self.folder / "ca"
        make_key(self.authority)

    def check(self, kind: str, signature: bytes) -> None:
        public = make_key(self.folder / kind, kind)
        keygen("-q", "-s", str(self.authority), "-I", "me", "-n", "ada", str(public))
        blob = blob_of((self.folder / f"{kind}-cert.pub").read_text())
        private = Key.fromFile(str(self.folder / kind))
        certified = signature.removesuffix(b"@openssh.com") + b"-cert-v01@openssh.com"
        key = offered(certified, blob)
        self.assertTrue(key.certified)
        self.assertEqual(key.plain, private.public().blob())
        self.assertTrue(key.verify(private.sign(DATA, signature), DATA))
        self.assertFalse(key.verify(private.sign(b"other", signature), DATA))
        # Without its name, it is no plain key either.
        self.assertIsNone(read_offered(signature, blob))

    def test_the_key_of_a_certificate_is_found(self) -> None:
        self.check("ed25519", b"ssh-ed25519")
        self.check("ecdsa", b"ecdsa-sha2-nistp256")
        self.check("rsa", b"rsa-sha2-512")
