"""Uploads in parts to an S3 that verifies signatures (versitygw)."""

from __future__ import annotations

import itertools
from typing import Any

from giftless.base import schema
from giftless.lfs.multipart import PartPlan
from giftless.storage.s3.factory import S3Factory, S3Options
from tests.contracts.multipart import MultipartContract, MultipartSteps
from tests.storage.remote.parts_contract import (
    DirectParts,
    DirectSteps,
    ProxyParts,
    ProxySteps,
    RemoteTestCase,
    VerifiedParts,
    XmlParts,
)
from tests.support.servers import shared, versitygw


class S3PartsTestCase(RemoteTestCase):
    """Has a bucket of its own; is skipped where versitygw is missing."""

    # versitygw 1.8 refuses the marker that it has given.
    lists_uploads_in_pages = False
    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"parts-{next(self._numbers)}"
        super().setUp()

    def build(self, **options: Any) -> Any:
        section = self.server.options(self.bucket, **options)
        del section["type"]
        return S3Factory().build(schema.convert(section, S3Options, "storage"), self.environment())

    def port(self) -> int:
        return self.server.port


class DirectTests(S3PartsTestCase, XmlParts, DirectParts, MultipartContract):
    """``mode: direct``."""

    async def test_an_object_that_has_come_meanwhile_stays(self) -> None:
        """The store refuses to replace it."""
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        parts = await self.store.container.find_parts(self.key, upload)
        self.server.upload(self.bucket, self.key.path, b"came meanwhile")
        done = await self.store.container.complete_upload(self.key, upload, parts, {}, False)
        self.assertIsNone(done)
        self.assertEqual(await self.get(self.key), b"came meanwhile")
        # One of a wrong size is replaced.
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_names_of_all_kinds(self) -> None:
        """In paths, signatures, prefixes and XML."""
        await self.prepare()
        self.store = self.build(prefix="/team a/\u00fc/", conditional_writes=False)
        for path in ("a b/c+d", "a/b=c&d?e", "#/;:@", "*'()!/$,", "\u2764/x", 'a"b<e>/&amp;'):
            self.key = type(self.key)(type(self.key.repo).parse(path.split("/")), self.key.oid)
            self.data, self.plan = b"x" * 20, PartPlan(20, 20)
            upload, missing = await self.begin()
            self.assertEqual(missing, [1])
            await self.send(upload, [1])
            self.assertEqual(await self.begin(), (upload, []), path)
            await self.commit(upload)
            self.assertEqual(await self.get(self.key), self.data, path)


class DirectVerifiedTests(VerifiedParts, S3PartsTestCase, DirectSteps, MultipartSteps):
    """``verify_checksum: true``."""


class ProxyTests(S3PartsTestCase, XmlParts, ProxyParts, MultipartContract):
    """``mode: proxy``."""

    def build(self, **options: Any) -> Any:
        return super().build(**{"mode": "proxy", **options})


class ProxyVerifiedTests(VerifiedParts, S3PartsTestCase, ProxySteps, MultipartSteps):
    """``mode: proxy`` with ``verify_checksum: true``."""
