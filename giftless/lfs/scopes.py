"""Scopes: what a token permits, written as text.

The grammar (RFC 5234 notation) is that of the JWT scopes of the Flask-based
giftless, extended to repositories whose paths have more than two parts::

    scope    = "obj" [ ":" id [ [ ":" subscope ] ":" actions ] ]
    id       = path / [ path "/" ] oid
    path     = name *( "/" name )
    name     = "*" / 1*( any character but ":" and "/" )
    oid      = 64 lower-case hexadecimal digits
    subscope = "*" / "meta" / "metadata"
    actions  = action *( "," action )
    action   = "*" / "read" / "write" / "read-meta" / "verify" / "admin"

Where an id begins and ends needs no guessing: its last part is an oid exactly
if it looks like one, because no part of a repository's path may; everything
before it is a path.  What a path covers:

=====================  ====================================================
``*``, or no path      every repository
``a``, ``a/*``         the repository ``a`` and all below it (``a/b``, ``a/b/c``)
``a/b``                the repository ``a/b`` and no other
``a/b/*``              the repository ``a/b`` and all below it
=====================  ====================================================

A ``*`` in front of other names stands for exactly one name.  Names are
percent-encoded where they contain ``:`` or ``%``, where they are ``*``, and
where they contain white space that would separate scopes.

``*`` as an action stands for all the others but ``admin``, which decides about other
people's locks (``locks.force``): no token gets that without saying so.

Whatever does not follow the grammar grants nothing, and never raises: an
unknown entity type, subscope or action, an empty part, a part too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from giftless.errors import BadRequest
from giftless.lfs.objects import Oid, Permission, Repo

_EVERYTHING: Final = frozenset(Permission) - {Permission.ADMIN}
_META: Final = frozenset({Permission.READ_META})

#: What each action permits.  An upload's batch tells which objects are there
#: and which are not, so ``write`` may as well ask to have one verified.
_ACTIONS: Final[Mapping[str, frozenset[Permission]]] = {
    "*": _EVERYTHING,
    "read": _META | {Permission.READ},
    "write": _META | {Permission.WRITE},
    "read-meta": _META,
    "verify": _META,
    "admin": _META | {Permission.ADMIN},
}

#: To what each subscope restricts the actions.
_SUBSCOPES: Final[Mapping[str, frozenset[Permission]]] = {
    "*": frozenset(Permission),
    "meta": _META,
    "metadata": _META,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Permissions on one object, one repository, or everything below a path.

    :ivar path: the names that a repository's path begins with; ``None``
        stands for any one name.
    :ivar below: whether longer paths are covered too.
    :ivar oid: the one object concerned; ``None`` for all.
    :ivar permissions: what is permitted; never empty.
    """

    path: tuple[str | None, ...]
    below: bool
    oid: Oid | None
    permissions: frozenset[Permission]

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """Read one scope.

        :returns: the scope; ``None`` if it grants nothing.
        """
        match text.split(":"):
            case ["obj"]:
                return cls((), True, None, _EVERYTHING)
            case ["obj", entity]:
                return cls._make(entity, "*", "*")
            case ["obj", entity, actions]:
                return cls._make(entity, "*", actions)
            case ["obj", entity, subscope, actions]:
                return cls._make(entity, subscope, actions)
            case _:
                return None

    @classmethod
    def _make(cls, entity: str, subscope: str, actions: str) -> Scope | None:
        granted = frozenset[Permission]().union(
            *(_ACTIONS.get(action, frozenset()) for action in actions.split(","))
        )
        permissions = granted & _SUBSCOPES.get(subscope, frozenset())
        names = entity.split("/")
        if not permissions or "" in names:
            return None
        oid = _oid(names[-1])
        if oid is not None:
            names.pop()
        # An organisation's name alone means all that the organisation has.
        below = len(names) < 2 or names[-1] == "*"
        if names and names[-1] == "*":
            names.pop()
        try:
            path = tuple(None if name == "*" else unquote(name, errors="strict") for name in names)
        except UnicodeDecodeError:
            return None
        return cls(path, below, oid, permissions)

    def covers(self, repo: Repo) -> bool:
        """Whether the scope concerns ``repo``, or objects in it."""
        extra = len(repo.segments) - len(self.path)
        return (extra == 0 or (extra > 0 and self.below)) and all(
            wanted is None or wanted == name
            for wanted, name in zip(self.path, repo.segments, strict=False)
        )


def parse_scopes(claim: str | Iterable[str]) -> tuple[Scope, ...]:
    """Read the scopes of a token.

    :param claim: scopes separated by white space, or a collection of scopes.
    :returns: those that grant something.
    """
    texts = claim.split() if isinstance(claim, str) else claim
    return tuple(scope for text in texts if (scope := Scope.parse(text)) is not None)


def permissions_in(
    scopes: Iterable[Scope], repo: Repo
) -> Mapping[Oid | None, frozenset[Permission]]:
    """Add up what scopes permit in one repository.

    :returns: the permissions on single objects, and under ``None`` those on
        the repository with all its objects.
    """
    permissions: dict[Oid | None, frozenset[Permission]] = {}
    for scope in scopes:
        if scope.covers(repo):
            granted = permissions.get(scope.oid, frozenset())
            permissions[scope.oid] = granted | scope.permissions
    return permissions


def _oid(text: str) -> Oid | None:
    try:
        return Oid.parse(text)
    except BadRequest:
        return None
