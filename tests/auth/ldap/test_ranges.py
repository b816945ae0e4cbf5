"""Groups that come in parts."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.errors import IdentityUnavailable
from giftless.interfaces import Credentials, Identity, Password
from giftless.lfs.objects import Permission
from tests.auth.ldap.stand_in import USER, Parts, serving
from tests.auth.ldap.support import Inline
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase

GRANTS = {"last": {"org/repo": "write"}}


def dns(count: int) -> list[str]:
    """Return the DNs of so many groups, the last of which gives something."""
    return [*(f"cn=g{number},ou=groups,dc=corp" for number in range(count - 1)), LAST]


LAST = "cn=last,ou=groups,dc=corp"


class _Astray(Parts):
    """Gives the same part for whatever it is asked for.

    :param again: the name and the values of that part.
    """

    def __init__(self, again: tuple[str, Sequence[str]]) -> None:
        super().__init__(dns(1501))
        self.again = dict([again])

    def part(self, first: int) -> dict[str, Sequence[str]]:
        return self.again if first else super().part(first)


class RangeTests(CoroutineTestCase):
    def log_in(self, server: Parts, **options: str) -> Identity | None:
        """Log in as the one user whom a server knows."""
        inline = Inline()
        section = {
            "urls": [server.url],
            "user_base": "ou=people,dc=corp",
            "group_base": "ou=groups,dc=corp",
            "grants": GRANTS,
            **options,
        }
        try:
            shown = Credentials((Password("frank", "secret"),))
            return self.run_now(inline.build(section).authenticate(shown, repo_of()))
        finally:
            self.run_now(inline.environment.services.stopService())

    def can_write(self, identity: Identity | None) -> bool:
        assert identity is not None
        return identity.grants.allows(Permission.WRITE, None)

    def test_all_parts_are_read(self) -> None:
        for count, asked in ((1, []), (1500, []), (1501, [1500]), (4600, [1500, 3000, 4500])):
            with serving(Parts(dns(count))) as server:
                self.assertTrue(self.can_write(self.log_in(server)), count)
                self.assertEqual(server.asked, asked)

    def test_users_read_their_own(self) -> None:
        options = {"user_base": "", "bind_template": USER.replace("frank", "{user}")}
        with serving(Parts(dns(1501))) as server:
            self.assertTrue(self.can_write(self.log_in(server, **options)))

    def test_nobody_is_let_in_with_fewer_groups(self) -> None:
        """With parts that repeat themselves, leave something out, or are none."""
        for again in (
            ("memberOf;range=0-1499", dns(1501)[:1500]),
            ("memberOf;range=1501-*", [LAST]),
            ("memberOf;range=1500-*", []),
            ("memberOf", [LAST]),
            ("member;range=1500-*", [LAST]),
        ):
            with serving(_Astray(again)) as server:
                error = self.assertRaises(IdentityUnavailable, self.log_in, server)
                self.assertIn("about you", str(error))

    def test_more_groups_than_anybody_has_are_not_read(self) -> None:
        with serving(Parts(dns(30_000))) as server:
            self.assertRaises(IdentityUnavailable, self.log_in, server)
            self.assertEqual(len(server.asked), 6)
