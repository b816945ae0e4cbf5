"""``giftless keys generate``: append a fresh key to a key file, or begin one."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Collection
from typing import Any, Final

from twisted.python import usage

from giftless.base.files import sync_directory
from giftless.base.watched_file import FileProblem
from giftless.commands import Command, CommandError
from giftless.storage.encrypted.keyfile import new_line, read_keys
from giftless.storage.encrypted.sealing import is_key_id

#: What a new file begins with.
_HEADER: Final = (
    b"# Keys of encrypted objects: 'giftless keys generate' appends one.\n"
    b"# Whoever has this file can read all objects; without it, nobody can.  Keep a copy.\n"
)


class GenerateKey(Command):
    """The command line of ``giftless keys generate``."""

    synopsis = "[--id NAME] FILE"
    longdesc = (
        "Append a fresh key to FILE, the 'path' of the configuration's keys, or make the file;"
        " nobody but its owner may read it.  The last key is the primary one, unless the"
        " configuration names another: a daemon that runs uses it within a second.  Copy the"
        " file to a safe place: without it, nobody can read the objects."
    )
    optParameters: Any = [
        ["id", "i", None, "What the key is called; if not given, by the date."],
    ]

    def parseArgs(self, path: str = "") -> None:
        """Take the file."""
        if not path:
            raise usage.UsageError("say which FILE the key is to be appended to")
        self["path"] = path

    def postOptions(self) -> None:
        """Check the id."""
        if self["id"] is not None and not is_key_id(self["id"]):
            raise usage.UsageError("--id is 1 to 64 characters of ASCII without a space")

    def run(self) -> None:
        """Append the key, and print its id.

        :raises CommandError: if that is impossible; the file is as it was then.
        """
        path = os.path.realpath(self["path"])
        try:
            print(append_key(path, self["id"]))
        except FileProblem as problem:
            raise CommandError(f"{path}: {problem}") from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def append_key(path: str, key_id: str | None) -> str:
    """Append a fresh key to a key file, which is made if it is missing.

    Whoever reads the file sees it with the key or without it.  Two who do this at once come
    one after the other.

    :param key_id: its id; ``None`` for one that tells the date.
    :returns: its id.
    :raises FileProblem: if the file cannot be used, or has such a key.
    :raises OSError: if it cannot be written.
    """
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        content, owner = _read(path)
        known = read_keys(content)
        name = key_id or _dated(known)
        if name in known:
            raise FileProblem(f"has a key with the id {name!r} already")
        _write(path, content + new_line(name), owner)
    finally:
        os.close(directory)
    return name


def _read(path: str) -> tuple[bytes, os.stat_result | None]:
    """Return what is in the file, and whose it is; ``None`` if it is missing."""
    try:
        with open(path, "rb") as file:
            content, status = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return _HEADER, None
    if content and not content.endswith(b"\n"):
        content += b"\n"
    return content or _HEADER, status


def _write(path: str, content: bytes, owner: os.stat_result | None) -> None:
    """Put a file in place, durably, that nobody but its owner may read."""
    temporary = f"{path}.{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            if owner is not None:
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.write(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _dated(known: Collection[str]) -> str:
    """Return an id that tells the date, and is not in use."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    names = (today if not number else f"{today}.{number}" for number in range(len(known) + 1))
    return next(name for name in names if name not in known)
