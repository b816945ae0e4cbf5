"""The options that every store behind HTTP has."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from giftless.errors import BadRequest, ConfigError
from giftless.lfs.multipart import PART_SIZE
from giftless.lfs.objects import Repo


class RemoteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shared options; a vendor's struct extends it.

    :ivar prefix: a path in front of ``{org}/{repo}/{oid}``.
    :ivar mode: ``direct`` gives clients signed URLs of the store; with
        ``proxy`` the bytes pass through the daemon.
    :ivar timeout: seconds for any question to the store, retries included.
        Clients give up on a batch after 30 seconds without an answer.
    :ivar concurrency: how many questions are asked at once.
    :ivar part_size: the size of parts, in bytes; brought into the store's
        limits, and larger for objects that would have too many.
    :ivar verify_checksum: whether an object that was made of parts is read
        back, and removed if it is not what its oid says.
    """

    prefix: str = ""
    mode: Literal["direct", "proxy"] = "direct"
    timeout: Annotated[int, msgspec.Meta(ge=1, le=600)] = 20
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 64
    part_size: Annotated[int, msgspec.Meta(ge=1)] = PART_SIZE
    verify_checksum: bool = False

    def __repr__(self) -> str:
        """Leave out everything: some options are secrets."""
        return f"<{type(self).__name__}>"


def checked_prefix(prefix: str) -> str:
    """Check a prefix.

    :returns: it without slashes at its ends.
    :raises ConfigError: if it is not a plain relative path.
    """
    plain = prefix.strip("/")
    if plain:
        try:
            Repo.parse([*plain.split("/"), "x"])
        except BadRequest as error:
            raise ConfigError(
                "prefix", f"{prefix!r} is not a plain relative path: {error}"
            ) from None
    return plain
