"""What encryption is asked for by the store that writes and reads coded objects.

The content of a sealed object is cut into segments, each of which is authenticated by
itself: so a part of an object is opened without the rest.  In front of the first one are
some bytes, the *prefix*, that are needed to open any.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass

from zope.interface import Attribute, Interface

from giftless.lfs.objects import Oid
from giftless.storage.coded.head import Head


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of sealed content.

    :ivar number: from 0 on.
    :ivar start: where its first byte is stored, counted from the content's first byte (so
        behind the head; the prefix counts).
    :ivar end: one past its last stored byte.
    :ivar offset: what the first byte in it is the content's byte of, when opened.
    :ivar is_last: whether it is the content's last one.
    """

    number: int
    start: int
    end: int
    offset: int
    is_last: bool


class ISealer(Interface):
    """Seals one content.  Its methods block: they are called in threads, one at a time."""

    def update(chunks: Sequence[bytes]) -> list[bytes]:
        """Seal what comes next.

        :returns: the stored bytes that are ready, the prefix in front; may be empty.
        """

    def finish() -> list[bytes]:
        """Seal what is left.

        :returns: the last stored bytes; never empty.
        """


class IOpener(Interface):
    """Opens the segments of one content."""

    def segments(start: int, end: int) -> Iterator[Segment]:
        """Tell which segments hold a part of the content, in order.

        :param start: the first byte's offset in the opened content.
        :param end: one past the last byte's; at most the content's size, and more than
            ``start``, unless the content is empty: that has one segment, without bytes.
        """

    def open(segment: Segment, stored: bytes) -> bytes:
        """Authenticate and decrypt a segment.  Blocks.

        :param stored: its bytes: exactly ``end - start``.
        :raises giftless.errors.ObjectDamaged: if they are not authentic, or not those of
            this segment of this object.
        """


class ISealing(Interface):
    """Encrypts the contents of objects, each with a key of its own."""

    prefix_size: int = Attribute("How many bytes the prefix of a sealed content has.")

    def sealed_size(size: int) -> int:
        """Return how many bytes a content of ``size`` bytes has when it is sealed."""

    def content_size(sealed: int) -> int:
        """Return the inverse of :meth:`sealed_size`.

        :raises giftless.errors.ObjectDamaged: if no content has so many bytes.
        """

    def seal(oid: Oid, head: Head) -> Awaitable[tuple[Head, ISealer]]:
        """Make a new data key.

        :param head: says that it is sealed, and all but the key and the MAC.
        :returns: an awaitable of the whole head, and of what seals the content.
        :raises giftless.errors.ServiceUnavailable: if the keys cannot be asked now.
        """

    def unseal(oid: Oid, head: Head, prefix: bytes, sealed: int) -> Awaitable[IOpener]:
        """Get the data key of an object.

        :param prefix: the first :attr:`prefix_size` bytes of the sealed content.
        :param sealed: how many bytes the sealed content has, the prefix included.
        :raises giftless.errors.ObjectDamaged: if the head is not authentic, or the content
            cannot have so many bytes.
        :raises giftless.errors.ServiceUnavailable: if the keys cannot be asked now, or the
            one that the head names is not there; its message says which one.
        """
