"""Signatures: the vectors that AWS publishes, and botocore as the oracle."""

from __future__ import annotations

import calendar
import datetime
from typing import Any
from unittest import mock
from urllib.parse import quote, urlencode

from botocore import auth as botocore_auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.remote.urls import encode_path
from giftless.storage.s3.signing import (
    EMPTY,
    UNSIGNED,
    Credentials,
    Signer,
)

#: The request time of AWS's examples: 24 May 2013, midnight.
EXAMPLE_TIME = float(calendar.timegm((2013, 5, 24, 0, 0, 0)))

HOST = "https://examplebucket.s3.amazonaws.com"

EXAMPLE = Signer(
    Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "us-east-1"
)


class VectorTests(SynchronousTestCase):
    """Amazon S3 API reference: "Signature Calculations for the Authorization Header:
    Transferring Payload in a Single Chunk", and "Authenticating Requests: Using Query
    Parameters".
    """

    def assert_signature(
        self,
        method: str,
        path: str,
        expected: str,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        payload: str = EMPTY,
    ) -> None:
        url, sent = EXAMPLE.authorize(
            method, HOST + path, parameters or {}, headers or {}, payload, EXAMPLE_TIME
        )
        self.assertEqual(sent["authorization"].rpartition("Signature=")[2], expected)
        self.assertEqual(sent["x-amz-date"], "20130524T000000Z")
        self.assertEqual(sent["x-amz-content-sha256"], payload)
        self.assertTrue(url.startswith(HOST + path))

    def test_a_request_to_get_is_signed_as_documented(self) -> None:
        self.assert_signature(
            "GET",
            "/test.txt",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            headers={"Range": "bytes=0-9"},
        )

    def test_a_request_to_put_is_signed_as_documented(self) -> None:
        self.assert_signature(
            "PUT",
            encode_path("/test$file.text"),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            headers={
                "Date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            payload="44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        )

    def test_get_bucket_lifecycle(self) -> None:
        self.assert_signature(
            "GET",
            "/",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            parameters={"lifecycle": ""},
        )

    def test_a_request_to_list_is_signed_as_documented(self) -> None:
        self.assert_signature(
            "GET",
            "/",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            parameters={"prefix": "J", "max-keys": "2"},
        )

    def test_a_presigned_url_is_as_documented(self) -> None:
        url = EXAMPLE.presign("GET", f"{HOST}/test.txt", {}, {}, EXAMPLE_TIME, 86400)
        self.assertEqual(
            url,
            f"{HOST}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
            "&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        )


# --- the oracle ------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
header_names = st.sampled_from(
    ["Content-Type", "If-None-Match", "x-amz-checksum-sha256", "x-amz-meta-a", "Range", "x-b"]
)
header_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30
)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
        "scheme": st.sampled_from(["http", "https"]),
        "host": st.sampled_from(["s3.example.com", "b.s3.eu-west-1.amazonaws.com", "h:9000"]),
        "path": st.lists(text, min_size=1, max_size=4).map("/".join),
        "parameters": st.dictionaries(text.filter(bool), text, max_size=4),
        "headers": st.dictionaries(header_names, header_values, max_size=4),
        "key": st.from_regex(r"[A-Z0-9]{16,20}", fullmatch=True),
        "secret": st.text(
            st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40
        ),
        "token": st.none() | st.text("abcXYZ0189+/=", min_size=1, max_size=60),
        "region": st.sampled_from(["us-east-1", "eu-central-1", "auto"]),
        "instant": st.integers(1_000_000_000, 4_000_000_000),
        "expires": st.integers(1, 604_800),
    }
)


def signer_of(case: dict[str, Any]) -> Signer:
    return Signer(Credentials(case["key"], case["secret"], case["token"]), case["region"])


def oracle(case: dict[str, Any], query: bool, payload: str) -> AWSRequest:
    """Let botocore sign."""
    url = f"{case['scheme']}://{case['host']}/{encode_path(case['path'])}"
    request = AWSRequest(case["method"], url, headers=case["headers"])
    credentials = BotocoreCredentials(case["key"], case["secret"], case["token"])
    if query:
        if case["parameters"]:
            request.url += "?" + urlencode(case["parameters"], quote_via=quote, safe="")
        signer = botocore_auth.S3SigV4QueryAuth(
            credentials, "s3", case["region"], expires=case["expires"]
        )
    else:
        request.params = case["parameters"]
        request.headers["X-Amz-Content-SHA256"] = payload
        signer = botocore_auth.S3SigV4Auth(credentials, "s3", case["region"])
        signer.payload = lambda _: payload
    now = datetime.datetime.fromtimestamp(case["instant"], datetime.UTC).replace(tzinfo=None)
    with mock.patch.object(botocore_auth, "get_current_datetime", lambda *_, **__: now):
        signer.add_auth(request)
    return request


def query_of(url: str) -> set[str]:
    return set(url.partition("?")[2].split("&"))


class OracleTests(SynchronousTestCase):
    """Equal to botocore on requests of all kinds."""

    @given(requests)
    def test_presigned_urls_equal_those_of_botocore(self, case: dict[str, Any]) -> None:
        url = f"{case['scheme']}://{case['host']}/{encode_path(case['path'])}"
        ours = signer_of(case).presign(
            case["method"], url, case["parameters"], case["headers"],
            case["instant"], case["expires"],
        )  # fmt: skip
        theirs = oracle(case, True, UNSIGNED).url
        self.assertEqual(ours.partition("?")[0], theirs.partition("?")[0])
        self.assertEqual(query_of(ours), query_of(theirs))

    @given(requests, st.just(UNSIGNED) | st.text("0123456789abcdef", min_size=64, max_size=64))
    def test_signed_headers_equal_those_of_botocore(
        self, case: dict[str, Any], payload: str
    ) -> None:
        url = f"{case['scheme']}://{case['host']}/{encode_path(case['path'])}"
        _, ours = signer_of(case).authorize(
            case["method"], url, case["parameters"], case["headers"], payload, case["instant"]
        )
        theirs = oracle(case, False, payload).headers
        self.assertEqual(ours["authorization"], theirs["Authorization"])
        self.assertEqual(ours["x-amz-date"], theirs["X-Amz-Date"])
        self.assertEqual(ours.get("x-amz-security-token"), theirs.get("X-Amz-Security-Token"))


class SignerTests(SynchronousTestCase):
    def test_keys_of_other_days_regions_and_secrets_are_others(self) -> None:
        """The cache of signing keys mixes nothing up."""
        day = 86400
        signatures = {
            Signer(Credentials("A", secret), region).presign(
                "GET", "http://h/x", {}, {}, instant, 60
            )
            for secret in ("s", "t")
            for region in ("us-east-1", "us-east-2")
            for instant in (0, day, 2 * day)
        }
        self.assertEqual(len(signatures), 12)

    def test_the_secret_is_in_no_representation(self) -> None:
        text = repr(Signer(Credentials("AKID", "hush", "token"), "r"))
        self.assertIn("AKID", text)
        self.assertNotIn("hush", text)
        self.assertNotIn("token", text)
