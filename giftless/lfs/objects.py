"""The protocol's nouns: repositories, objects, actions.

Values here are validated when they are made, so that whatever holds a
:class:`Repo` or an :class:`Oid` needs no further check.  That is what makes
path traversal impossible: storage only ever sees these types.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final

import msgspec

from giftless.errors import BadRequest

#: Names that begin like this belong to the server (temporary files, …).
RESERVED_PREFIX: Final = ".giftless"

#: No repository's path begins with this part: below it are the server's own pages.
OWN_PAGES: Final = "-"

#: The most bytes that one segment of a repository's path may have (NAME_MAX).
MAX_SEGMENT_BYTES: Final = 255

#: The most segments that a repository's path may have.
MAX_SEGMENTS: Final = 32

#: The most bytes that a repository's path may have: with the oid it must fit
#: below a store's directory (PATH_MAX is 4096).
MAX_PATH_BYTES: Final = 2048

#: The largest object size that is taken seriously: 2**63 - 1 bytes.
MAX_SIZE: Final = 2**63 - 1


class Oid(str):
    """An object's id: its SHA-256 as 64 lower-case hexadecimal digits."""

    __slots__ = ()

    PATTERN: ClassVar = re.compile(r"[0-9a-f]{64}", re.ASCII)

    #: What is wrong with everything else.
    FORM: ClassVar = "the oid must be the object's SHA-256: 64 lower-case hexadecimal digits"

    @classmethod
    def parse(cls, text: str) -> Oid:
        """Validate ``text`` as an oid.

        :raises BadRequest: if it is not 64 lower-case hexadecimal digits.
        """
        if not cls.PATTERN.fullmatch(text):
            raise BadRequest(cls.FORM)
        return cls(text)


