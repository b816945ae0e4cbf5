"""What every store promises that can mark objects as damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from giftless.errors import ObjectDamaged
from giftless.interfaces import IDeleting, IInspector, IMarking
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.support.making import key_of

if TYPE_CHECKING:
    _Mixin = StreamingStoreContract
else:
    _Mixin = object

KEY = key_of(DATA)

#: Longer than what some stores can keep of it, and not only ASCII.
REASON = "the SHA-256 of its bytes is another one \u2013 100% sure; " * 20


class MarkingContract(_Mixin):
    """Tests of an ``IMarking``, beside those of its kind of store."""

    def mark(self, reason: str = "bad bytes", path: str = "org/repo") -> None:
        """Mark the object in a repository."""
        self.run_now(self.store.mark(key_of(DATA, path), reason))

    def assert_marked(self, reason: str = "bad bytes") -> None:
        """Fail unless the object is told to be damaged, whoever asks."""
        (size,) = self.run_now(self.store.sizes([KEY]))
        self.assertIsInstance(size, ObjectDamaged)
        self.assertIn(reason, size.message)
        self.assertEqual(size.code, 410)
        self.assertIn(reason, str(self.assert_fails(ObjectDamaged, self.store.open(KEY))))
        if IInspector.providedBy(self.store):
            self.assert_fails(ObjectDamaged, self.store.inspect(KEY))

    def test_it_can_mark(self) -> None:
        verifyObject(IMarking, self.store)

    def test_a_marked_object_is_told_to_be_damaged(self) -> None:
        self.put(KEY, DATA, extras={"filename": "x.png", "n": 1})
        self.mark()
        self.assert_marked()
        # Also to other processes.
        self.mark()
        self.assert_marked()

    def test_an_upload_ends_the_mark(self) -> None:
        for data in (DATA, b"small"):
            key = key_of(data)
            self.put(key, data, extras={"n": 1})
            self.run_now(self.store.mark(key, "bad bytes"))
            self.assertIsNot(type(self.sizes(key)[0]), int)
            self.put(key, data)
            self.assertEqual(self.sizes(key), [len(data)])
            self.assertEqual(self.get(key), data)

    def test_any_reason_can_be_given(self) -> None:
        for reason in (REASON, "two\nlines\r\n", "", "\u2764" * 90, "%"):
            self.put(KEY, DATA, extras={"filename": "x" * 300})
            self.mark(reason)
            self.assert_marked(reason.strip().split("\n")[0][:10])

    def test_other_objects_are_as_they_were(self) -> None:
        other = key_of(DATA, "org/other")
        self.put(KEY, DATA)
        self.put(other, DATA)
        self.put(key_of(b"abc"), b"abc")
        self.mark()
        keys = [key_of(b"abc"), KEY, other, key_of(b"absent")]
        sizes = self.run_now(self.store.sizes(keys))
        self.assertEqual([*sizes[:1], *sizes[2:]], [3, len(DATA), None])
        self.assertIsInstance(sizes[1], ObjectDamaged)
        self.assertEqual(self.get(other), DATA)

    def test_marking_what_is_absent_is_harmless(self) -> None:
        self.mark()
        self.assertEqual(self.sizes(KEY), [None])
        self.assertIsNone(self.get(KEY))

    def test_a_deleted_object_is_absent_and_not_damaged(self) -> None:
        if not IDeleting.providedBy(self.store):
            return
        self.put(KEY, DATA)
        self.mark()
        self.run_now(self.store.delete(KEY))
        self.assertEqual(self.sizes(KEY), [None])
        self.assertIsNone(self.get(KEY))
