"""The actions of the server that is mirrored, sealed for the tokens of ours.

An action may come back to any worker, with nothing but its token.  So the token carries what
the other server has given out for it: encrypted (AES-256-GCM, NIST SP 800-38D) under a key
that the workers share, and bound to the repository, the object, its size and the operation.
"""

from __future__ import annotations

import math
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from giftless.errors import BadAction, ExpiredAction
from giftless.interfaces import Pass, WallClock
from giftless.lfs.objects import ObjectKey, Operation
from giftless.lfs.replies import GivenAction

#: The longest text of a pass, in characters: requests must fit ``limits.header_bytes``.
MAX_CHARS: Final = 8192

_NONCE_BYTES: Final = 12


class Passes:
    """Seals actions, and opens what it has sealed.

    :param key: 32 bytes that all workers share.
    :param wall_clock: tells when actions have expired.
    """

    def __init__(self, key: bytes, wall_clock: WallClock) -> None:
        self._cipher = AESGCM(key)
        self._wall_clock = wall_clock

    def seal(
        self,
        key: ObjectKey,
        size: int,
        operation: Operation,
        actions: Mapping[str, GivenAction],
    ) -> Pass | None:
        """Make a pass of the actions of an object.

        :param size: the object's, in bytes, as the token will say it.
        :returns: ``None`` if they are too long to be carried.
        """
        nonce = os.urandom(_NONCE_BYTES)
        data = msgspec.json.encode(actions)
        sealed = self._cipher.encrypt(nonce, data, _bound_to(key, size, operation))
        text = urlsafe_b64encode(nonce + sealed).decode()
        return Pass(text, expiry_of(actions)) if len(text) <= MAX_CHARS else None

    def open(
        self, text: str, key: ObjectKey, size: int, operation: Operation
    ) -> Mapping[str, GivenAction]:
        """Return the actions that a pass holds.

        :raises ExpiredAction: if one of them has expired.
        :raises BadAction: if the pass is for something else, or none of ours.
        """
        try:
            sealed = urlsafe_b64decode(text.encode("ascii"))
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            data = self._cipher.decrypt(nonce, rest, _bound_to(key, size, operation))
        except (ValueError, InvalidTag):
            raise BadAction("this action's token is not genuine; ask for a new batch") from None
        actions = msgspec.json.decode(data, type=dict[str, GivenAction])
        expiry = expiry_of(actions)
        if expiry is not None and expiry <= self._wall_clock():
            raise ExpiredAction("this action has expired; ask for a new batch")
        return actions


def expiry_of(actions: Mapping[str, GivenAction]) -> int | None:
    """Return when the first of some actions ends, in seconds since the epoch."""
    ends = [each.expires_at for each in actions.values() if each.expires_at is not None]
    # Far dates are as good as none, and 0 stands for none in tokens.
    return max(1, math.floor(min(ends))) if ends and min(ends) < 2**40 else None


def _bound_to(key: ObjectKey, size: int, operation: Operation) -> bytes:
    return f"{operation.value}\0{key.oid}\0{size}\0{key.repo.path}".encode()
