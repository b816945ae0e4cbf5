"""Make the cache that the options of a factory describe."""

from __future__ import annotations

from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.cache.reads import CachedReads


def build_reads(path: str, limit: int, environment: Environment) -> CachedReads:
    """Make a cache in a directory; it is started and stopped with the daemon.

    :param path: the directory (the option ``path``); made if it is missing.
    :param limit: the most bytes that it may hold.
    :raises ConfigError: if the directory cannot be used.
    """
    reads = CachedReads(path, limit, environment.blocking, environment.reactor)
    try:
        reads.entries.make()
    except OSError as error:
        raise ConfigError(
            "path",
            f"{file_name(path)}cannot be used: {error.strerror};"
            " give a directory that the daemon may write to",
        ) from None
    return reads
