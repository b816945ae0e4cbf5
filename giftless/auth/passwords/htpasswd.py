"""Files of users and password hashes, as Apache's ``htpasswd -B`` writes them.

One ``user:hash`` a line; the hash is bcrypt (``$2y$``, ``$2b$``, ``$2a$``) or
Argon2id (``$argon2id$``, RFC 9106).  Older forms (plain text, DES, MD5, SHA)
are too easy to guess and are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from giftless.base.watched_file import FileProblem, lines_of

#: The work factor of new hashes: about a quarter of a second.
COST: Final = 12

#: bcrypt takes no more of a password than this; it used to drop the rest.
MAX_PASSWORD_BYTES: Final = 72

#: A cost above 17 would keep a core busy for many seconds at each log-in.
_BCRYPT = re.compile(
    r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)

_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$(m=([1-9]\d{1,6}),t=[1-9]\d?,p=[1-9]\d?)"
    r"\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,128}",
    re.ASCII,
)

#: The most memory that one Argon2 hash may need, in KiB.
_MAX_MEMORY: Final = 1024 * 1024

#: How hashes begin that are recognised and refused.
_REFUSED: Final = {
    "$apr1$": "MD5",
    "$1$": "MD5",
    "{SHA}": "SHA-1",
    "{SSHA}": "salted SHA-1",
    "$5$": "SHA-256 crypt",
    "$6$": "SHA-512 crypt",
    "$2": "bcrypt that is damaged, or costs less than 4 or more than 17",
    "$argon2id$": "Argon2id that is damaged, or needs more than 1 GiB or 99 passes",
    "$argon2": "Argon2, but not Argon2id",
}


@dataclass(frozen=True)
class Passwords:
    """The users of a file and the hashes of their passwords.

    :ivar hashes: each user's hash.
    """

    hashes: Mapping[str, str]

    @classmethod
    def parse(cls, content: bytes) -> Passwords:
        """Read a file's content.

        :raises FileProblem: at the first line that cannot be used.
        """
        hashes: dict[str, str] = {}
        for number, line in lines_of(content):
            user, colon, stored = line.partition(":")
            if not user or not colon:
                raise FileProblem(f"line {number}: is not of the form user:hash")
            if user in hashes:
                raise FileProblem(f"line {number}: there is a line for this user already")
            problem = _problem(stored)
            if problem is not None:
                raise FileProblem(f"line {number}: the password {problem}")
            hashes[user] = stored
        return cls(hashes)

    @cached_property
    def decoys(self) -> Sequence[str]:
        """One hash of each cost that there is in the file."""
        return tuple({cost(stored): stored for stored in self.hashes.values()}.values())

    def __repr__(self) -> str:
        return f"<Passwords of {len(self.hashes)} users>"


def check(stored: str | None, password: str, decoys: Sequence[str]) -> bool:
    """Tell whether ``password`` is a user's, in a time that tells nothing else.  Blocks.

    Whatever is wrong costs one hash of each cost: a user who is not there, a user whose
    hash is cheap, and a user whose hash is dear.

    :param stored: the user's hash; ``None`` if there is no such user.
    :param decoys: one hash of each cost, see :attr:`Passwords.decoys`.
    """
    if stored is not None and verify(stored, password):
        return True
    for decoy in decoys:
        if stored is None or cost(decoy) != cost(stored):
            verify(decoy, password)
    return False


def cost(stored: str) -> str:
    """Name what decides how long it takes to compare a password with a hash.

    :param stored: a hash that :meth:`Passwords.parse` has let pass.
    """
    found = _BCRYPT.fullmatch(stored) or _ARGON2.fullmatch(stored)
    assert found is not None, "the file's hashes have been checked"
    return found[1]


def verify(stored: str, password: str) -> bool:
    """Tell whether ``password`` is the one behind ``stored``.  Blocks.

    :param stored: a hash that :meth:`Passwords.parse` has let pass.
    """
    if _ARGON2.fullmatch(stored):
        argon2 = _library("argon2")
        try:
            return bool(argon2.PasswordHasher().verify(stored, password))
        except argon2.exceptions.VerificationError:
            return False
    secret = password.encode()[:MAX_PASSWORD_BYTES]
    return bool(_library("bcrypt").checkpw(secret, stored.encode()))


def hash_password(password: str) -> str:
    """Make a bcrypt hash.  Blocks.

    :raises ValueError: if the password is empty or too long for bcrypt.
    """
    secret = password.encode()
    if not secret:
        raise ValueError("the password is empty")
    if len(secret) > MAX_PASSWORD_BYTES:
        raise ValueError(
            f"the password has {len(secret)} bytes; bcrypt takes up to {MAX_PASSWORD_BYTES}"
        )
    bcrypt = _library("bcrypt")
    hashed: bytes = bcrypt.hashpw(secret, bcrypt.gensalt(COST))
    return hashed.decode()


def check_name(user: str) -> None:
    """Check what a user is to be called.

    :raises ValueError: if there cannot be a user of that name.
    """
    if not user or user != user.strip() or user.startswith("#") or not user.isprintable():
        raise ValueError("a user's name is printable text that does not begin with '#'")
    if ":" in user:
        raise ValueError("a user's name has no ':'")


def set_user(path: str, user: str, stored: str) -> bool:
    """Add a user to a file or replace the user's hash.  Blocks.

    The file is replaced as a whole, so that a reader finds either the old
    content or the new; its mode and owner stay.  A new file has mode 0600.

    :returns: whether the user was there before.
    :raises ValueError: if there cannot be a user of that name.
    :raises OSError: if the file cannot be read or written.
    """
    check_name(user)
    path = os.path.realpath(path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # who else edits now loses nothing
        present = _rewrite(path, user, stored)
        os.fsync(directory)
    finally:
        os.close(directory)
    return present


def _rewrite(path: str, user: str, stored: str) -> bool:
    lines: list[bytes] = []
    status = None
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        status = os.fstat(file.fileno())
        lines = file.read().splitlines()
    line = f"{user}:{stored}".encode()
    start = f"{user}:".encode()
    places = [i for i, old in enumerate(lines) if old.strip().startswith(start)]
    if places:
        lines[places[0]] = line
    else:
        lines.append(line)
    temporary = f"{path}.{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            if status is not None:
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(fd, status.st_uid, status.st_gid)
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return bool(places)


def _problem(stored: str) -> str | None:
    """Say why a hash cannot be used."""
    if _BCRYPT.fullmatch(stored):
        _library("bcrypt")
        return None
    argon2 = _ARGON2.fullmatch(stored)
    if argon2 and int(argon2[2]) <= _MAX_MEMORY:
        _library("argon2")
        return None
    kind = next((name for start, name in _REFUSED.items() if stored.startswith(start)), None)
    return (
        f"is {kind or 'in plain text or DES crypt'}; allowed is bcrypt (as 'htpasswd -B' and"
        " 'giftless htpasswd' make it) or Argon2id"
    )


def _library(name: str) -> Any:
    """Import a library that only some hashes need."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise FileProblem(
            f"the Python package {name} is missing; install giftless[basic]"
        ) from None
