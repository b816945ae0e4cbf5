"""Choose which objects are read: all, a random part, or each time another part of all."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from giftless.base.units import Share, Size
from giftless.lfs.objects import ObjectKey

_PART: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)

#: What subsets may be.
FORM: Final = "allowed is a share such as 5%, a part such as 1/7, or a size such as 10G"


class Subset(msgspec.Struct, frozen=True):
    """What somebody wants to be read.

    :ivar share: which share of the objects, from 0 to 1.
    :ivar number: which part of all, from 1; ``parts`` different ones are all objects.
    :ivar parts: into how many parts all objects are divided, by their oids.
    :ivar most: how many bytes at most; ``None`` if there is no bound.
    """

    share: float = 1.0
    number: int = 1
    parts: int = 1
    most: int | None = None

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Read ``5%``, ``2/7`` or ``10G``.

        :raises ValueError: if it is none of these.
        """
        if found := _PART.fullmatch(text.strip()):
            number, parts = int(found[1]), int(found[2])
            if not 1 <= number <= parts:
                raise ValueError(FORM)
            return cls(number=number, parts=parts)
        try:
            if text.strip().endswith("%"):
                return cls(share=float(Share.of(text)))
            return cls(most=int(Size.of(text)))
        except ValueError:
            raise ValueError(FORM) from None


class Selection:
    """Chooses objects, each time the same ones.

    :param subset: what is wanted.
    :param seed: decides which objects make up a share.
    :ivar share: the share that is chosen of all objects.
    """

    def __init__(self, subset: Subset, seed: str) -> None:
        self.share = subset.share
        self._subset = subset
        self._seed = seed.encode()

    def narrow(self, size: int) -> None:
        """Choose a share that has about as many bytes as are wanted.

        :param size: how many bytes all objects have.
        """
        most = self._subset.most
        if most is not None and size > most:
            self.share = most / size

    def chooses(self, key: ObjectKey) -> bool:
        """Whether an object is chosen."""
        subset = self._subset
        if subset.parts > 1 and int(key.oid[:15], 16) % subset.parts != subset.number - 1:
            return False
        if self.share >= 1.0:
            return True
        text = key.path.encode()
        digest = hashlib.blake2b(text, digest_size=8, key=self._seed[:64]).digest()
        return int.from_bytes(digest) < self.share * 2**64
