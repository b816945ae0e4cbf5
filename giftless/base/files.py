"""Read the files that options name, make private ones, and make names durable.  All blocks."""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from typing import Final

from giftless.base.showing import file_name
from giftless.errors import ConfigError

#: The errno values that mean "no room", whatever the reason.
FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: The most that a file may have which an option names, in bytes.
MAX_FILE: Final = 1024 * 1024


def read_file(path: str, option: str) -> bytes:
    """Read a file that an option names.

    :param option: the option, as a path of keys.
    :raises ConfigError: if it cannot be read, is larger than :data:`MAX_FILE`, or is no
        ordinary file: a pipe would be waited for, and be empty for the next process.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(option, f"{file_name(path)}is no ordinary file")
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(option, f"{file_name(path)}cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(option, "there can be no file of that name") from None
    if len(data) > MAX_FILE:
        raise ConfigError(option, f"{file_name(path)}has more than {MAX_FILE} bytes")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, without waiting for somebody who writes into a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def ensure_private_file(state_dir: str, name: str, make: Callable[[], bytes]) -> str:
    """Make a file in the state directory that nobody but its owner may read, if it is missing.

    It appears whole.  If another process is faster, its file stays.

    :param state_dir: the directory; made if missing.
    :param name: the name of the file in it.
    :param make: returns what the file is to hold.
    :returns: the path of the file.
    :raises ConfigError: if it cannot be made.
    """
    path = os.path.join(state_dir, name)
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        if not os.path.exists(path):
            _create(path, make())
    except OSError as error:
        raise ConfigError(
            "state_dir",
            f"{file_name(state_dir)}cannot be used: {error.strerror};"
            f" give a directory that the daemon may write to, which runs as user {os.geteuid()}",
        ) from None
    return path


def derived_key(state_dir: str, name: str, purpose: bytes) -> bytes:
    """Return a key of 32 bytes that all workers of a daemon share, and nobody else knows.

    :param state_dir: the directory of the file that it is derived from; made if missing.
    :param name: the name of that file; made if missing.
    :param purpose: what the key is for: each purpose has another key.
    :raises ConfigError: if the file cannot be made or read.
    """
    path = ensure_private_file(state_dir, name, lambda: os.urandom(32))
    secret = read_file(path, "state_dir")
    if len(secret) != 32:
        raise ConfigError("state_dir", f"the file {name} in it is damaged; remove it")
    return hmac.digest(secret, purpose, "sha256")


def _create(path: str, data: bytes) -> None:
    temporary = f"{path}.{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was faster
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
