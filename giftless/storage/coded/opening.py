"""Open what is stored, whatever was done to it before."""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from giftless.errors import LFSError, ObjectCorrupt, ObjectSealed
from giftless.interfaces import IBlocking, IBody, IEncodedObject, IStoredFile, IStoredObject
from giftless.lfs.objects import Oid
from giftless.storage.coded.head import HEAD_SIZE, Head, parse_head
from giftless.storage.coded.opened import OpenedContent
from giftless.storage.coded.sealing import ISealing
from giftless.storage.coded.unpacked import Unpack, UnpackedContent, read_table
from giftless.storage.coded.views import BegunObject, StoredView, read_exactly

#: How much is read first of what is no file, in bytes: another question takes longer.
_FIRST_BYTES: Final = 32 * 1024

#: What clients are told to wait while an operator changes the configuration, in seconds.
_RETRY_AFTER: Final = 60


async def open_stored(
    stored: IStoredObject,
    oid: Oid,
    sealing: ISealing | None,
    blocking: IBlocking,
    sealed_only: bool = False,
) -> IStoredObject:
    """Return an object as its clients know it.

    :param stored: what is stored; it is closed with what is returned, or at once if this
        raises.
    :param sealing: opens what is sealed; ``None`` if nothing can.
    :param blocking: where bytes are unpacked and opened.
    :param sealed_only: whether what is not sealed is refused.
    :returns: what is stored itself, if that is plaintext and a file.
    :raises ObjectDamaged: if it cannot be right.
    :raises ServiceUnavailable: if it cannot be opened now.
    """
    prefix = 0 if sealing is None else sealing.prefix_size
    wanted = HEAD_SIZE + prefix if IStoredFile.providedBy(stored) else _FIRST_BYTES
    wanted = min(stored.size, wanted)
    try:
        start = await read_exactly(stored, 0, wanted)
        try:
            return await _begin(stored, start, oid, sealing, blocking, sealed_only)
        except LFSError:
            # A key may have been changed while the head was read, or just after that.
            again = await read_exactly(stored, 0, wanted)
            if again == start:
                raise
            return await _begin(stored, again, oid, sealing, blocking, sealed_only)
    except BaseException:
        stored.close()
        raise


async def _begin(
    stored: IStoredObject,
    start: bytes,
    oid: Oid,
    sealing: ISealing | None,
    blocking: IBlocking,
    sealed_only: bool,
) -> IStoredObject:
    """Open what begins so."""
    head = parse_head(start[:HEAD_SIZE], oid)
    if sealed_only and (head is None or not head.sealed):
        raise ObjectSealed(
            "the object is not encrypted, and this server gives away none that is not; its"
            " operator runs 'giftless encrypt'",
            _RETRY_AFTER,
        )
    if head is None:
        if IStoredFile.providedBy(stored) or IEncodedObject.providedBy(stored):
            return stored
        # What has been read already is not asked for again.
        return BegunObject(stored, start)
    return await _open(BegunObject(stored, start), head, oid, sealing, blocking)


async def _open(
    stored: BegunObject, head: Head, oid: Oid, sealing: ISealing | None, blocking: IBlocking
) -> IStoredObject:
    content: IStoredObject = StoredView(stored, HEAD_SIZE, stored.size)
    if head.sealed:
        sealing = require_sealing(sealing)
        size = sealing.content_size(content.size)
        prefix = await read_exactly(content, 0, min(sealing.prefix_size, content.size))
        opener = await sealing.unseal(oid, head, prefix, content.size)
        content = OpenedContent(content, size, opener, blocking)
    if not head.compressed:
        check_size(head, content.size)
        return CodedObject(stored, content)
    assert head.size is not None, "parse_head() sees to it"
    table = await read_table(content, head.size, blocking)
    unpacked = UnpackedContent(content, head.size, table, _load_unpack(), blocking)
    if head.sealed:
        return PackedObject(stored, unpacked, content, 0, table.packed_size)
    # The file itself has the frames, and the kernel can send it.
    end = HEAD_SIZE + table.packed_size
    return PackedObject(stored, unpacked, stored.whole, HEAD_SIZE, end)


def require_sealing(sealing: ISealing | None) -> ISealing:
    """Return what opens what is sealed.

    :raises ObjectSealed: if nothing does.
    """
    if sealing is None:
        raise ObjectSealed(
            "the object is encrypted, and this server's configuration does not have"
            " 'type: encrypted' with its key",
            _RETRY_AFTER,
        )
    return sealing


def check_size(head: Head, size: int) -> None:
    """Compare the size of a content that is not compressed with what the head says.

    :raises ObjectDamaged: if it differs.
    """
    if head.size not in (None, size):
        raise ObjectCorrupt.because(f"it should have {head.size} bytes, and {size} are stored")


def _load_unpack() -> Unpack:
    """Return what unpacks frames.

    :raises ObjectSealed: if the library is missing.
    """
    try:
        from giftless.storage.coded.zstd import unpack
    except ImportError:
        raise ObjectSealed(
            "the object is compressed, and the server lacks zstandard; its operator installs"
            " it with: pip install 'giftless[zstd]'",
            _RETRY_AFTER,
        ) from None
    return unpack


@implementer(IStoredObject)
class CodedObject:
    """An open object that is stored in another form.

    :param stored: what is stored; it is closed with this.
    :param content: the object in it.
    """

    def __init__(self, stored: IStoredObject, content: IStoredObject) -> None:
        self._stored = stored
        self._content = content
        self.size = content.size
        self.extras = stored.extras

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return self._content.read(start, end)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self._stored.close()


@implementer(IEncodedObject)
class PackedObject(CodedObject):
    """An open object that is stored compressed, and can be sent so.

    :param encoded: has its frames.
    :param start: where they begin there.
    :param end: where they end there.
    """

    encoding = "zstd"

    def __init__(
        self,
        stored: IStoredObject,
        content: IStoredObject,
        encoded: IStoredObject,
        start: int,
        end: int,
    ) -> None:
        super().__init__(stored, content)
        self.encoded = encoded
        self.encoded_start = start
        self.encoded_end = end
