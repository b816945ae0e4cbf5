"""Seal each object with a key of its own, which stands in its head, wrapped.

The data key is 32 random bytes.  A key-encryption key wraps it, with the object's oid as
context: so no head is good for another object.  Of the data key are derived

- the key of the head's MAC: HKDF-SHA256 with ``giftless head 1`` as ``info``;
- the key of the content (:mod:`giftless.storage.encrypted.segments`), to which
  ``giftless 1``, the oid, the head's flags and its size are the associated data;
- or, in an upload that comes bit by bit, the keys of its blocks
  (:mod:`giftless.storage.encrypted.blocks`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zope.interface import implementer

from giftless.errors import (
    ObjectCorrupt,
    ObjectDamaged,
    ServiceUnavailable,
    StorageUnavailable,
)
from giftless.interfaces import IKeyWrapper, WrappedKey
from giftless.lfs.objects import Oid
from giftless.storage.coded.head import CHECKSUM_SIZE, MAX_KEY_ID, MAX_WRAPPED_KEY, Head
from giftless.storage.coded.sealing import ISealing
from giftless.storage.encrypted import segments
from giftless.storage.encrypted.blocks import BlockCipher
from giftless.storage.encrypted.segments import KEY_SIZE, SegmentOpener, SegmentSealer

#: What keys are derived for; a new format has a new number.
_CONTEXT: Final = b"giftless 1 "
_HEAD: Final = b"giftless head 1"


@implementer(ISealing)
class Sealing:
    """Encrypts the contents of objects.

    :param keys: wraps data keys.
    """

    prefix_size = segments.HEADER_SIZE
    sealed_size = staticmethod(segments.sealed_size)
    content_size = staticmethod(segments.opened_size)

    def __init__(self, keys: IKeyWrapper) -> None:
        self._keys = keys

    async def seal(self, oid: Oid, head: Head) -> tuple[Head, SegmentSealer]:
        """See :meth:`giftless.storage.coded.sealing.ISealing.seal`."""
        data_key = os.urandom(KEY_SIZE)
        whole = await self._wrapped(oid, head, data_key)
        return whole, SegmentSealer(data_key, _associated(oid, head))

    async def unseal(self, oid: Oid, head: Head, prefix: bytes, sealed: int) -> SegmentOpener:
        """See :meth:`giftless.storage.coded.sealing.ISealing.unseal`."""
        data_key = await self._data_key(oid, head)
        size = segments.opened_size(sealed)
        if not head.compressed and head.size not in (None, size):
            raise ObjectCorrupt.because("a part of what is stored is missing, or there is too much")
        return SegmentOpener(data_key, _associated(oid, head), prefix, sealed)

    async def new_blocks(self, oid: Oid) -> tuple[Head, BlockCipher]:
        """Make a new data key for blocks.

        :param oid: stands for what they belong to.
        :returns: an awaitable of a head that has the key, and of what seals the blocks.
        :raises ServiceUnavailable: if the keys cannot be asked now.
        """
        data_key = os.urandom(KEY_SIZE)
        return await self._wrapped(oid, Head(False, True, None), data_key), BlockCipher(data_key)

    async def blocks(self, oid: Oid, head: Head) -> BlockCipher | None:
        """Get what seals and opens blocks: the inverse of :meth:`new_blocks`.

        :returns: an awaitable; of ``None`` if nothing will ever open them: the head is not
            authentic, or its key is not among those that there are.
        :raises ServiceUnavailable: if the keys cannot be asked now.
        """
        try:
            return BlockCipher(await self._data_key(oid, head))
        except ObjectDamaged:
            return None
        except ServiceUnavailable:
            if head.key_id in await self._keys.ids():
                raise
            return None

    async def is_current(self, head: Head) -> bool:
        """Whether a head's data key is wrapped with the primary key.

        :raises ServiceUnavailable: if the keys cannot be asked now.
        """
        return head.key_id == await self._keys.primary()

    async def rewrap(self, oid: Oid, head: Head) -> Head:
        """Wrap the data key of a head with the primary key.

        :returns: an awaitable of a head that is good for the same content.
        :raises ObjectDamaged: if the head is not authentic.
        :raises ServiceUnavailable: if the keys cannot be asked now, or one is missing.
        """
        return await self._wrapped(oid, head, await self._data_key(oid, head))

    async def _wrapped(self, oid: Oid, head: Head, data_key: bytes) -> Head:
        key = await self._keys.wrap(data_key, _CONTEXT + oid.encode())
        if not is_key_id(key.key_id) or not 0 < len(key.wrapped) <= MAX_WRAPPED_KEY:
            raise StorageUnavailable(
                "what wraps the keys of this storage has given an id or a wrapped key that does"
                " not fit; tell the operator of this server",
                retry_after=60,
            )
        whole = replace(head, key_id=key.key_id, wrapped_key=key.wrapped, mac=b"")
        return replace(whole, mac=_mac(oid, whole, data_key))

    async def _data_key(self, oid: Oid, head: Head) -> bytes:
        key = WrappedKey(head.key_id, head.wrapped_key)
        data_key = await self._keys.unwrap(key, _CONTEXT + oid.encode())
        mac = _mac(oid, head, data_key)
        if len(data_key) != KEY_SIZE or not hmac.compare_digest(mac, head.mac):
            raise ObjectCorrupt.because("its stored head is not authentic")
        return data_key


def is_key_id(text: str) -> bool:
    """Tell whether a text can be the id of a key that wraps others."""
    return 0 < len(text) <= MAX_KEY_ID and text.isascii() and text.isprintable() and " " not in text


def _associated(oid: Oid, head: Head) -> bytes:
    return _CONTEXT + oid.encode() + bytes([head.flags]) + head.size_field


def _mac(oid: Oid, head: Head, data_key: bytes) -> bytes:
    key = HKDF(SHA256(), KEY_SIZE, None, _HEAD).derive(data_key)
    return hmac.digest(key, head.covered(oid), hashlib.sha256)[:CHECKSUM_SIZE]
