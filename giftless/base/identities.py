"""Recognise a store: by the identity in it, which the state directory remembers.

A disk that is not mounted looks like an empty directory, and a database that was
emptied looks like a new one.  So a store carries a random identity, and the daemon
remembers which one it has found where.  A store that lacks it, or has another, is not
the one that clients have filled.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from typing import Final

from giftless.base.files import sync_directory
from giftless.errors import ConfigError

#: The folder of the state directory that remembers.
FOLDER: Final = "stores"

#: What an identity looks like.
_IDENTITY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

#: What is remembered of a store that takes no identity, because it is read-only.
UNMARKED: Final = "unmarked"


def new_identity() -> str:
    """Return an identity that no other store has."""
    return secrets.token_hex(16)


def parse_identity(data: bytes) -> str:
    """Return the identity that a store's mark holds; empty if it holds none."""
    text = data.strip().decode("ascii", "replace")
    return text if _IDENTITY.fullmatch(text) else ""


def remembered_in(state_dir: str, place: str) -> Remembered:
    """Return what the state directory remembers of the store at ``place``."""
    return Remembered(os.path.join(state_dir, FOLDER), place)


class Remembered:
    """The identity that the store at some place had.

    It is in a file of its own, so processes that start at once need no lock, and an
    operator can remove what is to be forgotten.  Every method blocks.

    :param folder: the directory of such files; made when it is needed.
    :param place: where the store is, without credentials: ``local /srv/lfs``.
    :ivar file: the file.
    """

    def __init__(self, folder: str, place: str) -> None:
        digest = hashlib.sha256(os.fsencode(place)).hexdigest()
        self.place = place
        self.file = os.path.join(os.path.abspath(folder), digest[:16])

    def get(self) -> str | None:
        """Return the identity, or :data:`UNMARKED`; ``None`` if there is none.

        :raises ConfigError: if the file cannot be read.
        """
        try:
            with open(self.file, "rb") as file:
                words = file.read(4096).split()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigError("", f"{self.file!r} cannot be read: {error.strerror}") from None
        found = words[0].decode("ascii", "replace") if words else ""
        return found if found == UNMARKED or _IDENTITY.fullmatch(found) else None

    def keep(self, identity: str) -> None:
        """Remember an identity, durably.

        :raises OSError: if it cannot be written.
        """
        folder = os.path.dirname(self.file)
        _make_folder(folder)
        content = b"%b %b\n" % (identity.encode(), os.fsencode(self.place))
        temporary = f"{self.file}.{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            give_to_owner(fd, folder)
            os.write(fd, content)
            os.fsync(fd)
            os.rename(temporary, self.file)
            sync_directory(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            os.close(fd)

    def places(self) -> list[str]:
        """Return the places of all stores that the same folder remembers."""
        folder = os.path.dirname(self.file)
        places = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(folder)):
                with open(os.path.join(folder, name), "rb") as file:
                    _, _, place = file.read(8192).rstrip(b"\n").partition(b" ")
                if "." not in name and place:
                    places.append(os.fsdecode(place))
        return places


def _make_folder(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            give_to_owner(fd, os.path.dirname(path))
        finally:
            os.close(fd)


def give_to_owner(fd: int, directory: str | bytes | int) -> None:
    """Give a new file to the owner of its directory, if root has made it.

    ``--check`` may be run by root, while the daemon runs as somebody else.

    :param directory: its path, or a descriptor of it.
    """
    if os.geteuid() == 0:
        owner = os.stat(directory)
        os.fchown(fd, owner.st_uid, owner.st_gid)
