"""A directory with some people in it, and what asks it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.auth.ldap.authenticator import LDAPAuthenticator
from giftless.auth.ldap.factory import LDAPFactory
from giftless.base.schema import convert
from giftless.interfaces import Environment
from tests.support.blocking import InlineBlocking
from tests.support.making import environment
from tests.support.slapd import Slapd, slapd

GRANTS = {
    "developers": {"org/*": "write"},
    "admins": {"**": "admin"},
    "*": {"public/**": "read"},
}

#: How many groups somebody is in, and how many people one group has.
MANY = 1000


@contextmanager
def populated(directory: Path) -> Iterator[Slapd]:
    """Run a server with people and groups in its directory."""
    with slapd(directory) as server:
        alice = server.add_user("alice", "alice's secret")
        server.add_user("bob", "bob's secret")
        server.add_user("carol", "carol's secret", "userAccountControl: 514")
        server.add_user("dora")
        odd = server.add_user("o'neil (x)*", "odd", rdn="cn=O'Neil\\, (x)*")
        mallory = server.add_user("mallory", "mallory's secret")
        twin = ("uid: twin", "userPassword: twin's secret")
        server.add_user("twin1", "", *twin)
        server.add_user("twin2", "", *twin)
        server.add_group("developers", alice, odd)
        server.add_group("admins", mallory, base="ou=others,dc=example,dc=com")
        server.add_group("admins\\,ou\\=groups", mallory, base="ou=others,dc=example,dc=com")
        yield server


def serve(case: Any, **options: Any) -> Slapd:
    """Run a server with nobody in its directory until a test ends.

    :param case: the test.
    :param options: see :func:`tests.support.slapd.slapd`.
    """
    stack = ExitStack()
    case.addCleanup(stack.close)
    # Not where the test works: the name of a socket may have no more than 107 bytes.
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="giftless-test-"))
    return stack.enter_context(slapd(Path(directory), **options))


def build(options: dict[str, Any], lent: Environment) -> LDAPAuthenticator:
    """Build an authenticator of a section."""
    section = {key: value for key, value in options.items() if key != "type"}
    factory = LDAPFactory()
    return factory.build(convert(section, factory.Options, "auth.0"), lent)


class Inline:
    """What asks a directory at once, in the thread of a test.

    :ivar lookups: what was found in the cache, and what not.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.blocking = InlineBlocking()
        self.lookups: Counter[tuple[str, str]] = Counter()
        self.environment = environment(
            reactor=self.clock, blocking=self.blocking, count_lookup=self._count
        )

    def _count(self, *lookup: str) -> None:
        self.lookups[lookup[0], lookup[1]] += 1

    def build(self, options: dict[str, Any]) -> LDAPAuthenticator:
        """Build an authenticator."""
        return build(options, self.environment)
