"""What a directory says of somebody: who they are, whether they may log in, their groups."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import ldap
import ldap.dn
import msgspec

#: Where Active Directory, 389 DS and FreeIPA say that an account is closed.
STATE_ATTRIBUTES: Final = ("userAccountControl", "accountExpires", "nsAccountLock")

#: The bit ACCOUNTDISABLE of ``userAccountControl``.
_DISABLED: Final = 0x2

#: What ``accountExpires`` is for accounts that never do.
_NEVER: Final = (0, 0x7FFFFFFFFFFFFFFF)

#: ``accountExpires`` counts steps of 100 ns from 1601 on; this many seconds lie before 1970.
_STEPS: Final = 10_000_000
_EPOCH: Final = 11_644_473_600

#: What stands in front of the value in a group's RDN.
_NAMING: Final = "cn"

#: A DN as a list of its parts, each ready to be compared.
_Parts = Sequence[tuple[tuple[str, str], ...]]


class PersonProblem(Exception):
    """The directory answers, but what it says of somebody cannot be used; the text says why."""


class Person(msgspec.Struct, frozen=True):
    """Somebody in the directory.

    :ivar name: what they are called.
    :ivar id: what stands for them for ever.
    :ivar groups: the names of the groups that they are in, and that give them something.
    """

    name: str
    id: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Entry:
    """An entry of the directory.

    :ivar dn: its DN.
    :ivar attributes: the values of its attributes, by their names in lower case.
    """

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def texts(self, name: str) -> list[str]:
        """Return the values of an attribute."""
        values = self.attributes.get(name.lower(), ())
        return [value.decode("utf-8", "replace") for value in values]

    def first(self, name: str) -> str:
        """Return the first value of an attribute; empty if there is none."""
        return next(iter(self.texts(name)), "")


def identifier(entry: Entry, attribute: str) -> str:
    """Return what stands for somebody for ever.

    :param attribute: the attribute that holds it; what is no text is written in
        hexadecimal, and a GUID of Active Directory as its tools write it.
    :raises PersonProblem: if the directory does not tell it.
    """
    values = entry.attributes.get(attribute.lower(), ())
    if len(values) != 1 or not values[0]:
        raise PersonProblem(f"there is no single value of {attribute} (id_attribute)")
    value = values[0]
    if attribute.lower() == "objectguid" and len(value) == 16:
        return str(uuid.UUID(bytes_le=value))
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text and text.isprintable() else value.hex()


def is_closed(entry: Entry, now: float) -> bool:
    """Tell whether the directory says that nobody may log in to an account.

    :param now: seconds since 1970.
    """
    if _number(entry.first("userAccountControl")) & _DISABLED:
        return True
    if entry.first("nsAccountLock").lower() == "true":
        return True
    expires = _number(entry.first("accountExpires"))
    return expires not in _NEVER and expires / _STEPS - _EPOCH <= now


def group_names(dns: Iterable[str], base: str) -> frozenset[str]:
    """Return the names of groups: the ``cn`` of those whose DN lies below ``base``.

    Other groups do not count: whoever may make groups elsewhere could give them any name.
    """
    below = _parts(base)
    names = set()
    for dn in dns:
        parts = _parts(dn)
        if len(parts) > len(below) and list(parts[len(parts) - len(below) :]) == list(below):
            (kind, _), *others = parts[0]
            if kind == _NAMING and not others:
                names.add(ldap.dn.str2dn(dn)[0][0][1])
    return frozenset(names)


def _parts(dn: str) -> _Parts:
    """Split a DN (RFC 4514); nothing is returned of what is none."""
    try:
        parts = ldap.dn.str2dn(dn)
    except ldap.DECODING_ERROR:
        return ()
    return [
        tuple(sorted((kind.lower(), " ".join(value.split()).lower()) for kind, value, _ in rdn))
        for rdn in parts
    ]


def _number(text: str) -> int:
    try:
        return int(text or "0")
    except ValueError:
        return 0
