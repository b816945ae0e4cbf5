"""Who the users of a directory are, and what their groups may do."""

from __future__ import annotations

import contextlib
from typing import Any

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain
from giftless.auth.ldap.authenticator import LDAPAuthenticator
from giftless.errors import IdentityUnavailable, Unauthorized
from giftless.interfaces import Credentials, Identity, Password, Vouched
from tests.auth.forges.support import level
from tests.auth.ldap.support import GRANTS, MANY, Inline, populated
from tests.auth.ldap.test_templates import HOSTILE, HOSTILE_DNS
from tests.contracts.authenticators import ChainedContract
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase
from tests.support.servers import shared
from tests.support.slapd import Slapd


class LDAPCase(CoroutineTestCase):
    """Tests that ask a server that all share."""

    def setUp(self) -> None:
        self.server = shared(populated)
        self.inline = Inline()
        self.addCleanup(lambda: self.run_now(self.inline.environment.services.stopService()))
        self.since = len(self.server.log())

    def build(self, **others: Any) -> LDAPAuthenticator:
        return self.inline.build(self.server.options(**{"grants": GRANTS, **others}))

    def ask(self, authenticator: Any, credential: Any, path: str = "org/repo") -> Identity | None:
        if isinstance(credential, tuple):
            credential = Password(*credential)
        found: Identity | None = self.run_now(
            authenticator.authenticate(Credentials((credential,)), repo_of(path))
        )
        return found

    def refused(self, authenticator: Any, *credential: str) -> Unauthorized:
        asked = authenticator.authenticate(Credentials((Password(*credential),)), repo_of())
        error: Unauthorized = self.assert_fails(Unauthorized, asked)
        return error

    def log(self) -> str:
        """What the server has logged since the test began."""
        return self.server.log()[self.since :]


class ContractTests(ChainedContract, LDAPCase):
    def setUp(self) -> None:
        LDAPCase.setUp(self)
        ChainedContract.setUp(self)

    def make_authenticator(self) -> LDAPAuthenticator:
        return self.build()

    def accepted(self) -> list[Credentials]:
        return [
            Credentials((Password("alice", "alice's secret"),)),
            Credentials((Password("alice", "wrong"), Password("bob", "bob's secret"))),
            Credentials((Vouched("alice", "ldap"),)),
        ]


class WhoTests(LDAPCase):
    def setUp(self) -> None:
        super().setUp()
        self.ldap = self.build()

    def test_users_may_do_what_their_groups_may(self) -> None:
        for user, password, path, expected in (
            ("alice", "alice's secret", "org/repo", "write"),
            ("alice", "alice's secret", "other/repo", "nothing"),
            ("alice", "alice's secret", "public/repo", "read"),
            ("o'neil (x)*", "odd", "org/repo", "write"),
            ("bob", "bob's secret", "org/repo", "nothing"),
            ("bob", "bob's secret", "public/repo", "read"),
        ):
            identity = self.ask(self.ldap, (user, password), path)
            assert identity is not None
            self.assertEqual((identity.name, level(identity)), (user, expected))
            self.assertFalse(identity.anonymous)

    def test_a_group_elsewhere_gives_nothing_whatever_it_is_called(self) -> None:
        identity = self.ask(self.ldap, ("mallory", "mallory's secret"))
        assert identity is not None
        self.assertEqual(level(identity), "nothing")

    def test_a_user_is_one_however_the_name_is_written(self) -> None:
        """Directories do not tell upper from lower case."""
        first = self.ask(self.ldap, ("alice", "alice's secret"))
        second = self.ask(self.ldap, ("ALICE", "alice's secret"))
        assert first is not None and second is not None
        self.assertEqual((first.name, first.principal), (second.name, second.principal))
        self.assertRegex(first.principal, r"^ldap#[0-9a-f-]{36}$")

    def test_a_wrong_password_is_refused(self) -> None:
        for user in ("alice", "bob", "o'neil (x)*"):
            for password in ("wrong", "alice's secret ", "*", "\x00", "\udcff"):
                self.refused(self.ldap, user, password)

    def test_an_empty_password_lets_nobody_in(self) -> None:
        """A server takes it for the wish to be nobody, and agrees (RFC 4513 section 5.1.2)."""
        for user in ("alice", "dora", "mallory", ""):
            self.assertIsNone(self.ask(self.ldap, (user, "")))
        # The line "UNBIND" of an earlier test's connection may be written only now.
        self.assertNotIn("BIND dn=", self.log())

    def test_who_has_no_password_is_refused(self) -> None:
        self.refused(self.ldap, "dora", "x")

    def test_a_closed_account_is_refused(self) -> None:
        self.refused(self.ldap, "carol", "carol's secret")
        vouched = Credentials((Vouched("carol", "ldap"),))
        self.assert_fails(Unauthorized, self.ldap.authenticate(vouched, repo_of()))

    def test_who_is_not_in_the_directory_is_passed_on(self) -> None:
        for user in ("nobody", "_jwt", "reader", "people"):
            self.assertIsNone(self.ask(self.ldap, (user, "x")))

    def test_nobody_gets_into_a_filter_by_a_name(self) -> None:
        for user in (*HOSTILE, *HOSTILE_DNS):
            self.assertIsNone(self.ask(self.ldap, (user, "alice's secret")), user)

    def test_a_password_is_not_shown_to_find_out_that_there_is_no_user(self) -> None:
        self.ask(self.ldap, ("nobody", "x"))
        self.assertRegex(self.log(), r'BIND dn="cn=[0-9a-f]{32},ou=people')

    def test_nobody_can_tell_who_is_in_the_directory(self) -> None:
        chain = AuthChain([self.ldap, AnonymousAuthenticator("read")])
        self.assertEqual(
            self.refused(AuthChain([self.ldap]), "alice", "x").message,
            self.refused(AuthChain([self.ldap]), "nobody", "x").message,
        )
        self.refused(chain, "alice", "x")

    def test_two_entries_of_one_name_are_nobody(self) -> None:
        asked = self.ldap.authenticate(Credentials((Password("twin", "twin's secret"),)), repo_of())
        self.assert_fails(IdentityUnavailable, asked)
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class VouchedTests(LDAPCase):
    def test_who_comes_by_a_key_is_the_one_who_comes_by_the_password(self) -> None:
        ldap = self.build(realm="staff")
        by_key = self.ask(ldap, Vouched("alice", "ldap:staff"))
        by_password = self.ask(ldap, ("alice", "alice's secret"))
        assert by_key is not None and by_password is not None
        self.assertEqual(by_key.principal, by_password.principal)
        self.assertEqual((level(by_key), level(by_password)), ("write", "write"))

    def test_vouched_users_of_other_realms_are_passed_over(self) -> None:
        self.assertIsNone(self.ask(self.build(), Vouched("alice", "ldap:staff")))

    def test_vouched_users_who_are_not_there_are_refused(self) -> None:
        for user in ("nobody", "", "*", "alice)(uid=*", "a\x00"):
            asked = self.build().authenticate(Credentials((Vouched(user, "ldap"),)), repo_of())
            self.assert_fails(Unauthorized, asked)


