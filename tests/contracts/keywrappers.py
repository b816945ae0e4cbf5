"""What everything promises that wraps data keys (``giftless.interfaces.IKeyWrapper``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.errors import LFSError, ObjectDamaged, ServiceUnavailable
from giftless.interfaces import IKeyWrapper, WrappedKey
from giftless.storage.coded.head import MAX_WRAPPED_KEY
from giftless.storage.encrypted.sealing import is_key_id

if TYPE_CHECKING:
    _Mixin = TestCase
else:
    _Mixin = object

#: What the wrapped keys belong to.
CONTEXT = b"giftless 1 " + b"ab" * 32


class KeyWrapperContract(_Mixin):
    """Tests of an ``IKeyWrapper``."""

    async def make_wrapper(self) -> Any:
        """Return what wraps."""
        raise NotImplementedError

    async def make_new_primary(self) -> None:
        """Let another key be the primary one from now on; the old one stays."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        self.wrapper = await self.make_wrapper()
        self.data_key = os.urandom(32)

    async def wrap(self) -> WrappedKey:
        """Wrap the data key."""
        key: WrappedKey = await self.wrapper.wrap(self.data_key, CONTEXT)
        return key

    async def unwrap(self, key: WrappedKey, context: bytes = CONTEXT) -> bytes:
        """Unwrap a key."""
        data_key: bytes = await self.wrapper.unwrap(key, context)
        return data_key

    async def refuse(
        self, kind: type[LFSError], key: WrappedKey, context: bytes = CONTEXT
    ) -> LFSError:
        """Return the error with which a key is not unwrapped."""
        try:
            await self.unwrap(key, context)
        except kind as error:
            return error
        self.fail(f"{kind.__name__} was not raised")

    async def test_it_provides_its_interface(self) -> None:
        verifyObject(IKeyWrapper, self.wrapper)

    async def test_what_is_wrapped_is_unwrapped(self) -> None:
        key = await self.wrap()
        self.assertTrue(is_key_id(key.key_id))
        self.assertLessEqual(len(key.wrapped), MAX_WRAPPED_KEY)
        self.assertNotIn(self.data_key, key.wrapped)
        self.assertEqual(await self.unwrap(key), self.data_key)
        self.assertNotEqual((await self.wrap()).wrapped, key.wrapped)

    async def test_the_primary_key_wraps(self) -> None:
        primary = await self.wrapper.primary()
        self.assertEqual((await self.wrap()).key_id, primary)
        self.assertIn(primary, await self.wrapper.ids())

    async def test_a_new_primary_key_wraps_from_then_on(self) -> None:
        old = await self.wrap()
        await self.make_new_primary()
        new = await self.wrap()
        self.assertNotEqual(new.key_id, old.key_id)
        self.assertEqual(await self.wrapper.primary(), new.key_id)
        self.assertEqual(list(await self.wrapper.ids())[-2:], [old.key_id, new.key_id])
        self.assertEqual(await self.unwrap(old), self.data_key)
        self.assertEqual(await self.unwrap(new), self.data_key)

    async def test_another_context_is_refused(self) -> None:
        key = await self.wrap()
        for context in (b"", CONTEXT + b"\0", CONTEXT[:-1] + b"c"):
            await self.refuse(ObjectDamaged, key, context)

    async def test_whatever_was_changed_is_refused(self) -> None:
        key = await self.wrap()
        for place in range(len(key.wrapped)):
            wrapped = bytearray(key.wrapped)
            wrapped[place] ^= 1 << place % 8
            error = await self.refuse(LFSError, WrappedKey(key.key_id, bytes(wrapped)))
            self.assertNotIn(self.data_key.hex(), error.message)
        for other in (b"", key.wrapped[:-1], key.wrapped[:5], key.wrapped + b"\0"):
            await self.refuse(LFSError, WrappedKey(key.key_id, other))

    async def test_a_key_that_is_not_there_is_named(self) -> None:
        key = WrappedKey("lost-key", (await self.wrap()).wrapped)
        error = await self.refuse(ServiceUnavailable, key)
        self.assertIn("lost-key", error.message)

    async def test_a_key_of_another_id_is_refused(self) -> None:
        key = await self.wrap()
        await self.make_new_primary()
        other = await self.wrapper.primary()
        await self.refuse(LFSError, WrappedKey(other, key.wrapped))

    async def test_data_keys_are_in_no_repr(self) -> None:
        key = await self.wrap()
        for thing in (self.wrapper, key):
            for form in (repr(self.data_key), self.data_key.hex()):
                self.assertNotIn(form, repr(thing))