#: The oid of the empty object, which alone has no bytes.
EMPTY_OID: Final = Oid("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository: its path on the server, as decoded segments.

    :ivar segments: at least one name; none is empty, ``.``, ``..``, contains
        ``/`` or a control character, looks like an oid, or is reserved; nor is the first
        one :data:`OWN_PAGES`, but for :data:`OPERATION`.
    :ivar path: the segments joined by ``/``: ``org/group/repo``.
    """

    segments: tuple[str, ...]
    path: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Once: a batch asks for it with each object.
        object.__setattr__(self, "path", "/".join(self.segments))

    @classmethod
    def parse(cls, segments: Sequence[str]) -> Repo:
        """Validate ``segments`` as the path of a repository.

        :param segments: percent-decoded path segments; a ``.git`` at the end
            of the last one is dropped, so both URL forms name one repository.
        :raises BadRequest: if a segment cannot be part of a repository's name.
        """
        if not segments:
            raise BadRequest("the URL names no repository")
        if len(segments) > MAX_SEGMENTS:
            raise BadRequest(f"a repository's path has at most {MAX_SEGMENTS} segments")
        names = (*segments[:-1], segments[-1].removesuffix(".git"))
        for name in names:
            _check_segment(name)
        if names[0] == OWN_PAGES:
            raise BadRequest(f"no repository's path begins with {OWN_PAGES}/: that is the server's")
        repo = cls(names)
        if len(repo.path.encode()) > MAX_PATH_BYTES:
            raise BadRequest(f"a repository's path has at most {MAX_PATH_BYTES} bytes")
        return repo

    def __str__(self) -> str:
        return self.path


def _check_segment(name: str) -> None:
    if name in ("", ".", ".."):
        raise BadRequest("a repository's path must not have empty, '.' or '..' segments")
    if "/" in name or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise BadRequest("a repository's name must not have slashes or control characters")
    if len(name.encode()) > MAX_SEGMENT_BYTES:
        raise BadRequest(f"a part of a repository's path has at most {MAX_SEGMENT_BYTES} bytes")
    if name.startswith(RESERVED_PREFIX):
        raise BadRequest(f"names that begin with {RESERVED_PREFIX} are reserved")
    if Oid.PATTERN.fullmatch(name):
        raise BadRequest("a part of a repository's path must not look like an oid")


#: Stands for the server itself where authenticators are asked what somebody may do.  No
#: request can name it as a repository.
OPERATION: Final = Repo((OWN_PAGES,))


class ObjectKey(msgspec.Struct, frozen=True, gc=False):
    """Where an object lives: one oid in one repository."""

    repo: Repo
    oid: Oid

    @classmethod
    def of_path(cls, path: str, trash: bool = False) -> ObjectKey | None:
        """Return the key that has this :attr:`path`; ``None`` if no key has it.

        :param trash: whether to return the key of what is in the trash, and no other.
        """
        *segments, oid = path.split("/")
        if trash:
            if tuple(segments[1:3]) != _TRASH:
                return None
            del segments[1:3]
        if not segments or not Oid.PATTERN.fullmatch(oid):
            return None
        # Parsing drops one ".git", and a repository's name may end like that too.
        segments[-1] += ".git"
        try:
            key = cls(Repo.parse(segments), Oid(oid))
        except BadRequest:
            return None
        return in_trash(key) if trash else key

    @property
    def path(self) -> str:
        """``org/repo/oid``: the object's place below a store's prefix."""
        # Not by formatting: that takes twice as long for an oid, and a batch asks for many.
        return self.repo.path + "/" + self.oid


#: Below it, in the directory of an organisation, are the objects that were deleted from
#: its repositories: on the organisation's own disk.
_TRASH: Final = (RESERVED_PREFIX, "trash")

#: The same as a path, and by how many characters the path of a key is longer there.
TRASH: Final = "/".join(_TRASH)
TRASH_LENGTH: Final = len(TRASH) + 1


def trash_of(repo: Repo) -> Repo:
    """Return where the trash of a repository is; no request can name it.

    >>> trash_of(Repo(("acme", "rocket"))).path
    'acme/.giftless/trash/rocket'
    """
    return Repo((repo.segments[0], *_TRASH, *repo.segments[1:]))


def owner_of(trash: Repo) -> Repo | None:
    """Return whose trash it is: the inverse of :func:`trash_of`; ``None`` if nobody's."""
    first, *rest = trash.segments
    if tuple(rest[:2]) != _TRASH:
        return None
    return Repo((first, *rest[2:]))


def in_trash(key: ObjectKey) -> ObjectKey:
    """Return the key that an object has in the trash."""
    return ObjectKey(trash_of(key.repo), key.oid)


class Permission(Enum):
    """What an identity may do with a repository's objects and locks.

    ``ADMIN`` is beside the others and includes none of them.
    """

    READ = "read"
    READ_META = "read-meta"
    WRITE = "write"
    ADMIN = "admin"


class Operation(Enum):
    """What a batch is for (``operation`` in the batch API)."""

    DOWNLOAD = "download"
    UPLOAD = "upload"

    @property
    def permission(self) -> Permission:
        """The permission that the operation needs."""
        return Permission.WRITE if self is Operation.UPLOAD else Permission.READ


#: The header that carries an action's token.  It is not ``Authorization``, because
#: clients add a credential of the user's to that (``http.extraheader``), and proxies
#: refuse or join two of them.
ACTION_HEADER: Final = "Giftless-Action"


class Action(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing for the client to do next (batch API, ``actions``).

    :ivar href: an absolute http(s) URL.
    :ivar header: headers that the client must send with it.
    :ivar expires_in: whole seconds for which it stays valid; 0: unlimited.
    """

    href: str
    header: dict[str, str] | None = None
    expires_in: int = 0

    def __repr__(self) -> str:
        """Leave out the headers and the query: they hold tokens and signatures."""
        return f"<Action {self.href.partition('?')[0]}>"


#: The ``actions`` of one object, by name (``upload``, ``verify``, ``download``);
#: under ``parts`` there are several.
Actions = Mapping[str, Action | Sequence[Action]]

#: What an ``x-*`` member of an object in a batch may hold.
Extra = str | int | float | bool | None

#: The ``x-*`` members of an object in a batch, without their ``x-``.
Extras = Mapping[str, Extra]

#: None of them.
NO_EXTRAS: Final[Extras] = {}
