"""Several keyrings in order, and what becomes of their failures."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.auth.keys.keyrings import Keyrings, check_keyrings
from giftless.auth.realms import Realm
from giftless.base.ssh_greeting import ListedKey, Owned, WhichKeys, WhoseKey
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.interfaces import IKeyring, IVouching, KeyOwner, KnownKey, OfferedKey
from tests.support.run import CoroutineTestCase


@implementer(IKeyring)
class Ring:
    """Knows one key of one user, or fails.

    :ivar asked: what it was asked.
    """

    realm = "basic"

    def __init__(self, user: str, blob: bytes, error: Exception | None = None) -> None:
        self._known = KnownKey(KeyOwner(user, self.realm), f"ssh-ed25519 {blob.decode()}")
        self._blob = blob
        self._error = error
        self.asked: list[OfferedKey] = []

    async def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """See :meth:`giftless.interfaces.IKeyring.owner`."""
        self.asked.append(offered)
        if self._error is not None:
            raise self._error
        return self._known.owner if offered.blob == self._blob else None

    async def keys(self) -> Sequence[KnownKey]:
        """See :meth:`giftless.interfaces.IKeyring.keys`."""
        if self._error is not None:
            raise self._error
        return [self._known]


@implementer(IVouching)
class Vouching:
    """Vouches for the users of a realm."""

    def __init__(self, realm: Realm) -> None:
        self.realm = realm


class KeyringsTests(CoroutineTestCase):
    def owner(self, keyrings: Keyrings, blob: bytes) -> Owned:
        """Ask whose a key is."""
        return self.run_now(keyrings.owner(WhoseKey(blob, "git", "192.0.2.1")))

    def test_the_first_that_knows_a_key_decides(self) -> None:
        first, second = Ring("alice", b"one"), Ring("bob", b"two")
        keyrings = Keyrings([first, second, Ring("mallory", b"two"), Ring("mallory", b"one")])
        self.assertEqual(self.owner(keyrings, b"one"), Owned("alice", "basic"))
        self.assertEqual(self.owner(keyrings, b"two"), Owned("bob", "basic"))
        self.assertEqual(self.owner(keyrings, b"three"), Owned())
        self.assertEqual(first.asked[1], OfferedKey(b"two", "git", "192.0.2.1"))
        self.assertEqual(len(second.asked), 2)

    def test_a_user_of_no_name_is_nobody(self) -> None:
        self.assertEqual(self.owner(Keyrings([Ring("", b"one")]), b"one"), Owned())

    def test_no_keyring_is_asked_about_what_cannot_be_a_key(self) -> None:
        ring = Ring("alice", b"x" * 20_000)
        self.assertEqual(self.owner(Keyrings([ring]), b"x" * 20_000), Owned())
        self.assertEqual(ring.asked, [])

    def test_a_keyring_that_fails_does_not_hold_up_users_of_the_next(self) -> None:
        for error, words in (
            (ServiceUnavailable("the forge is away", 5), "the forge is away"),
            (ZeroDivisionError("secret"), "cannot be found out now"),
        ):
            keyrings = Keyrings([Ring("x", b"x", error), Ring("bob", b"two")])
            self.assertEqual(self.owner(keyrings, b"two"), Owned("bob", "basic"))
            owned = self.owner(keyrings, b"three")
            self.assertEqual((owned.user, owned.realm), ("", ""))
            self.assertIn(words, owned.problem)
            listed = self.run_now(keyrings.keys(WhichKeys()))
            self.assertEqual([key.user for key in listed.keys], ["bob"])
            self.assertIn(words, listed.problem)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_each_key_is_listed_once_for_the_user_that_it_opens_for(self) -> None:
        keyrings = Keyrings([Ring("alice", b"a"), Ring("bob", b"b"), Ring("mallory", b"a")])
        listed = self.run_now(keyrings.keys(WhichKeys()))
        self.assertEqual(
            listed.keys,
            (
                ListedKey("alice", "basic", "ssh-ed25519 a"),
                ListedKey("bob", "basic", "ssh-ed25519 b"),
            ),
        )
        self.assertEqual(listed.problem, "")


class RealmTests(CoroutineTestCase):
    def test_an_authenticator_must_have_the_realm_of_each_keyring(self) -> None:
        rings = [Ring("alice", b"a")]
        check_keyrings(rings, [object(), Vouching(Realm("basic"))])
        for authenticators, available in (
            ([], "none"),
            ([object()], "none"),
            ([Vouching(Realm("basic", "staff"))], "basic:staff"),
        ):
            error = self.assertRaises(ConfigError, check_keyrings, rings, authenticators)
            self.assertEqual(error.path, "ssh.keys.0.realm")
            self.assertIn(f"available: {available}", error.problem)
