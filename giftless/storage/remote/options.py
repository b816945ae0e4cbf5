"""The options that every store behind HTTP has, and how they are checked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from giftless.base.urls import check_url
from giftless.errors import BadRequest, ConfigError
from giftless.lfs.multipart import PART_SIZE
from giftless.lfs.objects import Repo


class RemoteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shared options; a vendor's struct extends it.

    :ivar prefix: a path in front of ``{org}/{repo}/{oid}``.
    :ivar mode: ``direct`` gives clients signed URLs of the store; with
        ``proxy`` the bytes pass through the daemon.
    :ivar endpoint_url: where the store is, if not at its vendor's usual place.
    :ivar public_endpoint_url: where clients reach it, if that is elsewhere.
    :ivar timeout: seconds for any question to the store, retries included.
        Clients give up on a batch after 30 seconds without an answer.
    :ivar concurrency: how many questions are asked at once.
    :ivar part_size: the size of parts, in bytes; brought into the store's
        limits, and larger for objects that would have too many.
    :ivar verify_checksum: whether an object that was made of parts is read
        back, and marked as damaged if it is not what its oid says.
    :ivar resumable_expiry: after how many seconds without a new byte an upload
        that comes bit by bit is given up, and what has come is removed.
    """

    prefix: str = ""
    mode: Literal["direct", "proxy"] = "direct"
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=600)] = 20
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 64
    part_size: Annotated[int, msgspec.Meta(ge=1)] = PART_SIZE
    verify_checksum: bool = False
    resumable_expiry: Annotated[int, msgspec.Meta(ge=1)] = 7 * 86400

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
            raise ConfigError("prefix", f"is not a plain relative path: {error}") from None
    return plain


def checked_endpoints(options: RemoteOptions, usual: str) -> tuple[str, str]:
    """Check where the store is.

    :param usual: where it is if the options do not say.
    :returns: the URLs at which the daemon and its clients reach the store,
        without slashes at their ends.
    :raises ConfigError: if one is no URL of an endpoint.
    """
    endpoint = usual if options.endpoint_url is None else options.endpoint_url
    endpoint = public = check_url("endpoint_url", endpoint)
    if options.public_endpoint_url is not None:
        public = check_url("public_endpoint_url", options.public_endpoint_url)
    return endpoint, public


def checked_key(
    options: RemoteOptions, key: str, secret: str, *others: str
) -> tuple[str, str] | None:
    """Check a key that has two halves.

    :param key: the option that names the key.
    :param secret: the option that holds its secret.
    :param others: the options that must not be set beside it.
    :returns: both halves; ``None`` if there is no key.
    :raises ConfigError: if one half is missing, or another option is set too.
    """
    halves = {name: getattr(options, name) for name in (key, secret)}
    missing = [name for name, value in halves.items() if value is None]
    if len(missing) == 2:
        return None
    if missing:
        raise ConfigError(missing[0], "is missing; set both halves of the key, or none")
    for name in others:
        if getattr(options, name) is not None:
            raise ConfigError(name, f"is set beside {key!r}; set one of them")
    return halves[key], halves[secret]