class MemoryTests(LDAPCase):
    def test_a_right_password_is_asked_about_once_in_a_while(self) -> None:
        ldap = self.build(cache_ttl="2min")
        for _ in range(5):
            self.ask(ldap, ("alice", "alice's secret"))
        self.assertEqual(
            (self.inline.lookups["ldap", "miss"], self.inline.lookups["ldap", "hit"]), (1, 4)
        )
        self.inline.clock.advance(121)
        self.ask(ldap, ("alice", "alice's secret"))
        self.assertEqual(self.inline.lookups["ldap", "miss"], 2)

    def test_a_wrong_password_does_not_lock_the_account(self) -> None:
        """A build's jobs all send it: the directory hears of it once a minute."""
        ldap = self.build()
        for _ in range(5):
            self.refused(ldap, "alice", "wrong")
        binds = self.log().count('BIND dn="uid=alice,ou=people,dc=example,dc=com" method')
        self.assertEqual(binds, 1)
        self.inline.clock.advance(61)
        self.refused(ldap, "alice", "wrong")
        self.assertEqual(self.inline.lookups["ldap", "miss"], 2)

    def test_a_change_of_groups_counts_when_the_answer_is_forgotten(self) -> None:
        ldap = self.build()
        edna = self.server.add_user("edna", "edna's secret")
        before = self.ask(ldap, ("edna", "edna's secret"))
        group = self.server.add_group("ednas", edna)
        self.inline.clock.advance(300)
        ldap_later = self.build(grants={"ednas": {"org/repo": "read"}})
        after = self.ask(ldap_later, ("edna", "edna's secret"))
        assert before is not None and after is not None
        self.assertEqual((level(before), level(after)), ("nothing", "read"))
        self.server.change(f"dn: {group}\nchangetype: delete\n", add=False)
        self.inline.clock.advance(300)
        gone = self.ask(ldap_later, ("edna", "edna's secret"))
        assert gone is not None
        self.assertEqual(level(gone), "nothing")

    def test_connections_are_kept(self) -> None:
        ldap = self.build()
        for number in range(5):
            self.ask(ldap, (f"nobody{number}", "x"))
        self.assertEqual(self.log().count("ACCEPT"), 2)


