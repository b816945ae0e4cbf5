"""What every keyring promises (``giftless.interfaces.IKeyring``)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from giftless.errors import LFSError
from giftless.interfaces import IKeyring, KeyOwner, KnownKey, OfferedKey
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object


class KeyringContract(_Mixin):
    """Tests of an ``IKeyring``."""

    def make_keyring(self) -> Any:
        """Return the keyring."""
        raise NotImplementedError

    def owned(self) -> Sequence[tuple[OfferedKey, str]]:
        """Return keys, and the user that each belongs to."""
        raise NotImplementedError

    def unknown(self) -> Sequence[OfferedKey]:
        """Return keys that are nobody's."""
        raise NotImplementedError

    def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """Ask whose a key is."""
        owner: KeyOwner | None = self.run_now(self.keyring.owner(offered))
        return owner

    def setUp(self) -> None:
        self.keyring = self.make_keyring()

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IKeyring, self.keyring)
        self.assertTrue(self.keyring.realm)

    def test_each_key_belongs_to_its_user(self) -> None:
        for offered, user in (*self.owned(), *self.owned()):
            self.assertEqual(self.owner(offered), KeyOwner(user, self.keyring.realm))

    def test_a_key_of_nobody_is_left_to_others(self) -> None:
        for offered in self.unknown():
            self.assertIsNone(self.owner(offered))

    def test_a_key_that_differs_in_one_byte_is_nobodys(self) -> None:
        for offered, _ in self.owned():
            for place in range(0, len(offered.blob), 7):
                blob = bytearray(offered.blob)
                blob[place] ^= 1
                self.assertIsNone(self.owner(OfferedKey(bytes(blob), offered.login)), place)
            for other in (offered.blob[:-1], offered.blob + b"\0", b""):
                self.assertIsNone(self.owner(OfferedKey(other, offered.login)))

    def test_what_it_lists_it_knows(self) -> None:
        listed: Sequence[KnownKey] = self.run_now(self.keyring.keys())
        for known in listed:
            kind, encoded = known.line.split(" ")
            blob = base64.b64decode(encoded, validate=True)
            self.assertEqual(blob[4 : 4 + len(kind)], kind.encode())
            self.assertEqual(self.owner(OfferedKey(blob, "git")), known.owner)

    # Every test case that takes this mixin runs it; no example is kept.
    @settings(suppress_health_check=[HealthCheck.differing_executors], max_examples=25)
    @given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
    def test_whatever_is_offered_is_answered(self, blob: bytes, login: str, address: str) -> None:
        """With nobody, or with an error for the client."""
        try:
            self.assertIsNone(self.owner(OfferedKey(blob, login, address)))
        except LFSError as error:
            self.assertTrue(error.message)
