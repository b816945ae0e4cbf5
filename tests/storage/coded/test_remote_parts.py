"""Objects in parts, compressed or sealed, in a bucket of versitygw."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from giftless.base.bodies import PartBody
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import Part
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import build_coded
from giftless.storage.encrypted.sealing import Sealing
from tests.contracts.multipart import CheckedMultipartContract, MultipartContract
from tests.storage.encrypted.test_sealing import Keys
from tests.storage.s3.test_parts import S3PartsTestCase
from tests.support.bodies import ListBody, read_all


class CodedParts(S3PartsTestCase):
    """Has a store over the bucket."""

    part_size = 5 * 1024**2
    sealing: Sealing | None = None
    store: Any

    async def make_store(self) -> Any:
        inner = self.build(mode="proxy", part_size=self.part_size)
        lent = replace(self.environment(), state_dir=self.mktemp())
        return build_coded(inner, load_compression("zstd"), self.sealing, lent)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        md5 = hashlib.md5(data).digest()
        body = PartBody(ListBody([data[:5], data[5:]]), part.size, md5, self.threads)
        await self.store.put_part(key, upload, part, body)

    async def get(self, key: ObjectKey) -> bytes | None:
        stored = await self.store.open(key)
        if stored is None:
            return None
        try:
            return await read_all(stored.read(0, stored.size))
        finally:
            stored.close()


class CompressedPartsTests(CodedParts, MultipartContract):
    """The bucket makes the object, which is compressed afterwards."""


class SealedPartsTests(CodedParts, CheckedMultipartContract, MultipartContract):
    """Each part is sealed by itself, and the object is sealed anew."""

    sealing = Sealing(Keys("one"))
