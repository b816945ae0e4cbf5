"""Heads of sealed objects, and whose content they are good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import LFSError, ObjectDamaged, StorageUnavailable
from giftless.interfaces import IKeyWrapper, WrappedKey
from giftless.lfs.objects import Oid
from giftless.storage.coded.head import HEAD_SIZE, Head, parse_head
from giftless.storage.coded.sealing import ISealing
from giftless.storage.encrypted.keyfile import KeySet, new_line
from giftless.storage.encrypted.sealing import Sealing
from tests.support.run import CoroutineTestCase

OID = Oid("ab" * 32)
OTHER = Oid("cd" * 32)
DATA = b"a small object"
PLAIN = Head(compressed=False, sealed=True, size=len(DATA))


@implementer(IKeyWrapper)
class Keys:
    """Wraps with a key set."""

    def __init__(self, *ids: str) -> None:
        self.lines = {key_id: new_line(key_id) for key_id in ids}
        self.use(*ids)

    def use(self, *ids: str) -> None:
        """Have these keys from now on."""
        self.set = KeySet.parse(b"".join(self.lines[key_id] for key_id in ids))

    async def primary(self) -> str:
        return self.set.primary

    async def ids(self) -> Sequence[str]:
        return self.set.ids

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        return self.set.wrap(data_key, context)

    async def unwrap(self, key: WrappedKey, context: bytes) -> bytes:
        return self.set.unwrap(key, context)


class SealingTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.keys: Any = Keys("old", "new")
        self.keys.use("old")
        self.sealing = Sealing(self.keys)

    def seal(self, oid: Oid = OID, head: Head = PLAIN) -> tuple[Head, bytes]:
        """Return a head and a sealed content."""
        whole, sealer = self.run_now(self.sealing.seal(oid, head))
        return whole, b"".join(sealer.update([DATA]) + sealer.finish())

    def unseal(self, head: Head, content: bytes, oid: Oid = OID) -> bytes:
        """Open a content."""
        size = self.sealing.prefix_size
        opener = self.run_now(self.sealing.unseal(oid, head, content[:size], len(content)))
        (segment,) = opener.segments(0, len(DATA))
        return opener.open(segment, content[segment.start : segment.end])

    def test_it_provides_its_interface(self) -> None:
        verifyObject(ISealing, self.sealing)

    def test_what_is_sealed_is_opened(self) -> None:
        for head in (PLAIN, replace(PLAIN, size=None), Head(True, True, 10_000)):
            whole, content = self.seal(head=head)
            self.assertEqual(whole.key_id, "old")
            read = parse_head(whole.encode(OID), OID)
            assert read is not None
            self.assertEqual(self.unseal(read, content), DATA)

    def test_each_object_has_a_key_of_its_own(self) -> None:
        (one, first), (two, second) = self.seal(), self.seal()
        self.assertNotEqual(one.wrapped_key, two.wrapped_key)
        self.assertRaises(ObjectDamaged, self.unseal, one, second)
        self.assertRaises(ObjectDamaged, self.unseal, two, first)

    def test_every_flipped_bit_of_a_head_is_seen(self) -> None:
        whole, content = self.seal()
        stored = whole.encode(OID)
        for bit in range(8 * HEAD_SIZE):
            changed = bytearray(stored)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                head = parse_head(bytes(changed), OID)
                assert head is not None, "it is not taken for plaintext"
                self.unseal(head, content)
            except (LFSError, KeyError):
                continue
            self.fail(f"bit {bit} was flipped, and nobody has seen it")

    def test_what_a_head_says_cannot_be_changed(self) -> None:
        whole, content = self.seal()
        for changed in (
            replace(whole, compressed=True),
            replace(whole, size=len(DATA) + 1),
            replace(whole, size=None),
            replace(whole, key_id="new"),
            replace(whole, mac=bytes(16)),
        ):
            self.keys.use("old", "new")
            self.assertRaises(ObjectDamaged, self.unseal, changed, content)

    def test_a_head_of_another_object_is_refused(self) -> None:
        whole, content = self.seal()
        self.assertRaises(ObjectDamaged, self.unseal, whole, content, OTHER)
        foreign, _ = self.seal(OTHER)
        self.assertRaises(ObjectDamaged, self.unseal, foreign, content)

    def test_a_content_of_another_length_is_refused(self) -> None:
        """At once: nobody is told a wrong size, or begins to send something."""
        whole, content = self.seal()
        self.assertRaises(ObjectDamaged, self.unseal, whole, content + b"x")
        self.assertRaises(ObjectDamaged, self.unseal, whole, content[:-1])

    def test_a_key_can_be_wrapped_anew(self) -> None:
        whole, content = self.seal()
        self.keys.use("old", "new")
        again = self.run_now(self.sealing.rewrap(OID, whole))
        self.assertEqual(again.key_id, "new")
        self.assertEqual(self.unseal(again, content), DATA)
        self.keys.use("new")
        self.assertEqual(self.unseal(again, content), DATA)
        self.assertRaises(KeyError, self.unseal, whole, content)

    def test_a_wrong_head_is_not_wrapped_anew(self) -> None:
        whole, _ = self.seal()
        wrong = replace(whole, size=3)
        self.assert_fails(ObjectDamaged, self.sealing.rewrap(OID, wrong))

    def test_a_wrapped_key_that_fits_into_no_head_is_refused(self) -> None:
        for key in (
            WrappedKey("one", b"x" * 301),
            WrappedKey("one", b""),
            WrappedKey("a" * 65, b"x"),
            WrappedKey("", b"x"),
            WrappedKey("a b", b"x"),
            WrappedKey("\u00e9", b"x"),
        ):

            async def wrap(*_: Any, key: WrappedKey = key) -> WrappedKey:
                return key

            self.keys.wrap = wrap
            self.assert_fails(StorageUnavailable, self.sealing.seal(OID, PLAIN))

    def test_a_data_key_of_another_length_is_refused(self) -> None:
        whole, content = self.seal()

        async def unwrap(*_: Any) -> bytes:
            return b"short"

        self.keys.unwrap = unwrap
        self.assertRaises(ObjectDamaged, self.unseal, whole, content)