class GroupTests(LDAPCase):
    """Ways to find somebody's groups."""

    def level(self, user: str = "alice", **options: Any) -> str:
        identity = self.ask(self.build(**options), (user, f"{user}'s secret"))
        assert identity is not None
        return level(identity)

    def test_groups_are_found_by_their_members(self) -> None:
        filters = ("(member={dn})", "(&(objectClass=groupOfNames)(member={dn}))")
        for text in filters:
            self.assertEqual(self.level(group_filter=text), "write")
            self.assertEqual(self.level("bob", group_filter=text), "nothing")

    def test_a_dn_stays_one_value_of_the_filter(self) -> None:
        identity = self.ask(self.build(group_filter="(member={dn})"), ("o'neil (x)*", "odd"))
        assert identity is not None
        self.assertEqual(level(identity), "write")

    def test_groups_of_unix_are_found_by_names(self) -> None:
        """Their members compare upper and lower case, so it is the entry's name that counts."""
        self.server.change(
            f"dn: cn=unix,{Slapd.GROUPS}\nobjectClass: posixGroup\ncn: unix\ngidNumber: 7\n"
            "memberUid: alice\n"
        )
        ldap = self.build(
            group_filter="(&(objectClass=posixGroup)(memberUid={user}))",
            grants={"unix": {"org/repo": "read"}},
        )
        for user in ("alice", "ALICE"):
            identity = self.ask(ldap, (user, "alice's secret"))
            assert identity is not None
            self.assertEqual(level(identity), "read")

    def test_a_rule_that_the_server_does_not_know_finds_no_groups(self) -> None:
        """Active Directory knows this one, for nested groups; OpenLDAP does not."""
        text = "(member:1.2.840.113556.1.4.1941:={dn})"
        self.assertEqual(self.level(group_filter=text), "nothing")

    def test_without_a_place_of_groups_nobody_is_in_any(self) -> None:
        grants = {"developers": {"**": "admin"}, "*": {"org/*": "read"}}
        self.assertEqual(self.level(group_base="", grants=grants), "read")

    def test_a_person_in_a_thousand_groups_is_in_all_of_them(self) -> None:
        frank = self.server.add_user("frank", "frank's secret")
        entries = [
            f"dn: cn=g{number},{Slapd.GROUPS}\nobjectClass: groupOfNames\nmember: {frank}\n"
            for number in range(MANY)
        ]
        self.server.change("\n".join(entries))
        grants = {f"g{number}": {f"org/r{number}": "write"} for number in range(MANY)}
        for options in ({}, {"group_filter": "(member={dn})"}):
            ldap = self.build(grants=grants, **options)
            for number in (0, 499, 500, MANY - 1):
                identity = self.ask(ldap, ("frank", "frank's secret"), f"org/r{number}")
                assert identity is not None
                self.assertEqual(level(identity), "write", (options, number))

    def test_a_group_of_a_thousand_people_has_each_of_them(self) -> None:
        names = [f"cn=p{number},{Slapd.PEOPLE}" for number in range(MANY - 1)]
        gina = self.server.add_user("gina", "gina's secret")
        self.server.add_group("crowd", *names, gina)
        grants = {"crowd": {"org/repo": "write"}}
        for options in ({}, {"group_filter": "(member={dn})"}):
            self.assertEqual(self.level("gina", grants=grants, **options), "write")


class TemplateTests(LDAPCase):
    """Users whose DN is known: no account searches."""

    def setUp(self) -> None:
        super().setUp()
        self.options = {
            "bind_template": f"uid={{user}},{Slapd.PEOPLE}",
            "bind_dn": "",
            "password": "",
            "user_base": "",
        }

    def test_a_user_reads_the_own_entry(self) -> None:
        ldap = self.build(**self.options)
        identity = self.ask(ldap, ("alice", "alice's secret"))
        assert identity is not None
        self.assertEqual((identity.name, level(identity)), ("alice", "write"))
        by_search = self.ask(self.build(), ("alice", "alice's secret"))
        assert by_search is not None
        self.assertEqual(identity.principal, by_search.principal)

    def test_a_name_cannot_leave_its_place(self) -> None:
        ldap = self.build(**self.options)
        for user in (f"alice,{Slapd.PEOPLE}", *HOSTILE_DNS, *HOSTILE):
            asked = ldap.authenticate(Credentials((Password(user, "alice's secret"),)), repo_of())
            with contextlib.suppress(Unauthorized):
                self.assertIsNone(self.run_now(asked))

    def test_wrong_passwords_and_unknown_users_are_refused(self) -> None:
        ldap = self.build(**self.options)
        self.refused(ldap, "alice", "wrong")
        self.refused(ldap, "nobody", "x")
        self.assertIsNone(self.ask(ldap, ("alice", "")))
        self.refused(ldap, "carol", "carol's secret")

    def test_nobody_can_be_looked_up_who_comes_by_a_key(self) -> None:
        vouched = Credentials((Vouched("alice", "ldap"),))
        asked = self.build(**self.options).authenticate(vouched, repo_of())
        self.assert_fails(Unauthorized, asked)
