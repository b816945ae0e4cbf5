"""What users send has its place in filters and DNs, and cannot leave it."""

from __future__ import annotations

import re

import ldap.dn
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.ldap.templates import check_dn, dn_template, filter_template, is_name
from giftless.errors import ConfigError

#: What RFC 4515 section 3 lets a value consist of.
_VALUE = re.compile(r"(?:[^\\()*\x00]|\\[0-9a-fA-F]{2})*")

HOSTILE = (
    "*",
    "alice)(uid=*",
    "alice)(|(uid=*",
    "*)(memberOf=cn=admins,ou=groups,dc=example,dc=com",
    "alice)(userPassword=*",
    "\\2a",
    "\\",
    "a\x00b",
    "{user}",
    "{dn}",
    "al\u00efce",
)

HOSTILE_DNS = (
    "alice,ou=admins",
    "alice+cn=root",
    "alice\\",
    "alice\\,ou=admins",
    " alice ",
    "#alice",
    '"alice"',
    "alice;ou=admins",
    "a=b",
    "<alice>",
    "{user}",
)


def unescape(value: str) -> str:
    """Undo what RFC 4515 does to a value."""
    raw = re.sub(
        rb"\\([0-9a-fA-F]{2})", lambda code: bytes.fromhex(code[1].decode()), value.encode()
    )
    return raw.decode()


class FilterTests(SynchronousTestCase):
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    @example(HOSTILE[0])
    @example(HOSTILE[1])
    @example(HOSTILE[5])
    @example(HOSTILE[7])
    @example(HOSTILE[8])
    def test_a_value_stays_one_value_and_the_same(self, user: str) -> None:
        template = filter_template("user_filter", "(&(a=b)(uid={user}))", ("user",))
        filled = template.fill(user=user)
        self.assertTrue(filled.startswith("(&(a=b)(uid=") and filled.endswith("))"))
        value = filled.removeprefix("(&(a=b)(uid=").removesuffix("))")
        self.assertTrue(_VALUE.fullmatch(value))
        self.assertEqual(unescape(value), user)

    def test_hostile_values_are_written_as_rfc_4515_says(self) -> None:
        """The examples of its section 4."""
        template = filter_template("f", "(cn=*{user}*)", ("user",))
        self.assertEqual(template.fill(user="*"), "(cn=*\\2a*)")
        template = filter_template("f", "(o={user})", ("user",))
        self.assertEqual(
            template.fill(user="Parens R Us (for all your parenthetical needs)"),
            "(o=Parens R Us \\28for all your parenthetical needs\\29)",
        )
        self.assertEqual(template.fill(user="C:\\MyFile"), "(o=C:\\5cMyFile)")

    def test_a_value_that_looks_like_a_place_is_none(self) -> None:
        template = filter_template("f", "(|(member={dn})(memberUid={user}))", ("dn", "user"))
        filled = template.fill(dn="cn={user}", user="{dn}")
        self.assertEqual(filled, "(|(member=cn={user})(memberUid={dn}))")

    def test_what_is_no_filter_is_refused(self) -> None:
        for text in (
            "uid={user}",
            "(uid={user}",
            "((uid={user}))",
            "(uid={user})(cn=x)",
            "(&(uid={user})",
            "{user}",
            "(={user})",
        ):
            error = self.assertRaises(ConfigError, filter_template, "user_filter", text, ("user",))
            self.assertEqual(error.path, "user_filter")
            self.assertNotIn("uid", str(error))

    def test_other_places_are_refused(self) -> None:
        for text in ("(uid=x)", "(uid={login})", "(&(uid={user})(cn={dn}))", "(uid={})"):
            self.assertRaises(ConfigError, filter_template, "user_filter", text, ("user",))

    def test_the_rule_for_nested_groups_is_a_filter(self) -> None:
        text = "(member:1.2.840.113556.1.4.1941:={dn})"
        filled = filter_template("group_filter", text, ("dn",)).fill(dn="CN=Smith\\, J,DC=x")
        self.assertEqual(filled, "(member:1.2.840.113556.1.4.1941:=CN=Smith\\5c, J,DC=x)")


class DNTests(SynchronousTestCase):
    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
    @example(HOSTILE_DNS[0])
    @example(HOSTILE_DNS[1])
    @example(HOSTILE_DNS[4])
    @example(HOSTILE_DNS[5])
    def test_a_value_stays_one_value_of_one_part(self, user: str) -> None:
        template = dn_template("bind_template", "uid={user},ou=people,dc=example,dc=com")
        parts = ldap.dn.str2dn(template.fill(user=user))
        self.assertEqual(len(parts), 4)
        ((kind, value, _),) = parts[0]
        self.assertEqual((kind, value), ("uid", user))

    def test_hostile_values_stay_in_their_place(self) -> None:
        template = dn_template("bind_template", "uid={user},ou=people")
        for user in HOSTILE_DNS:
            parts = ldap.dn.str2dn(template.fill(user=user))
            self.assertEqual([part[:2] for part in parts[0]], [("uid", user)])
            self.assertEqual(len(parts), 2)

    def test_what_is_no_dn_is_refused(self) -> None:
        for text in ("{user}@example.com", "CORP\\{user}", "uid={user},", "uid={name},dc=x"):
            self.assertRaises(ConfigError, dn_template, "bind_template", text)
        for text in ("", "people", "ou=people,", "=x"):
            self.assertRaises(ConfigError, check_dn, "user_base", text)


class NameTests(SynchronousTestCase):
    def test_names_that_nobody_can_have_are_not_looked_for(self) -> None:
        for user in ("", " alice", "alice ", "a\x00", "a\nb", "\u200balice", "x" * 257, "\ud800"):
            self.assertFalse(is_name(user), repr(user))
        for user in ("alice", "O'Neil (x)*", "m\u00fcller", "alice@example.com", "a b", "{user}"):
            self.assertTrue(is_name(user), user)
