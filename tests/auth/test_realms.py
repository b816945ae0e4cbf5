"""Who vouches for whom: principals, names as they are shown, and realms that collide."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.realms import MAX_SHOWN, Realm, check_realms, shown_name, token_part
from giftless.errors import ConfigError
from giftless.interfaces import IRealm, IVouching

_REALMS = st.builds(Realm, st.sampled_from(["basic", "jwt"]), st.text())
_PARTS = st.lists(st.text(st.characters()), min_size=1, max_size=3).map(tuple)


@implementer(IVouching)
class Voucher:
    """Vouches for people of a realm."""

    def __init__(self, realm: Realm) -> None:
        self.realm = realm


class PrincipalTests(SynchronousTestCase):
    def test_a_realm_provides_its_interface(self) -> None:
        verifyObject(IRealm, Realm("basic"))

    def test_a_principal_is_readable(self) -> None:
        for realm, parts, principal in (
            (Realm("basic"), ("alice",), "basic#alice"),
            (Realm("basic", "staff"), ("a b",), "basic:staff#a b"),
            (
                Realm("jwt", "https://sso.example.com/realms/acme"),
                ("sub:tess",),
                "jwt:https://sso.example.com/realms/acme#sub:tess",
            ),
            (Realm("jwt"), ("iss:https://a", "sub:\u00fc"), "jwt#iss:https://a#sub:\u00fc"),
            (Realm("github", "github.com"), ("id:583231",), "github:github.com#id:583231"),
        ):
            self.assertEqual(realm.principal(*parts), principal)

    @given(_REALMS, _PARTS, _REALMS, _PARTS)
    @example(Realm("jwt", "a#b"), ("c",), Realm("jwt", "a"), ("b", "c"))
    @example(Realm("jwt", "a"), ("b#c",), Realm("jwt", "a"), ("b", "c"))
    @example(Realm("jwt", "a%23b"), ("c",), Realm("jwt", "a#b"), ("c",))
    @example(Realm("basic"), ("a b",), Realm("basic"), ("a_b",))
    @example(Realm("basic"), ("\u00e9",), Realm("basic"), ("e\u0301",))
    @example(Realm("basic"), ("\x00",), Realm("basic"), ("%00",))
    @example(Realm("basic"), ("x" * 5000,), Realm("basic"), ("x" * 4999,))
    def test_two_people_have_two_principals(
        self, realm: Realm, parts: tuple[str, ...], other: Realm, others: tuple[str, ...]
    ) -> None:
        equal = realm.principal(*parts) == other.principal(*others)
        self.assertEqual(equal, (realm, parts) == (other, others))

    @given(_REALMS, _PARTS)
    @example(Realm("jwt"), ("\ud800\x00\x7f\x9f",))
    def test_a_principal_can_be_kept_in_every_database(
        self, realm: Realm, parts: tuple[str, ...]
    ) -> None:
        text = realm.principal(*parts)
        text.encode()
        self.assertNotIn("\x00", text)

    def test_tokens_without_a_name_are_told_apart(self) -> None:
        self.assertNotEqual(token_part("one"), token_part("two"))
        self.assertEqual(token_part("one"), token_part("one"))
        self.assertNotIn("secret", token_part("secret"))


class NameTests(SynchronousTestCase):
    def test_a_readable_name_is_shown_as_it_is(self) -> None:
        for name in ("alice", "a b", "\u00d6lga <o@example.com>", "x" * MAX_SHOWN, "\U0001f600"):
            self.assertEqual(shown_name(name), name)

    def test_what_would_move_a_cursor_is_replaced(self) -> None:
        self.assertEqual(shown_name("a\x1b[2J\u202eb\n"), "a\ufffd[2J\ufffdb\ufffd")

    def test_a_long_name_ends_with_an_ellipsis(self) -> None:
        self.assertEqual(shown_name("x" * 200), "x" * (MAX_SHOWN - 1) + "\u2026")

    @given(st.text(st.characters()))
    def test_every_name_is_one_short_line(self, name: str) -> None:
        self.assertTrue(shown_name(name).isprintable())
        self.assertLessEqual(len(shown_name(name)), MAX_SHOWN)


class CollisionTests(SynchronousTestCase):
    def check(self, *realms: Realm) -> None:
        parts: dict[str, Any] = {"storage": object(), "auth.0": object()}
        parts.update({f"auth.{i}": Voucher(realm) for i, realm in enumerate(realms, 1)})
        check_realms(parts)

    def test_two_realms_of_a_kind_need_a_name(self) -> None:
        error = self.assertRaises(ConfigError, self.check, Realm("basic"), Realm("basic"))
        self.assertEqual(error.path, "auth.2.realm")
        self.assertIn("auth.1", error.problem)

    def test_realms_with_a_name_may_be_the_same(self) -> None:
        """Whoever gives two of them one name says that their people are the same."""
        self.check(Realm("basic", "staff"), Realm("basic", "staff"))

    def test_different_realms_do_not_collide(self) -> None:
        self.check(Realm("basic"), Realm("jwt"), Realm("basic", "guests"))
