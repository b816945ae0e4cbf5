"""What claims say about somebody: who it is, what they are called, and their groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from giftless.auth.realms import shown_name
from giftless.errors import UnfitCredential

#: The longest subject, in characters (OpenID Connect Core 1.0, section 2).
_MAX_SUBJECT: Final = 255

#: Claims as plain data; whoever made them may have put anything there.
Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has logged in at the issuer.

    :ivar subject: what stands for them there, for ever (``sub``).
    :ivar name: what they are called; may change.
    :ivar groups: the names of the groups that they are in.
    """

    subject: str
    name: str
    groups: frozenset[str]


class ClaimNames:
    """Finds people's names and groups in claims.

    :param name: the claim that has the name.
    :param groups: the claim that has the groups.
    """

    def __init__(self, name: str, groups: str) -> None:
        self._name = name.split(".")
        self._groups = groups.split(".")

    def missing(self, claims: Claims) -> bool:
        """Whether claims lack somebody's subject, name or groups."""
        return (
            not subject_of(claims)
            or _find(claims, self._name) is None
            or _find(claims, self._groups) is None
        )

    def person(self, claims: Claims) -> Person:
        """Make out whose claims these are.

        :raises UnfitCredential: if they do not say that.
        """
        subject = subject_of(claims)
        if not subject:
            raise UnfitCredential("the token does not say whose it is (sub); get another one")
        names = (_find(claims, self._name), claims.get("email"), subject)
        name = next(each for each in names if isinstance(each, str) and each)
        return Person(subject, shown_name(name), _groups_in(_find(claims, self._groups)))


def subject_of(claims: Claims) -> str:
    """Return what stands for somebody at the issuer; empty if the claims do not say it."""
    subject = claims.get("sub")
    return subject if isinstance(subject, str) and len(subject) <= _MAX_SUBJECT else ""


def _find(value: Any, names: Sequence[str]) -> Any:
    """Follow names into claims; ``None`` if nothing is there.

    Claims may have dots in their own names (``https://acme.example/groups``).
    """
    if not names:
        return value
    if isinstance(value, Mapping):
        for end in range(len(names), 0, -1):
            found = _find(value.get(".".join(names[:end])), names[end:])
            if found is not None:
                return found
    return None


def _groups_in(value: Any) -> frozenset[str]:
    """Read a list of groups, or one text with spaces between them; anything else has none."""
    if isinstance(value, str):
        # By the space alone (RFC 6749 section 3.3): others may stand in a group's name.
        return frozenset(filter(None, value.split(" ")))
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()
