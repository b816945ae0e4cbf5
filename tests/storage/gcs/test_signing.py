"""V4 signatures against Google's published vectors, and against Google's own code."""

from __future__ import annotations

import datetime
import json
from calendar import timegm
from hashlib import sha256
from pathlib import Path
from time import strptime
from typing import Any, ClassVar
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud import storage
from google.cloud.storage import _signing
from google.oauth2.service_account import Credentials
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from giftless.storage.gcs.signing import (
    HMAC,
    RSA,
    Draft,
    hmac_signature,
    prepare,
)
from giftless.storage.remote.urls import encode_path

#: From googleapis/conformance-tests; beside the checkout, not in it.
VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "gcs_v4_signatures.json"

#: The vector that signs a path which is not in its URL, unlike the others with the
#: bucket in the host's name.  The daemon has buckets in the path.
CONTRADICTORY = "Universe domain with virtual hosted style"

#: An account of these tests.
EMAIL = "tester@giftless-tests.iam.gserviceaccount.com"


def make_credentials() -> Credentials:
    """Return a service account's credentials with a fresh key."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Credentials.from_service_account_info(
        {"client_email": EMAIL, "private_key": pem, "token_uri": "http://127.0.0.1:9/"}
    )


class VectorTests(SynchronousTestCase):
    """The conformance tests that all of Google's own clients have to pass."""

    def test_every_vector_is_signed_as_given(self) -> None:
        if not VECTORS.exists():
            raise SkipTest(f"{VECTORS} is not there")
        cases = json.loads(VECTORS.read_text())["signingV4Tests"]
        self.assertGreater(len(cases), 25)
        for case in cases:
            if case["description"] != CONTRADICTORY:
                self.check(case)

    def check(self, case: dict[str, Any]) -> None:
        url, _, query = case["expectedUrl"].partition("?")
        asked = parse_qs(query)
        signer, _, _ = asked["X-Goog-Credential"][0].partition("/")
        instant = timegm(strptime(case["timestamp"], "%Y-%m-%dT%H:%M:%SZ"))
        draft = Draft(
            case["method"],
            url,
            case.get("queryParameters", {}),
            case.get("headers", {}),
        )
        unsigned = prepare(draft, RSA, signer, instant, int(case["expiration"]))
        request, text = case["expectedCanonicalRequest"], case["expectedStringToSign"]
        if (parts := urlsplit(url)).port is not None:
            # The vectors sign the host alone, Google's client for Python and this
            # one what clients send: the port too, if it is not the usual one.
            request = request.replace(f"host:{parts.hostname}\n", f"host:{parts.netloc}\n")
            text = f"{text[:-64]}{sha256(request.encode()).hexdigest()}"
        self.assertEqual(unsigned.canonical_request, request)
        self.assertEqual(unsigned.string_to_sign, text)
        signature = bytes.fromhex(asked["X-Goog-Signature"][0])
        signed = unsigned.signed(signature).partition("?")[2]
        self.assertEqual(sorted(signed.split("&")), sorted(query.split("&")))

    def test_paths_are_encoded_as_in_the_vectors(self) -> None:
        """Paths are encoded as the vectors have them."""
        if not VECTORS.exists():
            raise SkipTest(f"{VECTORS} is not there")
        for case in json.loads(VECTORS.read_text())["signingV4Tests"]:
            if "object" in case:
                path = urlsplit(case["expectedUrl"]).path
                self.assertTrue(path.endswith(f"/{encode_path(case['object'])}"), path)


#: What may be in names, and in the values of headers and parameters.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
LATIN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
NAMES = st.from_regex(r"x-goog-[a-z]{1,8}", fullmatch=True).filter(
    lambda name: name != "x-goog-content-sha256"
)


class OracleTests(SynchronousTestCase):
    """What google-cloud-storage signs is what is signed here, byte for byte."""

    credentials: ClassVar[Credentials] = make_credentials()
    client: ClassVar[storage.Client] = storage.Client("giftless-tests", credentials)

    @given(
        st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]),
        st.lists(TEXT.filter(lambda text: "/" not in text), min_size=1, max_size=4),
        st.dictionaries(st.from_regex(r"response-[a-z-]{1,8}", fullmatch=True), TEXT, max_size=3),
        st.dictionaries(NAMES, LATIN, max_size=3),
        st.integers(1, 604_800),
        st.integers(1_000_000_000, 4_000_000_000),
    )
    def test_signatures_equal_those_of_google_cloud_storage(
        self,
        method: str,
        segments: list[str],
        parameters: dict[str, str],
        headers: dict[str, str],
        expires: int,
        instant: int,
    ) -> None:
        name = "/".join(segments)
        when = datetime.datetime.fromtimestamp(instant, datetime.UTC).replace(tzinfo=None)
        with mock.patch.object(_signing, "_NOW", lambda _: when.replace(tzinfo=datetime.UTC)):
            expected = (
                self.client.bucket("a-bucket")
                .blob(name)
                .generate_signed_url(
                    version="v4",
                    expiration=datetime.timedelta(seconds=expires),
                    method=method,
                    query_parameters=dict(parameters),
                    headers=dict(headers),
                )
            )
        url = f"https://storage.googleapis.com/a-bucket/{encode_path(name)}"
        unsigned = prepare(Draft(method, url, parameters, headers), RSA, EMAIL, instant, expires)
        signature = self.credentials.sign_bytes(unsigned.string_to_sign.encode())
        self.assertEqual(unsigned.signed(signature), expected)


class HmacTests(SynchronousTestCase):
    """HMAC keys.  Google publishes no vectors for them."""

    def test_as_amazon_does_it(self) -> None:
        """The same steps as Amazon's Signature Version 4, with Google's names in it.

        Google's documentation says so; botocore is held to do them right.
        """
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials as Keys

        unsigned = prepare(
            Draft("GET", "https://storage.googleapis.com/b/o"), HMAC, "GOOG1E", 1.6e9, 60
        )
        self.assertTrue(unsigned.string_to_sign.startswith("GOOG4-HMAC-SHA256\n20200913T122640Z\n"))

        class Google(S3SigV4QueryAuth):
            def signature(self, string_to_sign: str, request: Any) -> str:
                key = self._sign(b"GOOG4secret", "20200913")
                key = self._sign(key, "auto")
                key = self._sign(key, "storage")
                key = self._sign(key, "goog4_request")
                return self._sign(key, string_to_sign, hex=True)

        oracle = Google(Keys("GOOG1E", "secret"), "storage", "auto")
        expected = oracle.signature(unsigned.string_to_sign, AWSRequest())
        self.assertEqual(hmac_signature("secret", unsigned.string_to_sign).hex(), expected)

    def test_each_day_has_its_key(self) -> None:
        """The key that is remembered is that of the day of the request."""
        signatures = set()
        for day in (0, 86_400, 0):
            draft = Draft("GET", "https://storage.googleapis.com/b/o")
            unsigned = prepare(draft, HMAC, "GOOG1E", day, 60)
            text = unsigned.string_to_sign.split("\n")
            signatures.add(hmac_signature("secret", "\n".join([*text[:3], "same"])))
        self.assertEqual(len(signatures), 2)
