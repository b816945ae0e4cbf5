"""Tink's own library, which says what is right."""

from __future__ import annotations

import io
from typing import Any

import tink
from tink import proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

_TYPE = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"


class Tink:
    """Seals and opens with a data key, as the template ``AES256_GCM_HKDF_1MB`` does."""

    def __init__(self, key: bytes) -> None:
        streaming_aead.register()
        streaming = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(key_value=key)
        streaming.params.ciphertext_segment_size = 1024 * 1024
        streaming.params.derived_key_size = 32
        streaming.params.hkdf_hash_type = common_pb2.SHA256
        keyset = tink_pb2.Keyset(primary_key_id=1)
        entry = keyset.key.add()
        entry.key_id = 1
        entry.status = tink_pb2.ENABLED
        entry.output_prefix_type = tink_pb2.RAW
        entry.key_data.type_url = _TYPE
        entry.key_data.value = streaming.SerializeToString()
        entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
        handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
        self._aead: Any = handle.primitive(streaming_aead.StreamingAead)

    def seal(self, data: bytes, associated: bytes) -> bytes:
        """Return sealed bytes."""
        target = _Kept()
        with self._aead.new_encrypting_stream(target, associated) as stream:
            stream.write(data)
        return target.content

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Return what is sealed.

        :raises tink.TinkError: if it is not authentic.
        """
        data: bytes = self._aead.new_decrypting_stream(io.BytesIO(sealed), associated).read()
        return data


class _Kept(io.BytesIO):
    """What was written is there when it is closed, too."""

    content = b""

    def close(self) -> None:
        """Keep it."""
        if not self.closed:
            self.content = self.getvalue()
        super().close()


#: What Tink raises for what is not authentic.
REFUSED = (tink.TinkError, OSError)
