"""One connection to one server.  Everything here blocks, until a deadline at most.

libldap (python-ldap) speaks the protocol.  Whatever raises ``ldap.LDAPError`` leaves a
connection that must not be used again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import ldap
from ldap.controls import SimplePagedResultsControl

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.entries import Entry
from giftless.auth.ldap.options import Server
from giftless.auth.ldap.wire import connect
from giftless.base.showing import without_quotes

#: What a server answers to a password that does not let its user in: it is wrong, there is
#: none, there is no such account, or it is locked or closed (RFC 4511 appendix A;
#: directories differ).
_REFUSALS: Final = (
    ldap.NO_SUCH_OBJECT,
    ldap.INVALID_DN_SYNTAX,
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.INSUFFICIENT_ACCESS,
    ldap.CONSTRAINT_VIOLATION,
    ldap.UNWILLING_TO_PERFORM,
)

#: What says that nobody answers, or nobody who can.
_AWAY: Final = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.BUSY,
    ldap.UNAVAILABLE,
)

#: Asks for no attributes (RFC 4511 section 4.5.1.8).
NO_ATTRIBUTES: Final = ("1.1",)

#: How many entries come in one piece; Active Directory sends no more than 1000.
_PAGE: Final = 500

#: What libldap says of a server that has more than it may give.
_TOO_MANY: Final = {"desc": "Size limit exceeded"}

#: Where nobody is: libldap must not connect by itself when a connection is lost.
_NOWHERE: Final = "ldapi://%2Fnonexistent%2Fgiftless"


class Link:
    """A connection to a server that has answered.

    :param server: the server.
    :param deadline: until when it must have answered.
    :raises ldap.LDAPError: if it does not.
    :raises OSError: if it cannot be reached, or cannot prove who it is.
    """

    def __init__(self, server: Server, deadline: Deadline) -> None:
        lent = connect(server, deadline)
        self._connection = connection = ldap.initialize(_NOWHERE, fileno=lent)
        # From here on it is libldap's, which closes it with the connection.
        lent.detach()
        try:
            connection.protocol_version = ldap.VERSION3
            # Another server must not be asked because this one says so.
            connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
            # Whoever may make an alias must not decide whose entry is found.
            connection.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
            self._probe(deadline)
        except BaseException:
            self.close()
            raise

    def _probe(self, deadline: Deadline) -> None:
        """Read the entry that every server has (RFC 4512 section 5.1)."""
        try:
            self.search(deadline, "", ldap.SCOPE_BASE, "(objectClass=*)", NO_ATTRIBUTES)
        except _AWAY:
            raise
        except ldap.LDAPError:
            pass  # it answers

    def _limit(self, deadline: Deadline) -> None:
        """Let no call of libldap take longer."""
        left = deadline.left()
        self._connection.timeout = left
        self._connection.set_option(ldap.OPT_TIMEOUT, left)

    def bind(self, deadline: Deadline, dn: str, password: bytes) -> None:
        """Become somebody.

        :param password: must not be empty: a server would let anybody in, as nobody
            (RFC 4513 section 5.1.2).
        :raises ldap.LDAPError: if that is refused.
        """
        if not dn or not password:
            raise ValueError("a bind without DN or password proves nothing")
        self._limit(deadline)
        self._connection.simple_bind_s(dn, password)

    def accepts(self, deadline: Deadline, dn: str, password: bytes) -> bool:
        """Tell whether a password lets a user in; if so, the connection is that user's."""
        try:
            self.bind(deadline, dn, password)
        except _REFUSALS:
            return False
        return True

    def search(
        self,
        deadline: Deadline,
        base: str,
        scope: int,
        filter_text: str,
        attributes: Iterable[str],
        most: int = 0,
    ) -> list[Entry]:
        """Find entries.

        :param most: how many at most; 0 for as many as the server gives.
        :raises ldap.SIZELIMIT_EXCEEDED: if there are more.
        """
        self._limit(deadline)
        left = deadline.left()
        found = self._connection.search_ext_s(
            base, scope, filter_text, list(attributes), timeout=left, sizelimit=most
        )
        entries = _entries(found)
        # Servers need not heed the limit.
        if most and len(entries) > most:
            raise ldap.SIZELIMIT_EXCEEDED(_TOO_MANY)
        return entries

    def search_dns(self, deadline: Deadline, base: str, filter_text: str, most: int) -> list[str]:
        """Find the DNs of entries below ``base``, page by page (RFC 2696).

        :param most: after how many to stop.
        :raises ldap.SIZELIMIT_EXCEEDED: if there are more, or more than the server gives.
        """
        found: list[str] = []
        cookie: bytes | str = ""
        while True:
            self._limit(deadline)
            page = SimplePagedResultsControl(criticality=False, size=_PAGE, cookie=cookie)
            asked = self._connection.search_ext(
                *(base, ldap.SCOPE_SUBTREE, filter_text, list(NO_ATTRIBUTES)), serverctrls=[page]
            )
            _, data, _, controls = self._connection.result3(asked, timeout=deadline.left())
            found += (entry.dn for entry in _entries(data))
            if len(found) > most:
                raise ldap.SIZELIMIT_EXCEEDED(_TOO_MANY)
            cookies = [c.cookie for c in controls if c.controlType == page.controlType]
            if not any(cookies):
                return found
            cookie = cookies[0]

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(ldap.LDAPError):  # it may have ended
            self._connection.unbind_s()


def words_of(error: ldap.LDAPError | OSError | ValueError) -> str:
    """Say what has gone wrong, in one line for the log."""
    details = next((arg for arg in error.args if isinstance(arg, dict)), {})
    said = [str(details[key]) for key in ("desc", "info") if details.get(key)]
    if isinstance(error, OSError) and error.strerror:
        said = [error.strerror]
    words = without_quotes("; ".join(said) or type(error).__name__)
    return "".join(char if char.isprintable() else "?" for char in words)


def _entries(found: Sequence[tuple[Any, ...]]) -> list[Entry]:
    """Leave out references to other servers, which have no DN (RFC 4511 section 4.5.3)."""
    return [
        Entry(dn, {name.lower(): values for name, values in attributes.items()})
        for dn, attributes, *_ in found
        if dn is not None
    ]
