"""The bytes of the user's file, block by block: as much as fits a connection's buffer."""

from __future__ import annotations

from collections.abc import Iterator

from giftless.agent.errors import TransferError
from giftless.agent.http import BLOCK_SIZE


def read_blocks(path: str, start: int, size: int) -> Iterator[bytes]:
    """Read a range of a file.

    :param start: the offset of its first byte.
    :param size: how many bytes it has.
    :raises TransferError: if the file cannot be read, or ends before.
    """
    left = size
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            while left:
                data = file.read(min(left, BLOCK_SIZE))
                if not data:
                    raise TransferError(f"{path} has become shorter; it must not change")
                left -= len(data)
                yield data
    except OSError as error:
        raise TransferError(f"cannot read {path}: {error.strerror}") from None
