"""Uploads in parts to Cloud Storage: to a stand-in for it (``tests/support/gcs.py``).

fake-gcs-server has no such uploads: the front in front of it takes the parts,
as Google documents it.  Nothing here was said by Google itself.
"""

from __future__ import annotations

import itertools
from typing import Any

from giftless.base import schema
from giftless.errors import ServiceUnavailable
from giftless.lfs.multipart import Part, PartLimits, PartPlan
from giftless.storage.gcs.factory import GCSFactory, GCSOptions
from giftless.storage.remote.xml_parts import XmlPartsBucket
from tests.contracts.multipart import MultipartContract, MultipartSteps
from tests.storage.remote.parts_contract import (
    DirectParts,
    DirectSteps,
    ProxyParts,
    RemoteTestCase,
    VerifiedParts,
    XmlParts,
)
from tests.support import gcs_parts
from tests.support.blocking import jobs_of
from tests.support.gcs import Google, google
from tests.support.servers import shared

#: Parts of some pieces, in bytes, where nothing depends on the least that Google takes.
SMALL_PARTS = 300 * 1024


class GCSPartsTestCase(RemoteTestCase):
    """Has a bucket of its own; is skipped where fake-gcs-server is missing.

    :cvar part_size: the size of parts, in bytes.  If it is less than Google takes, the
        store and the front take it all the same: the tests then move less.
    """

    part_size = gcs_parts.MIN_PART

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.google = shared(google)
        self.bucket = f"parts-{next(self._numbers)}"
        self.google.create(self.bucket)
        self.google.denied.clear()
        self.google.requests.clear()
        if self.part_size < gcs_parts.MIN_PART:
            self.patch(gcs_parts, "MIN_PART", self.part_size)
            limits = PartLimits(self.part_size, gcs_parts.MAX_PART, gcs_parts.MAX_NUMBER)
            self.patch(XmlPartsBucket, "part_limits", limits)
        super().setUp()

    def section(self, **options: Any) -> dict[str, Any]:
        """Return the ``storage`` section: with a key file."""
        return self.google.options(self.bucket, **options)

    def build(self, **options: Any) -> Any:
        section = self.section(**options)
        del section["type"]
        parsed = schema.convert(section, GCSOptions, "storage")
        return GCSFactory().build(parsed, self.environment())

    def port(self) -> int:
        return self.google.port


class DirectTests(GCSPartsTestCase, XmlParts, DirectParts, MultipartContract):
    """``mode: direct``, signed with RSA."""

    checks_length = False

    async def test_many_parts_are_signed_in_few_jobs(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        jobs = jobs_of(self, self.threads)
        parts = list(PartPlan(250, 1))
        actions = await self.store.part_actions(self.key, upload, parts, 600)
        self.assertEqual(len({action.href for action in actions}), 250)
        self.assertEqual(len(jobs), 3)

    async def test_what_google_has_signed_is_kept(self) -> None:
        """So that going on with an upload asks nobody."""
        await self.prepare()
        self.store = self.build(service_account_email=Google.MANAGED)
        upload, missing = await self.begin()
        await self.send(upload, missing)
        parts = [Part(number, 0, 1) for number in range(1, 151)]
        first = await self.store.part_actions(self.key, upload, parts, 600)
        asked = len(self.google.requests)
        again = await self.store.part_actions(self.key, upload, parts, 600)
        self.assertEqual(len(self.google.requests), asked)
        self.assertEqual([action.href for action in again], [action.href for action in first])

    async def test_replacing_an_object_needs_leave_to_delete(self) -> None:
        """One of a wrong size, that is."""
        await self.prepare()
        self.google.write(self.bucket, self.key.path, b"damaged")
        upload, missing = await self.begin()
        await self.send(upload, missing)
        self.google.denied.add("storage.objects.delete")
        with self.assertRaises(ServiceUnavailable):
            await self.commit(upload)
        self.google.denied.clear()
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)


class DirectWithHmacTests(GCSPartsTestCase, DirectParts, MultipartContract):
    """Signed with an HMAC key, below a prefix; so are the daemon's own requests."""

    part_size = SMALL_PARTS
    checks_length = False

    def section(self, **options: Any) -> dict[str, Any]:
        options = {"prefix": "team a/\u00fc&", **options}
        return self.google.hmac_options(self.bucket, **options)


class DirectVerifiedTests(VerifiedParts, GCSPartsTestCase, DirectSteps, MultipartSteps):
    """``verify_checksum: true``."""

    part_size = SMALL_PARTS


class ProxyTests(GCSPartsTestCase, XmlParts, ProxyParts, MultipartContract):
    """``mode: proxy``."""

    part_size = SMALL_PARTS

    def build(self, **options: Any) -> Any:
        return super().build(**{"mode": "proxy", **options})
