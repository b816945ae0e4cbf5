"""Identities: tokens from a stand-in for a managed identity, keys from an Azurite.

The Azurite serves TLS, takes the token of whoever, and lends a delegation key
as Azure does; it verifies what is signed with it.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jwt
import treq
from twisted.trial.unittest import SynchronousTestCase

from giftless.base import schema
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.storage.azure.credentials import DELEGATED, SKEW, read_delegation_key
from giftless.storage.azure.factory import AzureFactory, AzureOptions
from giftless.storage.remote.client import StoreError
from tests.contracts.stores import DATA
from tests.support.azurite import Azurite, azurite
from tests.support.bodies import ListBody
from tests.support.certificates import make_certificate
from tests.support.faulty import FaultyProxy, answer
from tests.support.making import key_of, put_object
from tests.support.servers import shared
from tests.support.spinning import SpinningTestCase

try:
    import azure.identity
except ImportError:
    missing = "azure-identity is not installed"
else:
    missing = ""
    del azure

#: Names the certificates that this process, too, believes.
TRUST = "SSL_CERT_FILE"


@contextmanager
def trusted_azurite(directory: Path) -> Iterator[tuple[Azurite, Path]]:
    """Run an Azurite over TLS.

    :returns: it, and the certificate to trust.
    """
    certificate = directory / "tls.pem"
    certificate.write_bytes(make_certificate())
    with patch.dict(os.environ, {TRUST: str(certificate)}):
        running = azurite(directory, (certificate, certificate))
        server = running.__enter__()
    try:
        yield server, certificate
    finally:
        running.__exit__(None, None, None)


class ManagedIdentity(ThreadingHTTPServer):
    """Answers as the endpoint of a managed identity does.

    :ivar status: of its answers.
    :ivar asked: how often it was asked.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.asked = 0

    def token(self) -> dict[str, str]:
        """Make the token of an identity, signed by nobody in particular."""
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/tenant/",
            "oid": "object",
            "tid": "tenant",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        return {
            "access_token": jwt.encode(claims, "x" * 32),
            "expires_on": str(now + 3600),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        }


