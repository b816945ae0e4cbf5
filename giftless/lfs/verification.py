"""Parse the body of a verification (``docs/api/basic-transfers.md``, "Verification")."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from giftless.errors import BadRequest
from giftless.lfs.objects import Oid


class _WireObject(msgspec.Struct):
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What the client believes it has uploaded: an oid and a size in bytes."""

    oid: Oid
    size: int


_decoder = msgspec.json.Decoder(_WireObject)


def parse_verification(body: bytes) -> Verification:
    """Parse the body of a verification request.

    :raises BadRequest: if it is not ``{"oid": …, "size": …}``.  Never 422,
        which the stock client takes for success.
    """
    try:
        wire = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body must be {{'oid': …, 'size': …}}: {error}") from None
    return Verification(Oid.parse(wire.oid), wire.size)
