"""What everything promises that wraps data keys (``giftless.interfaces.IKeyWrapper``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from giftless.errors import LFSError, ObjectDamaged, ServiceUnavailable
from giftless.interfaces import IKeyWrapper, WrappedKey
from giftless.storage.coded.head import MAX_WRAPPED_KEY
from giftless.storage.encrypted.sealing import is_key_id
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object

#: What the wrapped keys belong to.
CONTEXT = b"giftless 1 " + b"ab" * 32


class KeyWrapperContract(_Mixin):
    """Tests of an ``IKeyWrapper``."""

    def make_wrapper(self) -> Any:
        """Return what wraps."""
        raise NotImplementedError

    def make_new_primary(self) -> None:
        """Let another key be the primary one from now on; the old one stays."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.wrapper = self.make_wrapper()
        self.data_key = os.urandom(32)

    def wrap(self) -> WrappedKey:
        """Wrap the data key."""
        key: WrappedKey = self.run_now(self.wrapper.wrap(self.data_key, CONTEXT))
        return key

    def unwrap(self, key: WrappedKey, context: bytes = CONTEXT) -> bytes:
        """Unwrap a key."""
        data_key: bytes = self.run_now(self.wrapper.unwrap(key, context))
        return data_key

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IKeyWrapper, self.wrapper)

    def test_what_is_wrapped_is_unwrapped(self) -> None:
        key = self.wrap()
        self.assertTrue(is_key_id(key.key_id))
        self.assertLessEqual(len(key.wrapped), MAX_WRAPPED_KEY)
        self.assertNotIn(self.data_key, key.wrapped)
        self.assertEqual(self.unwrap(key), self.data_key)
        self.assertNotEqual(self.wrap().wrapped, key.wrapped)

    def test_the_primary_key_wraps(self) -> None:
        primary = self.run_now(self.wrapper.primary())
        self.assertEqual(self.wrap().key_id, primary)
        self.assertIn(primary, self.run_now(self.wrapper.ids()))

    def test_a_new_primary_key_wraps_from_then_on(self) -> None:
        old = self.wrap()
        self.make_new_primary()
        new = self.wrap()
        self.assertNotEqual(new.key_id, old.key_id)
        self.assertEqual(self.run_now(self.wrapper.primary()), new.key_id)
        self.assertEqual(list(self.run_now(self.wrapper.ids()))[-2:], [old.key_id, new.key_id])
        self.assertEqual(self.unwrap(old), self.data_key)
        self.assertEqual(self.unwrap(new), self.data_key)

    def test_another_context_is_refused(self) -> None:
        key = self.wrap()
        for context in (b"", CONTEXT + b"\0", CONTEXT[:-1] + b"c"):
            self.assertRaises(ObjectDamaged, self.unwrap, key, context)

    def test_whatever_was_changed_is_refused(self) -> None:
        key = self.wrap()
        for place in range(len(key.wrapped)):
            wrapped = bytearray(key.wrapped)
            wrapped[place] ^= 1 << place % 8
            error = self.assertRaises(LFSError, self.unwrap, WrappedKey(key.key_id, bytes(wrapped)))
            self.assertNotIn(self.data_key.hex(), error.message)
        for other in (b"", key.wrapped[:-1], key.wrapped[:5], key.wrapped + b"\0"):
            self.assertRaises(LFSError, self.unwrap, WrappedKey(key.key_id, other))

    def test_a_key_that_is_not_there_is_named(self) -> None:
        key = WrappedKey("lost-key", self.wrap().wrapped)
        error = self.assertRaises(ServiceUnavailable, self.unwrap, key)
        self.assertIn("lost-key", error.message)

    def test_a_key_of_another_id_is_refused(self) -> None:
        key = self.wrap()
        self.make_new_primary()
        other = self.run_now(self.wrapper.primary())
        self.assertRaises(LFSError, self.unwrap, WrappedKey(other, key.wrapped))

    def test_data_keys_are_in_no_repr(self) -> None:
        key = self.wrap()
        for thing in (self.wrapper, key):
            for form in (repr(self.data_key), self.data_key.hex()):
                self.assertNotIn(form, repr(thing))
