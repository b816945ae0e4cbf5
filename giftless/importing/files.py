"""Read objects out of a directory of another server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from zope.interface import implementer

from giftless.importing.offers import NotThere, Offer, Unreadable
from giftless.importing.xchacha20 import NONCE_SIZE, xchacha20
from giftless.interfaces import IBlocking, IBody
from giftless.lfs.objects import Oid

#: How much is read at a time, in bytes.
_READ_SIZE: Final = 1024 * 1024

#: What files of LFSX begin with that are compressed or encrypted.
_FRAMED: Final = b"LFZ1"


class Directory:
    """Opens the objects of a directory.

    :param root: from where places go.
    :param blocking: opens and reads.
    :param key: that of an encrypted store of rudolfs; ``None`` if it is not encrypted.
    """

    def __init__(self, root: str, blocking: IBlocking, key: bytes | None = None) -> None:
        self._root = root
        self._blocking = blocking
        self._key = key

    async def open(self, offer: Offer) -> FileBody:
        """Open an object; whoever does closes it.

        :raises NotThere: if there is no such file.
        :raises Unreadable: if it cannot be opened.
        """
        path = os.path.join(self._root, offer.place)
        fd = await self._blocking.run(_open, path)
        cipher = None if self._key is None else _cipher(self._key, offer.key.oid)
        return FileBody(fd, self._blocking, cipher)


@implementer(IBody)
class FileBody:
    """The bytes of a file.

    :param fd: the file, open.
    :param blocking: reads.
    :param cipher: decrypts the bytes; ``None`` if they are plain.
    :ivar hint: why the bytes may be wrong, in words; empty if nothing is known.
    """

    def __init__(self, fd: int, blocking: IBlocking, cipher: Any = None) -> None:
        self._fd = fd
        self._blocking = blocking
        self._cipher = cipher
        self._begun = False
        self.hint = ""

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises Unreadable: if the disk does not give them.
        """
        chunk = await self._blocking.run(self._read)
        return [chunk] if chunk else []

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._fd, _READ_SIZE)
        except OSError as error:
            raise Unreadable(f"the file cannot be read: {error.strerror}") from None
        if not self._begun:
            self._begun = True
            if chunk.startswith(_FRAMED):
                self.hint = "LFSX has compressed or encrypted it; import it from the server"
        return chunk if self._cipher is None else self._cipher.update(chunk)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotThere(f"{path} is not there") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be opened: {error.strerror}") from None


def _cipher(key: bytes, oid: Oid) -> Any:
    """Return what decrypts an object: rudolfs takes the nonce from its oid."""
    return xchacha20(key, bytes.fromhex(oid)[:NONCE_SIZE])
