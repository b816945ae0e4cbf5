"""Actions of another server, sealed for tokens."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadAction, ExpiredAction
from giftless.interfaces import Pass
from giftless.lfs.objects import ObjectKey, Operation
from giftless.lfs.replies import GivenAction
from giftless.storage.mirror.passes import MAX_CHARS, Passes, expiry_of
from tests.support.making import key_of

KEY = key_of(b"data")
ACTION = GivenAction("https://store.example/x?signature=1", {"Authorization": "secret"}, 1000.5)


@dataclass
class Fields:
    """What a pass is bound to."""

    key: ObjectKey = KEY
    size: int = 4
    operation: Operation = Operation.DOWNLOAD


class PassTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.passes = Passes(b"k" * 32, self.clock.seconds)

    def seal(self, **actions: GivenAction) -> Pass:
        """Seal actions for a download."""
        sealed = self.passes.seal(KEY, 4, Operation.DOWNLOAD, actions or {"download": ACTION})
        assert sealed is not None
        return sealed

    def test_it_opens_as_what_was_sealed_and_tells_nobody(self) -> None:
        sealed = self.seal()
        self.assertEqual(sealed.expires_at, 1000)
        opened = self.passes.open(sealed.text, KEY, 4, Operation.DOWNLOAD)
        self.assertEqual(opened, {"download": ACTION})
        for secret in ("secret", "signature", "store"):
            self.assertNotIn(secret, sealed.text)
            self.assertNotIn(secret, repr(sealed))

    def test_it_opens_for_nothing_else(self) -> None:
        text = self.seal().text
        for other in (
            Fields(key=key_of(b"other")),
            Fields(key=key_of(b"data", "org/other")),
            Fields(size=5),
            Fields(operation=Operation.UPLOAD),
        ):
            error = self.assertRaises(
                BadAction, self.passes.open, text, other.key, other.size, other.operation
            )
            self.assertEqual(error.code, 403)
        stranger = Passes(b"l" * 32, self.clock.seconds)
        self.assertRaises(BadAction, stranger.open, text, KEY, 4, Operation.DOWNLOAD)

    def test_it_ends_with_the_first_of_its_actions(self) -> None:
        later = GivenAction("https://store.example/verify", {}, 2000.0)
        sealed = self.seal(upload=ACTION, verify=later)
        self.assertEqual(sealed.expires_at, 1000)
        self.clock.advance(1000)
        self.assertRaises(ExpiredAction, self.passes.open, sealed.text, KEY, 4, Operation.DOWNLOAD)

    def test_ends_that_mean_nothing_are_none_and_old_ones_are_over(self) -> None:
        for at, expiry in ((None, None), (1e18, None), (-5.0, 1), (0.2, 1), (7.9, 7)):
            action = GivenAction("https://store.example/", {}, at)
            self.assertEqual(expiry_of({"download": action}), expiry, at)

    def test_what_is_too_long_for_a_header_is_not_sealed(self) -> None:
        long = GivenAction("https://store.example/" + "x" * MAX_CHARS, {})
        self.assertIsNone(self.passes.seal(KEY, 4, Operation.DOWNLOAD, {"download": long}))

    @given(st.text(max_size=300))
    def test_nothing_else_opens_as_one(self, text: str) -> None:
        self.assertRaises(BadAction, self.passes.open, text, KEY, 4, Operation.DOWNLOAD)

    @given(st.data())
    def test_every_changed_bit_is_noticed(self, data: st.DataObject) -> None:
        text = self.seal().text
        place = data.draw(st.integers(0, len(text) - 5))
        other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda c: c != text[place]))
        changed = text[:place] + other + text[place + 1 :]
        self.assertRaises(BadAction, self.passes.open, changed, KEY, 4, Operation.DOWNLOAD)
