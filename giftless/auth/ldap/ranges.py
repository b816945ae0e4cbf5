"""Attributes whose values come in parts, as Active Directory gives those that have many.

Of more than 1500 values the first come as ``memberOf;range=0-1499``, further ones must be asked
for, and the last are ``memberOf;range=1500-*`` ([MS-ADTS] section 3.1.1.3.1.3.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import ldap
import msgspec

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.entries import Entry, PersonProblem
from giftless.auth.ldap.link import Link

_RANGE: Final = re.compile(r"(?P<name>[^;]+);range=(?P<first>[0-9]{1,9})-(?P<last>[0-9]{1,9}|\*)")


class _Part(msgspec.Struct, frozen=True):
    """Some values: from the number ``first`` on, counted from 0; all others if it is the last."""

    first: int
    is_last: bool
    values: Sequence[bytes]


def all_values(link: Link, deadline: Deadline, entry: Entry, name: str, most: int) -> list[str]:
    """Return all values of an attribute; read on if the entry has only the first ones.

    :param link: who may read the entry.
    :param most: how many there may be.
    :raises PersonProblem: if there are more, or the server does not give the next ones.
    :raises ldap.LDAPError: if it does not answer.
    """
    part = _part(entry, name)
    if part is None:
        return entry.texts(name)
    values: list[bytes] = []
    while True:
        if part is None or part.first != len(values) or not part.values:
            raise PersonProblem(f"the server does not give all values of {name}")
        values += part.values
        if len(values) > most:
            raise PersonProblem(f"there are more than {most} values of {name}")
        if part.is_last:
            return [value.decode("utf-8", "replace") for value in values]
        wanted = f"{name};range={len(values)}-*"
        found = link.search(deadline, entry.dn, ldap.SCOPE_BASE, "(objectClass=*)", (wanted,))
        part = _part(found[0], name) if found else None


def _part(entry: Entry, name: str) -> _Part | None:
    """Return the values of an attribute that come in parts; ``None`` if they do not."""
    for key, values in entry.attributes.items():
        match = _RANGE.fullmatch(key)
        if match is not None and match["name"] == name.lower():
            return _Part(int(match["first"]), match["last"] == "*", values)
    return None