class _Handler(BaseHTTPRequestHandler):
    server: ManagedIdentity

    def do_GET(self) -> None:
        self.server.asked += 1
        body = json.dumps(self.server.token() if self.server.status == 200 else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class IdentityTests(SpinningTestCase):
    """Without a key, an identity signs."""

    if missing:
        skip = missing

    def setUp(self) -> None:
        self.server, certificate = shared(trusted_azurite)
        self.identity = ManagedIdentity()
        self.addCleanup(self.identity.server_close)
        threading.Thread(target=self.identity.serve_forever, daemon=True).start()
        self.addCleanup(self.identity.shutdown)
        environ = patch.dict(
            os.environ,
            {
                TRUST: str(certificate),
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.identity.server_address[1]}/token",
                "IDENTITY_HEADER": "secret",
            },
        )
        environ.start()
        self.addCleanup(environ.stop)
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            del os.environ[name]
        self.container = f"test-{uuid.uuid4().hex}"
        self.server.create(self.container)
        super().setUp()

    def build(self, **options: Any) -> Any:
        """Build a store that has no key."""
        section = self.server.options(self.container, **options)
        del section["type"], section["account_key"]
        return AzureFactory().build(
            schema.convert(section, AzureOptions, "storage"), self.environment()
        )

    def test_it_signs_for_clients(self) -> None:
        store = self.build()
        self.run_now(store.check())
        upload = self.run_now(store.upload_action(key_of(DATA), len(DATA), 600, {}))
        self.assertEqual(upload.expires_in, 600)
        self.assertIn("skoid=object&", upload.href)
        self.assertIn("spr=https&", upload.href)

        async def put(href: str) -> int:
            http: Any = self.environment().http
            reply = await http.put(href, DATA, headers=upload.header)
            await treq.content(reply)
            return int(reply.code)

        tampered = upload.href.replace("sp=c&", "sp=cw&")
        self.assertEqual(self.run_now(put(tampered)), 403)
        self.assertEqual(self.run_now(put(upload.href)), 201)
        self.assertEqual(self.run_now(put(upload.href)), 403, "it was overwritten")
        self.assertEqual(self.run_now(store.sizes([key_of(DATA)])), [len(DATA)])

    def test_it_signs_for_the_daemon(self) -> None:
        store = self.build(mode="proxy")
        self.run_now(store.check())
        self.run_now(put_object(store, key_of(DATA), len(DATA), ListBody([DATA]), {}))
        self.assertEqual(self.server.objects(self.container), {key_of(DATA).path: DATA})

    def test_a_batch_costs_one_key(self) -> None:
        """Whoever asks while it is fetched waits for the same one; later ones have it."""
        store = self.build()
        for _ in range(2):
            self.run_now(store.sizes([key_of(b"%d" % number) for number in range(100)]))
        self.assertEqual(self.identity.asked, 1)

    def test_no_signature_outlives_the_key(self) -> None:
        store = self.build()
        action = self.run_now(store.download_action(key_of(b"x"), 1, 10 * DELEGATED, {}))
        self.assertLessEqual(action.expires_in, DELEGATED)
        self.assertGreater(action.expires_in, DELEGATED - SKEW)

    def test_a_missing_identity_is_reported(self) -> None:
        """The log and ``--check`` say so; requests get 503 and are not refused for good."""
        self.identity.status = 400
        store = self.build()
        error = self.assert_fails(ConfigError, store.check())
        self.assertEqual(error.path, "account_key")
        self.assertIn("no Azure identity can be had", error.problem)
        self.assertNotIn("\n", str(error))
        self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x")]))
        self.identity.status = 200
        self.assertEqual(self.run_now(store.sizes([key_of(b"x")])), [None])

    def test_an_identity_without_a_role(self) -> None:
        token = {"expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        foreign = jwt.encode({"iss": "nobody"}, "x" * 32)
        self.patch(ManagedIdentity, "token", lambda _: {**token, "access_token": foreign})
        error = self.assert_fails(ConfigError, self.build().check())
        self.assertEqual(error.path, "account_key")
        self.assertNotIn(foreign, str(error))

    def test_an_account_that_lends_no_key(self) -> None:
        """One that does not answer, and one where the identity may not."""
        error = self.assert_fails(
            ConfigError, self.build(endpoint_url="https://127.0.0.1:1/x", timeout=1).check()
        )
        self.assertIn("https://127.0.0.1:1/x lends no key: ", error.problem)
        with FaultyProxy(self.server.port) as proxy:
            proxy.always(answer("403 No", x_ms_error_code="AuthorizationPermissionMismatch"))
            error = self.assert_fails(ConfigError, self.build(endpoint_url=proxy.url).check())
        self.assertIn("'Storage Blob Delegator'", error.problem)


class AnswerTests(SynchronousTestCase):
    """What is no key is not taken for one."""

    GOOD = (
        b"<UserDelegationKey><SignedOid>o</SignedOid><SignedTid>t</SignedTid>"
        b"<SignedStart>2026-01-01T00:00:00Z</SignedStart>"
        b"<SignedExpiry>2026-01-02T00:00:00Z</SignedExpiry>"
        b"<SignedService>b</SignedService><SignedVersion>2021-12-02</SignedVersion>"
        b"<Value>a2V5</Value></UserDelegationKey>"
    )

    def test_a_good_answer_is_a_key(self) -> None:
        key = read_delegation_key(b'\xef\xbb\xbf<?xml version="1.0"?>' + self.GOOD)
        self.assertEqual((key.value, key.object_id, key.tenant_id), (b"key", "o", "t"))
        self.assertEqual(key.expiry, "2026-01-02T00:00:00Z")

    def test_a_bad_answer_is_no_key(self) -> None:
        for body in (
            b"",
            b"\xff",
            self.GOOD.replace(b"a2V5", b"!"),
            self.GOOD.replace(b"2026-01-02T00:00:00Z", b"soon"),
            self.GOOD.replace(b"SignedTid", b"Other"),
        ):
            self.assertRaises(StoreError, read_delegation_key, body)
