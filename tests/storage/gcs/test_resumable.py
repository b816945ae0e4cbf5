"""Uploads that come bit by bit, to a stand-in for Cloud Storage (``tests/support/gcs.py``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contracts.multipart import bytes_of
from tests.storage.gcs.test_parts import SMALL_PARTS, GCSPartsTestCase
from tests.storage.remote.resumable_contract import RemoteUploads
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, payload_of


class DirectTests(GCSPartsTestCase, RemoteUploads):
    """``mode: direct``."""

    part_size = SMALL_PARTS
    size = 2 * SMALL_PARTS + 7


class HmacTests(GCSPartsTestCase):
    """``mode: proxy`` with an HMAC key, which cannot copy by the JSON API; below a prefix."""

    part_size = SMALL_PARTS

    def section(self, **options: Any) -> dict[str, Any]:
        options = {"mode": "proxy", "prefix": "team a/\u00fc&", **options}
        return self.google.hmac_options(self.bucket, **options)

    async def test_an_object_comes_bit_by_bit(self) -> None:
        self.state_dir = self.mktemp()
        store = self.build()
        store._context = replace(store._context, part_size=self.part_size)
        data = bytes_of(self.part_size + 7)
        key = key_of(data)
        for start, end in ((0, 1000), (1000, len(data))):
            upload = await store.claim(key, len(data))
            await upload.begin({"filename": "x.bin"})
            self.assertEqual(upload.offset, start)
            await upload.append(ListBody([data[start:end]]))
            await upload.release()
        upload = await store.claim(key, len(data))
        await upload.commit(payload_of(data), {}, False)
        await upload.release()
        stored = await store.open(key)
        self.assertTrue(await read_all(stored.read(0, stored.size)) == data)
        self.assertEqual(stored.extras, {"filename": "x.bin"})
        self.assertEqual(self.google.names(self.bucket), {f"team a/\u00fc&/{key.path}"})
