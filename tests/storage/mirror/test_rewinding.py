"""Bodies that are sent again where a redirect leads."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface.verify import verifyObject

from giftless.errors import WrongBody
from giftless.interfaces import IBody
from giftless.storage.mirror.rewinding import KEPT, RewindableBody
from tests.support.bodies import ListBody, read_all
from tests.support.run import CoroutineTestCase


class FailingBody(ListBody):
    """Ends with an error."""

    async def read(self) -> Sequence[bytes]:
        """Read, and fail where the end would be."""
        chunks = await super().read()
        if not chunks:
            raise WrongBody("wrong")
        return chunks


class RewindableBodyTests(CoroutineTestCase):
    def test_a_small_body_can_be_read_often(self) -> None:
        body = RewindableBody(ListBody([b"a", b"", b"b" * (KEPT - 1)]))
        verifyObject(IBody, body)
        for _ in range(3):
            self.assertEqual(self.run_now(read_all(body)), b"a" + b"b" * (KEPT - 1))
            self.assertTrue(body.rewind())

    def test_the_beginning_of_a_large_one_is_kept_until_more_is_read(self) -> None:
        data = b"x" * KEPT * 2
        body = RewindableBody(ListBody([data, b"y"]))
        for _ in range(2):
            self.assertEqual(b"".join(self.run_now(body.read())), data)
            self.assertTrue(body.rewind())
        self.assertEqual(self.run_now(read_all(body)), data + b"y")
        self.assertFalse(body.rewind())

    def test_a_body_that_has_failed_is_over(self) -> None:
        body = RewindableBody(FailingBody([b"a"]))
        self.assertEqual(self.run_now(body.read()), [b"a"])
        self.assert_fails(WrongBody, body.read())
        self.assertFalse(body.rewind())
