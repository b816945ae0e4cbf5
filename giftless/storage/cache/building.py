"""Make the cache that the options of a factory describe."""

from __future__ import annotations

from pathlib import Path

from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.lfs.objects import RESERVED_PREFIX
from giftless.storage.cache.reads import CachedReads


def build_reads(path: str, limit: int, environment: Environment) -> CachedReads:
    """Make a cache in a directory; it is started and stopped with the daemon.

    :param path: the directory (the option ``path``); made if it is missing.
    :param limit: the most bytes that it may hold (the option ``limit``).
    :raises ConfigError: if the directory cannot be used or lies in a storage, or nothing fits.
    """
    if limit < 1:
        raise ConfigError("limit", "is 0, so that nothing would be kept; give a size such as 100G")
    if _lies_in_storage(path):
        raise ConfigError(
            "path",
            "lies in a storage, where copies would be taken for objects of repositories; give a"
            " directory of the cache's own",
        )
    reads = CachedReads(
        path,
        limit,
        environment.blocking,
        environment.reactor,
        environment.count_lookup,
        environment.cache_counts,
    )
    try:
        reads.entries.make()
    except OSError as error:
        raise ConfigError(
            "path",
            f"{file_name(path)}cannot be used: {error.strerror};"
            " give a directory of the cache's own that the daemon may write to",
        ) from None
    reads.setServiceParent(environment.services)
    return reads


def _lies_in_storage(path: str) -> bool:
    """Whether a directory is that of a local storage, or below it: its mark tells."""
    place = Path(path).resolve()
    return any(
        (folder / RESERVED_PREFIX / "identity").exists() for folder in (place, *place.parents)
    )
