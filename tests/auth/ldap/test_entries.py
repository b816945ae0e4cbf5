"""What entries of a directory mean."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.ldap.entries import (
    Entry,
    PersonProblem,
    group_names,
    identifier,
    is_closed,
)

BASE = "ou=groups,dc=example,dc=com"


def entry(**attributes: bytes) -> Entry:
    """Return an entry with an attribute of one value each."""
    return Entry("cn=x", {name.lower(): [value] for name, value in attributes.items()})


class GroupTests(SynchronousTestCase):
    def test_groups_below_the_base_have_their_names(self) -> None:
        found = group_names(
            [
                "cn=developers,ou=groups,dc=example,dc=com",
                "CN=Site Admins,OU=Berlin,OU=Groups,DC=Example,DC=Com",
                "cn=a\\,b,ou=groups, dc=example , dc=com",
            ],
            BASE,
        )
        self.assertEqual(found, {"developers", "Site Admins", "a,b"})

    def test_groups_elsewhere_do_not_count(self) -> None:
        for dn in (
            "cn=admins,ou=others,dc=example,dc=com",
            "cn=admins,ou=groups,dc=example,dc=com,dc=evil",
            "cn=admins,ou=groups\\,dc=example\\,dc=com",
            "cn=admins\\,ou=groups,dc=example,dc=com",
            "cn=admins,ou=mygroups,dc=example,dc=com",
            BASE,
            "cn=admins",
            "",
            "no dn",
        ):
            self.assertEqual(group_names([dn], BASE), frozenset(), dn)

    def test_only_a_cn_alone_names_a_group(self) -> None:
        for dn in (f"ou=admins,{BASE}", f"cn=admins+ou=x,{BASE}", f"uid=admins,{BASE}"):
            self.assertEqual(group_names([dn], BASE), frozenset(), dn)

    @given(st.text())
    def test_no_text_is_too_strange(self, text: str) -> None:
        group_names([text.replace("\x00", ""), f"cn={text},{BASE}".replace("\x00", "")], BASE)


class IdentifierTests(SynchronousTestCase):
    def test_text_is_taken_as_it_is(self) -> None:
        self.assertEqual(identifier(entry(entryUUID=b"575c-5ec8"), "entryUUID"), "575c-5ec8")

    def test_a_guid_is_written_as_the_tools_of_active_directory_do(self) -> None:
        given = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
        found = identifier(entry(objectGUID=given.bytes_le), "objectGUID")
        self.assertEqual(found, str(given))

    def test_other_bytes_are_written_in_hexadecimal(self) -> None:
        self.assertEqual(identifier(entry(objectSid=b"\x01\x05\xff"), "objectSid"), "0105ff")
        self.assertEqual(identifier(entry(objectSid=b"\x01\x05"), "objectSid"), "0105")

    def test_nobody_is_without_one_or_has_two(self) -> None:
        several = Entry("cn=x", {"mail": [b"a", b"b"]})
        for found, name in ((several, "mail"), (entry(mail=b""), "mail"), (entry(), "mail")):
            self.assertRaises(PersonProblem, identifier, found, name)


class ClosedTests(SynchronousTestCase):
    def test_accounts_of_active_directory_are_closed_by_a_bit(self) -> None:
        for flags, closed in ((b"512", False), (b"514", True), (b"66050", True), (b"x", False)):
            self.assertEqual(is_closed(entry(userAccountControl=flags), 0), closed, flags)

    def test_accounts_expire_at_their_time(self) -> None:
        """132223104000000000 is 2020-01-01, 00:00 UTC."""
        found = entry(accountExpires=b"132223104000000000")
        self.assertFalse(is_closed(found, 1577836799))
        self.assertTrue(is_closed(found, 1577836800))
        for never in (b"0", b"9223372036854775807"):
            self.assertFalse(is_closed(entry(accountExpires=never), 2e9))

    def test_accounts_of_389_ds_are_closed_by_a_word(self) -> None:
        for word, closed in ((b"TRUE", True), (b"true", True), (b"FALSE", False)):
            self.assertEqual(is_closed(entry(nsAccountLock=word), 0), closed)
