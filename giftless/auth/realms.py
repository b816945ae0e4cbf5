"""Realms: who vouches for a person, so that equal names of two do not make them one.

A principal is ``REALM#ID``: the realm is the kind of authenticator and what that
trusts (``jwt:https://sso.example.com``), and the id is what stands for one person
there, for ever.  Both are whole; what would make the text ambiguous is written as
in URLs (RFC 3986 section 2.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from zope.interface import implementer

from giftless.errors import ConfigError
from giftless.interfaces import IRealm, IVouching

#: The longest name that is shown, in characters.
MAX_SHOWN: Final = 128

#: What separates the parts of a principal, what marks an escape, and what databases
#: do not take in a text.
_SPECIAL: Final = re.compile("[#%\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@implementer(IRealm)
@dataclass(frozen=True, slots=True)
class Realm:
    """Who vouches for people.

    :ivar kind: the ``type`` of the authenticator.
    :ivar name: what tells it from others of its kind; empty if nothing does.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        """Return the text that principals begin with."""
        return f"{self.kind}:{_escape(self.name)}" if self.name else self.kind

    def principal(self, *parts: str) -> str:
        """Return what stands for one person among all that the server knows.

        :param parts: what stands for them in the realm; in one realm, two people
            must not have the same parts.
        """
        return "#".join((str(self), *map(_escape, parts)))


def token_part(token: str) -> str:
    """Return what stands for the unknown owner of a token: its SHA-256.

    So two whose tokens do not say whose they are do not become one.
    """
    return f"token:{hashlib.sha256(token.encode('utf-8', 'surrogatepass')).hexdigest()}"


def shown_name(name: str) -> str:
    """Return a name as it is shown to people: one line, without control characters.

    Two different names may look the same afterwards.  Names are not compared;
    principals are.
    """
    if name.isprintable() and len(name) <= MAX_SHOWN:
        return name
    whole = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return whole if len(whole) <= MAX_SHOWN else f"{whole[: MAX_SHOWN - 1]}\N{HORIZONTAL ELLIPSIS}"


def check_realms(parts: Mapping[str, object]) -> None:
    """Refuse two authenticators whose people would become one without anybody saying so.

    :param parts: every part of the server, by the dotted path of its section.
    :raises ConfigError: if two have a realm without a name, and it is the same one.
    """
    seen: dict[str, str] = {}
    for path, part in parts.items():
        if not IVouching.providedBy(part) or part.realm.name:
            continue
        other = seen.setdefault(part.realm.kind, path)
        if other != path:
            raise ConfigError(
                f"{path}.realm",
                f"is needed: a user of {other} and one of {path} with the same name would be"
                " one person; set realm in one of the two, or the same in both if they are",
            )


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda char: quote(char[0], safe="", errors="surrogatepass"), text)
