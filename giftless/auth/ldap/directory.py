"""What a directory is asked when somebody logs in.  Everything here blocks."""

from __future__ import annotations

import secrets
from typing import Final

import ldap
import msgspec

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.entries import (
    STATE_ATTRIBUTES,
    Entry,
    Person,
    PersonProblem,
    group_names,
    identifier,
    is_closed,
)
from giftless.auth.ldap.link import NO_ATTRIBUTES, Link
from giftless.auth.ldap.options import LDAPOptions
from giftless.auth.ldap.ranges import all_values
from giftless.auth.ldap.servers import Session
from giftless.auth.ldap.templates import check_dn, dn_template, filter_template
from giftless.errors import ConfigError
from giftless.interfaces import WallClock

#: Where directories keep the groups of somebody.
_MEMBER_OF: Final = "memberOf"

#: How many groups of one person are looked at.
_MAX_GROUPS: Final = 10_000


class Answer(msgspec.Struct, frozen=True):
    """What a directory answers about a user.

    :ivar known: whether there is such a user, as far as it tells.
    :ivar person: who it is; ``None`` if nobody, or if they are not let in.
    """

    known: bool
    person: Person | None = None


_UNKNOWN: Final = Answer(known=False)
_REFUSED: Final = Answer(known=True)


class Directory:
    """Asks a server about users, by way of a session.

    Methods raise ``ldap.LDAPError`` if the server does not answer, and
    :class:`~giftless.auth.ldap.entries.PersonProblem` if its answer is of no use.

    :param options: where users and groups are.
    :param now: tells the time of day, in seconds since the epoch.
    :raises ConfigError: if that cannot be.
    """

    def __init__(self, options: LDAPOptions, now: WallClock) -> None:
        self._options = options
        self._now = now
        self._dn = None
        if options.bind_template:
            if options.bind_dn or options.user_base:
                raise ConfigError(
                    "bind_template", "takes the place of bind_dn and user_base; leave these out"
                )
            self._dn = dn_template("bind_template", options.bind_template)
        else:
            check_dn("user_base", options.user_base)
            self._users = filter_template("user_filter", options.user_filter, ("user",))
        if options.bind_dn:
            check_dn("bind_dn", options.bind_dn)
        self._groups = None
        #: The others need not be remembered, and may be thousands.
        self._granted = frozenset(options.grants)
        if options.group_base:
            check_dn("group_base", options.group_base)
        if options.group_filter:
            check_dn("group_base", options.group_base)
            self._groups = filter_template("group_filter", options.group_filter, ("dn", "user"))
        self._attributes = (
            *(options.name_attribute, options.id_attribute, _MEMBER_OF),
            *STATE_ATTRIBUTES,
        )

    def log_in(self, session: Session, deadline: Deadline, user: str, password: bytes) -> Answer:
        """Find out whether a password is a user's, and who that is.

        :param password: must not be empty.
        """
        users = session.users(deadline)
        if self._dn is not None:
            dn = self._dn.fill(user=user)
            if not users.accepts(deadline, dn, password):
                return _REFUSED
            entry = self._read(users, deadline, dn)
            return self._answer(users, deadline, entry)
        entry = self._find(session.search, deadline, user)
        if entry is None:
            # As much work as a wrong password costs, but nobody is shown this one.
            users.accepts(deadline, self._nobody(), secrets.token_hex(8).encode())
            return _UNKNOWN
        if not users.accepts(deadline, entry.dn, password):
            return _REFUSED
        return self._answer(session.search, deadline, entry)

    def look_up(self, session: Session, deadline: Deadline, user: str) -> Answer:
        """Find out who a user is whom somebody else vouches for."""
        if self._dn is not None:
            # Without an account nobody can be looked up.
            return _UNKNOWN
        entry = self._find(session.search, deadline, user)
        return _UNKNOWN if entry is None else self._answer(session.search, deadline, entry)

    def look_around(self, session: Session, deadline: Deadline) -> None:
        """Ask what will be asked when somebody logs in.

        :raises ldap.LDAPError: if the server does not answer that.
        """
        bases = (self._options.user_base, self._options.group_base)
        for base in filter(None, () if self._dn else bases):
            session.search.search(deadline, base, ldap.SCOPE_BASE, "(objectClass=*)", NO_ATTRIBUTES)

    def _find(self, link: Link, deadline: Deadline, user: str) -> Entry | None:
        wanted = self._users.fill(user=user)
        base = self._options.user_base
        try:
            found = link.search(
                deadline, base, ldap.SCOPE_SUBTREE, wanted, self._attributes, most=1
            )
        except ldap.SIZELIMIT_EXCEEDED:
            raise PersonProblem("user_filter finds several entries") from None
        return found[0] if found else None

    def _read(self, link: Link, deadline: Deadline, dn: str) -> Entry | None:
        found = link.search(deadline, dn, ldap.SCOPE_BASE, "(objectClass=*)", self._attributes)
        return found[0] if found else None

    def _nobody(self) -> str:
        return f"cn={secrets.token_hex(16)},{self._options.user_base}"

    def _answer(self, link: Link, deadline: Deadline, entry: Entry | None) -> Answer:
        if entry is None:
            raise PersonProblem("users may not read their own entries, as bind_template needs")
        if is_closed(entry, self._now()):
            return _REFUSED
        options = self._options
        name = entry.first(options.name_attribute)
        if not name:
            raise PersonProblem(f"there is no {options.name_attribute} (name_attribute)")
        person = Person(
            name, identifier(entry, options.id_attribute), self._names(link, deadline, entry, name)
        )
        return Answer(known=True, person=person)

    def _names(self, link: Link, deadline: Deadline, entry: Entry, name: str) -> frozenset[str]:
        """Return the names of somebody's groups, as far as they give anything."""
        base = self._options.group_base
        if not base:
            return frozenset()
        if self._groups is None:
            dns = all_values(link, deadline, entry, _MEMBER_OF, _MAX_GROUPS)
            return self._granted & group_names(dns, base)
        wanted = self._groups.fill(dn=entry.dn, user=name)
        try:
            found = link.search_dns(deadline, base, wanted, _MAX_GROUPS)
        except (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED):
            raise PersonProblem("there are more groups than the server gives") from None
        return self._granted & group_names(found, base)
