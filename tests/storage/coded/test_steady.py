"""Objects that are replaced while they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import ObjectReplaced
from giftless.interfaces import IBody, IEncodedObject, IStoredObject
from giftless.storage.coded.steady import open_steady
from tests.support.bodies import ListBody, read_all
from tests.support.run import CoroutineTestCase


@implementer(IStoredObject)
class Bucket:
    """What is stored under one name: no file, and replaced at any time.

    :ivar data: what is there now.
    """

    extras: dict[str, Any] = {}

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> IBody:
        """Read what is there."""
        return ListBody([self.data[start:end]])

    def close(self) -> None:
        """Nothing is open."""


@implementer(IEncodedObject)
class Form:
    """An object as it was stored when it was opened.

    :param head: how many bytes are in front of the encoded ones.
    """

    encoding = "zstd"
    extras: dict[str, Any] = {}
    size = 1000

    def __init__(self, bucket: Bucket, head: int) -> None:
        self._bucket = bucket
        self._opened = bucket.data
        self.encoded: Any = self
        self.encoded_start = head
        self.encoded_end = len(bucket.data)
        self.closed = False

    def read(self, start: int, end: int) -> IBody:
        """Read the form, if it is the one that is stored."""
        return Checked(self._bucket, self._opened, start, end)

    def close(self) -> None:
        """Note it."""
        self.closed = True


@implementer(IBody)
class Checked:
    """A request for part of a form, as a bucket answers it: from its beginning on."""

    def __init__(self, bucket: Bucket, form: bytes, start: int, end: int) -> None:
        self._bucket = bucket
        self._form = form
        self._left = [form[start : end - 2], form[end - 2 : end]]
        self._begun = False

    async def read(self) -> Sequence[bytes]:
        """Return the next bytes."""
        if not self._begun and self._bucket.data != self._form:
            raise ObjectReplaced("it is another one", 1)
        self._begun = True
        return [self._left.pop(0)] if self._left else []


class EncodedTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.bucket = Bucket(b"head1frames")
        self.head = 5
        self.forms: list[Form] = []
        self.opened: Any = self.run_now(open_steady(self.open))

    async def open(self) -> IStoredObject:
        """Open what is stored now."""
        self.forms.append(Form(self.bucket, self.head))
        return self.forms[-1]

    def body(self) -> Any:
        """Begin to send the object as it lies."""
        opened = self.opened
        return opened.encoded.read(opened.encoded_start, opened.encoded_end)

    def test_it_keeps_its_promises(self) -> None:
        verifyObject(IEncodedObject, self.opened)
        verifyObject(IStoredObject, self.opened.encoded)
        verifyObject(IBody, self.body())

    def test_what_has_as_many_bytes_is_sent_instead(self) -> None:
        """As after a rotation of keys, for which the frames stay the same."""
        body = self.body()
        self.bucket.data, self.head = b"head 22frames", 7
        self.assertEqual(self.run_now(read_all(body)), b"frames")
        self.opened.close()
        self.assertEqual([form.closed for form in self.forms], [True, True])

    def test_what_has_others_is_refused_before_the_first_byte(self) -> None:
        body = self.body()
        self.bucket.data = b"head1fewer frames"
        self.assert_fails(ObjectReplaced, body.read())

    def test_what_is_replaced_all_the_while_is_refused(self) -> None:
        async def open_and_replace() -> IStoredObject:
            opened = await self.open()
            self.bucket.data = b"head" + self.bucket.data[4:] + b"x"
            return opened

        self.opened = self.run_now(open_steady(open_and_replace))
        self.assert_fails(ObjectReplaced, self.body().read())

    def test_one_that_has_begun_ends_as_it_was(self) -> None:
        body = self.body()
        begun = b"".join(self.run_now(body.read()))
        self.bucket.data = b"head2FRAMES"
        self.assertEqual(begun + self.run_now(read_all(body)), b"frames")
