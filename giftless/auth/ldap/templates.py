"""Filters and DNs with places for what users send: none of it can change their meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

import ldap
import ldap.dn
import ldap.filter

from giftless.errors import ConfigError

#: The longest name of a user, in characters.
_MAX_NAME: Final = 256

_PLACE: Final = re.compile(r"\{(\w*)\}", re.ASCII)

#: Where nobody listens: a filter is encoded before anybody is connected to.
_NOWHERE: Final = "ldapi://%2Fnonexistent%2Fgiftless"


def is_name(user: str) -> bool:
    """Tell whether anybody can have such a name in a directory.

    Directories ignore spaces around a name, and control characters do harm only.
    """
    return 0 < len(user) <= _MAX_NAME and user.isprintable() and user == user.strip()


class Template:
    """A text with places such as ``{user}``.

    :param text: the text.
    :param escape: makes a value harmless.
    """

    def __init__(self, text: str, escape: Callable[[str], str]) -> None:
        self._text = text
        self._escape = escape

    def fill(self, **values: str) -> str:
        """Return the text with values in their places.

        A value that looks like a place is no place.
        """
        return _PLACE.sub(lambda place: self._escape(values[place[1]]), self._text)


def filter_template(option: str, text: str, places: Collection[str]) -> Template:
    """Make a template of a filter; values are escaped as RFC 4515 section 3 says.

    :param option: the name of the option that holds it.
    :param places: what it may have a place for; it must have one of them.
    :raises ConfigError: if it is no filter, or has other places.
    """
    _check_places(option, text, places)
    template = Template(text, ldap.filter.escape_filter_chars)
    sample = template.fill(**dict.fromkeys(places, "x"))
    try:
        # libldap also takes a filter without its parentheses; then a place could be read
        # as something else than a value.
        if not text.startswith("("):
            raise ldap.FILTER_ERROR
        ldap.initialize(_NOWHERE).search_ext("", ldap.SCOPE_BASE, sample)
    except ldap.FILTER_ERROR:
        raise ConfigError(
            option, "found something else than a filter of LDAP (RFC 4515), such as (cn={user})"
        ) from None
    except ldap.LDAPError:
        pass  # nobody is there to ask
    return template


def dn_template(option: str, text: str) -> Template:
    """Make a template of a DN with ``{user}``; values are escaped as RFC 4514 section 2.4 says.

    :param option: the name of the option that holds it.
    :raises ConfigError: if it is no DN, or has other places.
    """
    _check_places(option, text, ("user",))
    check_dn(option, text)
    return Template(text, ldap.dn.escape_dn_chars)


def check_dn(option: str, text: str) -> None:
    """Check that an option holds a DN.

    :raises ConfigError: if it does not.
    """
    if not text or not ldap.dn.is_dn(text):
        raise ConfigError(
            option, "found something else than a DN, such as ou=people,dc=example,dc=com"
        )


def _check_places(option: str, text: str, places: Collection[str]) -> None:
    found = set(_PLACE.findall(text))
    if not found or not found <= set(places):
        names = " or ".join(f"{{{place}}}" for place in places)
        raise ConfigError(option, f"must have {names} in it, and no other word in braces")
