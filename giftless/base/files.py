"""Read the files that options name, and make names durable.  Everything here blocks."""

from __future__ import annotations

import os
import secrets

from giftless.base.showing import file_name
from giftless.errors import ConfigError


def read_file(path: str, option: str) -> bytes:
    """Read a file that an option names.

    :param option: the option, as a path of keys.
    :raises ConfigError: if it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(option, f"{file_name(path)}cannot be read: {error.strerror}") from None


def create_private_file(path: str, data: bytes) -> None:
    """Write a new file that nobody but its owner may read.

    It appears whole.  If another process is faster, its file stays.

    :raises OSError: if that is impossible.
    """
    temporary = f"{path}.{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.close(fd)
        os.unlink(temporary)


def sync_directory(path: str | bytes, dir_fd: int | None = None) -> None:
    """Make the names in a directory durable.

    :param dir_fd: the directory from which a relative path goes; ``None`` for the one
        that the process works in.
    :raises OSError: if it cannot be opened or synced.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
