"""giftless-client uploads in parts to each kind of storage, through a daemon or past it.

S3 is versitygw.  Cloud Storage is a stand-in: fake-gcs-server has no uploads in
parts, so the front before it takes them, as Google documents it
(``tests/support/gcs_parts.py``).
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
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
from tests.integration.sharing import SharingTestCase
from tests.integration.support import file_digest, oid_of, stored_objects
from tests.support.gcs import google
from tests.support.servers import shared, versitygw


class S3Storage(SharingTestCase):
    """Has a bucket of its own; is skipped where versitygw is missing."""

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"multipart-{type(self).__name__.lower()}"
        super().setUp()

    def port(self) -> int:
        return self.server.port

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return self.server.options(self.bucket, **options)

    def names(self) -> set[str]:
        return self.server.names(self.bucket)

    def digest(self, name: str) -> str:
        return file_digest(self.server.buckets / self.bucket / name)


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

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return super().storage(directory, mode="proxy", **options)


class GCSStorage(SharingTestCase):
    """Has a bucket of its own; is skipped where fake-gcs-server is missing."""

    def setUp(self) -> None:
        self.google = shared(google)
        self.bucket = f"multipart-{type(self).__name__.lower()}"
        super().setUp()
        self.share(self.bucket, lambda _: nullcontext(self.google.create(self.bucket)))
        self.google.denied.clear()

    def port(self) -> int:
        return self.google.port

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return self.google.options(self.bucket, **options)

    def names(self) -> set[str]:
        return self.google.names(self.bucket)

    def digest(self, name: str) -> str:
        return oid_of(self.google.read(self.bucket, name))


class GCSDirectTests(GCSStorage, RemoteMultipartCases):
    """Parts go to Cloud Storage."""


class GCSProxyTests(GCSStorage, ClientCases):
    """Parts pass through the daemon to Cloud Storage."""

    direct = False

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return self.google.hmac_options(self.bucket, mode="proxy", **options)


class LocalTests(MultipartCases, SharingTestCase):
    """Parts go to the daemon's own disk."""

    direct = False
    checked = True
    part = MIB

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return {"type": "local", "path": str(directory / "objects"), **options}

    def names(self) -> set[str]:
        store = self.daemon.store
        return {str(path.relative_to(store)) for path in stored_objects(store)}

    def digest(self, name: str) -> str:
        return file_digest(self.daemon.store / name)
