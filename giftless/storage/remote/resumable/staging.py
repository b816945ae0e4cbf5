"""Where an upload lies in a container: below a folder that no repository can have."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Oid, Repo

#: Below it, each upload has a folder of its own.
UPLOADS: Final = Repo((RESERVED_PREFIX, "resumable"))

#: How large parts are, in bytes; larger for objects that would have too many.  All stores
#: take them, and one waits on the daemon's own disk for each upload that is under way.
PART_SIZE: Final = 8 * 1024 * 1024

_PIECE: Final = re.compile("0{16}([0-9a-f]{16})0{16}([0-9a-f]{16})")


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Bytes that have come behind the last whole part: an object of their own.

    Its name says which they are, so whoever is late replaces no other bytes.

    :ivar start: the offset of the first one.
    :ivar length: how many there are; none in one that only dates the upload.
    """

    start: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + self.length

    @property
    def name(self) -> Oid:
        """What its object is called; such an oid is as long as any other."""
        return Oid(f"{self.start:032x}{self.length:032x}")

    @classmethod
    def of_name(cls, name: str) -> Piece | None:
        """Return the piece with a name: the inverse of :attr:`name`."""
        match = _PIECE.fullmatch(name)
        return match and cls(int(match[1], 16), int(match[2], 16))


#: Says that an upload has begun, and keeps the ``x-*`` members of its object.
BEGUN: Final = Piece(0, 0)


@dataclass(frozen=True, slots=True)
class Staging:
    """The folder of an upload.

    :ivar name: stands for the object's key and size; as long as an oid, because the names
        of objects may leave no room for more.
    """

    name: str

    @classmethod
    def of(cls, key: ObjectKey, size: int) -> Staging:
        """Return the folder of an object's upload.

        :param size: how many bytes the object will have.
        """
        # No path has a line break.
        return cls(hashlib.sha256(f"{key.path}\n{size}".encode()).hexdigest())

    @classmethod
    def of_path(cls, path: str) -> tuple[Staging, Oid] | None:
        """Return the folder, and the name in it, of what lies at a path.

        :param path: below the store's prefix.
        :returns: ``None`` if nothing of an upload can lie there.
        """
        folder, _, rest = path.partition(f"{UPLOADS.path}/")
        name, _, inner = rest.partition("/")
        if folder or not Oid.PATTERN.fullmatch(name) or not Oid.PATTERN.fullmatch(inner):
            return None
        return cls(name), Oid(inner)

    @property
    def folder(self) -> Repo:
        """What stands where objects have their repository."""
        return Repo((*UPLOADS.segments, self.name))

    @property
    def whole(self) -> ObjectKey:
        """Where all parts become one object."""
        return self.key(Oid(self.name))

    def key(self, name: Oid) -> ObjectKey:
        """Return the key of something in the folder."""
        return ObjectKey(self.folder, name)
