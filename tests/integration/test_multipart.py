"""giftless-client uploads in parts to each kind of storage, through a daemon or past it.

S3 is versitygw.  Cloud Storage is a stand-in: fake-gcs-server has no uploads in
parts, so the front before it takes them, as Google documents it
(``tests/support/gcs_parts.py``).
"""

from __future__ import annotations

import itertools
from typing import Any

from tests.docs.test_buckets import rule
from tests.integration.multipart import (
    MIB,
    PART,
    ClientCases,
    MultipartCases,
    RemoteMultipartCases,
    ask,
)
from tests.integration.support import REPO, IntegrationTestCase, file_digest, oid_of, stored_objects
from tests.support.gcs import google
from tests.support.servers import shared, versitygw


class S3Storage(IntegrationTestCase):
    """Has a bucket of its own; is skipped where versitygw is missing."""

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"multipart-{next(self._numbers)}"
        super().setUp()

    def port(self) -> int:
        return self.server.port

    def storage(self, **options: Any) -> dict[str, Any]:
        return self.server.options(self.bucket, **options)

    def stored(self) -> dict[str, str]:
        objects = self.server.objects(self.bucket)
        return {name.removeprefix(f"{REPO}/"): oid_of(data) for name, data in objects.items()}


class S3DirectTests(S3Storage, RemoteMultipartCases):
    """Parts go to S3."""

    def test_browsers_may_send_parts(self) -> None:
        """By the rule of the page, and from the origin that it names only."""
        content = rule("s3.rst", "CORSRules")
        (origin,) = content["CORSRules"][0]["AllowedOrigins"]
        daemon = self.serve(part_size=PART)
        self.server.set_cors(self.bucket, content)
        data = bytes(PART + 1000)
        part = self.batch(daemon, oid_of(data), len(data))["parts"][1]
        asked = {
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-md5,content-type",
        }
        for name, status in ((origin, 200), ("https://evil.example", 403)):
            reply = ask("OPTIONS", part["href"], {**asked, "Origin": name})
            self.assertEqual(reply.status, status)
        reply = ask("PUT", part["href"], {"Origin": origin}, data[PART:])
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.getheader("Access-Control-Allow-Origin"), origin)
        self.assertIn("ETag", reply.getheader("Access-Control-Expose-Headers") or "")


class S3ProxyTests(S3Storage, MultipartCases):
    """Parts pass through the daemon to S3."""

    direct = False
    size = 40 * MIB

    def storage(self, **options: Any) -> dict[str, Any]:
        return super().storage(mode="proxy", **options)


class GCSStorage(IntegrationTestCase):
    """Has a bucket of its own; is skipped where fake-gcs-server is missing."""

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.google = shared(google)
        self.bucket = f"multipart-{next(self._numbers)}"
        self.google.create(self.bucket)
        self.google.denied.clear()
        super().setUp()

    def port(self) -> int:
        return self.google.port

    def storage(self, **options: Any) -> dict[str, Any]:
        return self.google.options(self.bucket, **options)

    def stored(self) -> dict[str, str]:
        objects = self.google.objects(self.bucket)
        return {name.removeprefix(f"{REPO}/"): oid_of(data) for name, data in objects.items()}


class GCSDirectTests(GCSStorage, RemoteMultipartCases):
    """Parts go to Cloud Storage."""


class GCSProxyTests(GCSStorage, ClientCases):
    """Parts pass through the daemon to Cloud Storage."""

    direct = False
    size = 40 * MIB

    def storage(self, **options: Any) -> dict[str, Any]:
        return self.google.hmac_options(self.bucket, mode="proxy", **options)


class LocalTests(MultipartCases, IntegrationTestCase):
    """Parts go to the daemon's own disk."""

    direct = False
    checked = True

    def storage(self, **options: Any) -> dict[str, Any]:
        return {"type": "local", "path": str(self.directory / "objects"), **options}

    def stored(self) -> dict[str, str]:
        found = stored_objects(self.directory / "objects")
        return {path.name: file_digest(path) for path in found}
