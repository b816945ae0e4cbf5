"""Public keys: which are taken, and what becomes of damaged ones."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.keys.public_keys import MAX_BLOB, parse_blob, parse_words
from tests.support.ssh_keys import KINDS, SECURITY_KEYS, blob_of, public_key, string


def rsa(bits: int) -> bytes:
    """Make an RSA key of some length, which nobody could sign with."""
    modulus = (1 << (bits - 1)) | 1
    length = bits // 8 + 1
    return string(b"ssh-rsa") + string(b"\x01\x00\x01") + string(modulus.to_bytes(length, "big"))


class PublicKeyTests(SynchronousTestCase):
    def test_the_keys_that_openssh_makes_are_taken(self) -> None:
        made = [public_key("any", kind, bits) for kind, bits in KINDS]
        for line in (*made, *SECURITY_KEYS):
            key = parse_blob(blob_of(line))
            self.assertEqual((key.line, key.type), (line, line.split()[0]))
            self.assertEqual(parse_words(*line.split()), key)

    def test_weak_and_unknown_keys_are_refused(self) -> None:
        for blob, words in (
            (rsa(1024), "fewer than 2048 bits"),
            (rsa(2040), "fewer than 2048 bits"),
            (rsa(32768), "more than 16384"),
            (string(b"ssh-dss") + string(b"x") * 4, "not known or too weak"),
            (string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"x") * 4, "not known"),
            (string(b"ssh-rsa\0") + rsa(2048)[11:], "not known"),
            (string(b"\xff\xfe"), "damaged"),
            (string(b"ssh-ed25519") + string(b"x" * 31), "32 bytes"),
            (string(b"ssh-ed25519") + string(b"x" * 33), "32 bytes"),
            (string(b"ssh-ed25519") + string(b"x" * 32) + b"\0", "goes on after its end"),
            (b"\xff\xff\xff\xffssh-ed25519", "ends too early"),
            (b"x" * (MAX_BLOB + 1), "too long"),
            (b"", "ends too early"),
        ):
            error = self.assertRaises(ValueError, parse_blob, blob)
            self.assertIn(words, str(error))

    def test_numbers_of_rsa_are_written_in_one_way(self) -> None:
        """Else one key would have many blobs."""
        modulus = string(b"\0" + b"\x80" * 256)
        for exponent in (b"", b"\0", b"\0\x03", b"\0\0\x01\x00\x01", b"\x81"):
            blob = string(b"ssh-rsa") + string(exponent) + modulus
            self.assertRaises(ValueError, parse_blob, blob)

    def test_points_must_have_the_form_of_their_curve(self) -> None:
        for curve, point in (
            (b"nistp256", b"\x04" + b"p" * 63),
            (b"nistp256", b"\x02" + b"p" * 32),
            (b"nistp384", b"\x04" + b"p" * 64),
            (b"", b"\x04" + b"p" * 64),
        ):
            blob = string(b"ecdsa-sha2-nistp256") + string(curve) + string(point)
            self.assertRaises(ValueError, parse_blob, blob)

    def test_the_word_before_a_key_must_be_its_type(self) -> None:
        line = public_key("any")
        for kind, encoded in (
            ("ssh-rsa", line.split()[1]),
            ("ssh-ed25519", line.split()[1][:-4]),
            ("ssh-ed25519", line.split()[1] + "!"),
            ("ssh-ed25519", "\u00e9"),
            ("ssh-ed25519", ""),
        ):
            self.assertRaises(ValueError, parse_words, kind, encoded)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_a_key_or_refused_in_words(self, blob: bytes) -> None:
        for data in (blob, string(b"ssh-rsa") + blob, string(b"ecdsa-sha2-nistp521") + blob):
            try:
                key = parse_blob(data)
            except ValueError as error:
                self.assertTrue(str(error).startswith("the key is"))
            else:
                self.assertEqual(base64.b64decode(key.line.split()[1]), data)
