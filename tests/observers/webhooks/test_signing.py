"""Secrets and signatures, against the official library."""

from __future__ import annotations

import base64
import time

import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.observers.webhooks.signing import parse_secret, signed_headers

#: A secret of the specification's examples.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def secret_of(key: bytes) -> str:
    """Return the secret that stands for a key."""
    return "whsec_" + base64.b64encode(key).decode()


class SecretTests(SynchronousTestCase):
    def test_a_secret_is_read_with_and_without_padding(self) -> None:
        for size in (24, 25, 26, 64):
            key = bytes(range(size))
            self.assertEqual(parse_secret(secret_of(key)), key)
            self.assertEqual(parse_secret(secret_of(key).rstrip("=")), key)

    def test_a_malformed_secret_is_refused_and_not_shown(self) -> None:
        for text, problem in (
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
            ("", "begins with whsec_"),
            ("whsec_", "stands for 0 bytes, allowed is 24 to 64"),
            (secret_of(b"canary" * 3), "stands for 18 bytes"),
            (secret_of(b"x" * 65), "stands for 65 bytes"),
            ("whsec_canary canary canary canary canary", "base64"),
            ("whsec_can\u00e4ry", "base64"),
            ("whsec_A", "base64"),
        ):
            error = self.assertRaises(ValueError, parse_secret, text)
            self.assertIn(problem, str(error))
            self.assertNotIn("canary", str(error))


class SignatureTests(SynchronousTestCase):
    def test_the_signature_is_that_of_the_specification(self) -> None:
        """The example of the specification's reference implementations."""
        headers = signed_headers(
            [parse_secret(SECRET)],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        self.assertEqual(
            headers,
            {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "webhook-timestamp": "1614265330",
                "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            },
        )

    @given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text())
    def test_the_official_library_accepts_each_of_several_secrets(
        self, old: bytes, new: bytes, text: str
    ) -> None:
        body = base64.b64encode(text.encode("utf-8", "replace"))
        headers = dict(signed_headers([old, new], "msg_1", int(time.time()), body))
        for key in (old, new):
            standardwebhooks.Webhook(secret_of(key)).verify(body, headers, json_parse=False)
        other = standardwebhooks.Webhook(secret_of(b"another key, of 24 bytes"))
        self.assertRaises(standardwebhooks.WebhookVerificationError, other.verify, body, headers)
