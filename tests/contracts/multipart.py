"""What every store promises that takes parts (``giftless.interfaces.IMultipartStore``)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as installed_reactor
from zope.interface.verify import verifyObject

from giftless.errors import Conflict, ObjectDamaged
from giftless.interfaces import IMarking, IMultipartStore, PartUpload
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Extras, ObjectKey
from giftless.usecases.events import Events
from giftless.usecases.read_back import ReadBack
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of, payload_of, writer

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Mixin
else:
    _Mixin = object


@functools.lru_cache(maxsize=4)
def bytes_of(size: int) -> bytes:
    """Return so many bytes."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


class MultipartSteps(_Mixin):
    """What an upload in parts to an ``IMultipartStore`` takes, for tests of one.

    :cvar part_size: the size of parts that ``make_store`` is to use, in bytes:
        the smallest that the store takes is best.
    """

    part_size = 1000

    async def make_store(self) -> Any:
        """Return an empty store."""
        raise NotImplementedError

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        """Send a part as a client would."""
        raise NotImplementedError

    async def get(self, key: ObjectKey) -> bytes | None:
        """Return an object's bytes; ``None`` if it is absent."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Make a store, and an object of three parts."""
        self.store = await self.make_store()
        size = 2 * self.part_size + 7
        self.data = bytes_of(size)
        self.key = key_of(self.data)
        self.plan: PartPlan = self.store.plan(size)

    async def begin(self, extras: Extras | None = None) -> tuple[PartUpload, list[int]]:
        """Begin an upload, or go on with one.

        :returns: it, and the numbers of the parts that it lacks.
        """
        upload, missing = await self.store.begin(self.key, self.plan, extras or {})
        for part in missing:
            self.assertEqual(part, self.plan.part(part.number))
        return upload, [part.number for part in missing]

    async def send(
        self, upload: PartUpload, numbers: Sequence[int], data: bytes | None = None
    ) -> None:
        """Send parts of the object, or of other bytes as long."""
        data = self.data if data is None else data
        for number in numbers:
            part = self.plan.part(number)
            assert part is not None
            await self.put_part(self.key, upload, part, data[part.pos : part.pos + part.size])

    async def commit(self, upload: PartUpload, extras: Extras | None = None) -> None:
        """Make the object of its parts, as the use case does."""
        payload = payload_of(self.data)
        await self.store.commit(self.key, upload, payload, extras or {})
        if self.store.reads_back:
            read_back = ReadBack(self.store, InlineBlocking(), reactor, Events({}))
            await read_back.verify(self.key, payload, writer("tess"))

    async def refused(self, upload: PartUpload) -> Conflict:
        """Commit what must not be."""
        try:
            await self.commit(upload)
        except Conflict as error:
            self.assertEqual(error.code, 409)
            return error
        self.fail("the commit was not refused")


class MultipartContract(MultipartSteps):
    """Tests of an ``IMultipartStore`` that work with any reactor, or none.

    Each test is a coroutine; whoever mixes this in lets trial await it.
    """

    async def test_it_provides_its_interfaces(self) -> None:
        await self.prepare()
        verifyObject(IMultipartStore, self.store)

    async def test_an_object_is_made_of_its_parts(self) -> None:
        await self.prepare()
        self.assertEqual(self.plan, PartPlan(len(self.data), self.part_size))
        upload, missing = await self.begin()
        self.assertEqual(missing, [1, 2, 3])
        # In any order.
        await self.send(upload, [3, 1, 2])
        self.assertIsNone(await self.get(self.key))
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)
        self.assertEqual(list(await self.store.sizes([self.key])), [len(self.data)])

    async def test_an_upload_is_gone_on_with(self) -> None:
        """By whoever asks: all that is known of it is in the store."""
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [2])
        again, missing = await self.begin()
        self.assertEqual(missing, [1, 3])
        await self.send(again, missing)
        last, missing = await self.begin()
        self.assertEqual(missing, [])
        await self.commit(last)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_a_part_may_be_sent_again(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [1, 2, 2, 3, 1])
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_a_missing_part_is_named(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        self.assertIn("parts 1, 2, 3 are missing", (await self.refused(upload)).message)
        await self.send(upload, [1, 3])
        self.assertIn("part 2 is missing", (await self.refused(upload)).message)
        self.assertIsNone(await self.get(self.key))
        # Nothing is lost by that.
        await self.send(upload, [2])
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_committing_again_is_harmless(self) -> None:
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        for _ in range(3):
            await self.commit(upload)
            self.assertEqual(await self.get(self.key), self.data)

    async def test_aborting_throws_parts_away(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [1, 2])
        await self.store.abort(self.key, upload)
        await self.refused(upload)
        again, missing = await self.begin()
        self.assertEqual(missing, [1, 2, 3])
        await self.store.abort(self.key, again)
        await self.store.abort(self.key, again)
        self.assertEqual(list(await self.store.sizes([self.key])), [None])

    async def test_aborting_never_harms_an_object(self) -> None:
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        await self.commit(upload)
        await self.store.abort(self.key, upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_a_damaged_object_is_made_again(self) -> None:
        await self.prepare()
        if not IMarking.providedBy(self.store):
            return
        upload, missing = await self.begin()
        await self.send(upload, missing)
        await self.commit(upload)
        await self.store.mark(self.key, "bad bytes")
        self.assertNotEqual(await self.store.sizes([self.key]), [len(self.data)])
        upload, missing = await self.begin()
        await self.send(upload, missing)
        await self.commit(upload)
        self.assertEqual(await self.store.sizes([self.key]), [len(self.data)])
        self.assertEqual(await self.get(self.key), self.data)

    async def test_two_who_begin_at_once_both_end_well(self) -> None:
        await self.prepare()
        first, missing = await self.begin()
        second, _ = await self.begin()
        await self.send(first, missing)
        await self.send(second, [1])
        await self.commit(first)
        self.assertEqual(await self.get(self.key), self.data)
        await self.send(second, [2, 3])
        await self.commit(second)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_parts_of_another_size_are_not_taken(self) -> None:
        """The configuration may change while an upload is under way."""
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [1, 2])
        self.plan = PartPlan(len(self.data), self.part_size + 1)
        again, missing = await self.begin()
        self.assertEqual(missing, [1, 2, 3])
        await self.send(again, missing)
        await self.commit(again)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_repositories_are_apart(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [1, 2, 3])
        self.key = key_of(self.data, "org/repo/sub")
        self.assertEqual((await self.begin())[1], [1, 2, 3])


class CheckedMultipartContract(MultipartSteps):
    """Tests of a store that makes sure of what parts are, when they are committed.

    They are the only ones that this makes a difference for.
    """

    async def assert_not_trusted(self) -> None:
        """Fail unless the object is absent or marked as damaged."""
        (size,) = await self.store.sizes([self.key])
        self.assertTrue(size is None or isinstance(size, ObjectDamaged), size)

    async def test_altered_parts_are_refused(self) -> None:
        await self.prepare()
        wrong = bytes(len(self.data))
        upload, _ = await self.begin()
        await self.send(upload, [1, 3])
        await self.send(upload, [2], wrong)
        self.assertIn("SHA-256", (await self.refused(upload)).message)
        await self.assert_not_trusted()
        # Which one was wrong is not known: all are sent again.
        again, missing = await self.begin()
        self.assertEqual(missing, [1, 2, 3])
        await self.send(again, missing)
        for _ in range(2):
            await self.commit(again)
            self.assertEqual(await self.store.sizes([self.key]), [len(self.data)])
            self.assertEqual(await self.get(self.key), self.data)

    async def test_a_part_in_two_places_is_refused(self) -> None:
        await self.prepare()
        first = self.plan.part(1)
        assert first is not None
        upload, _ = await self.begin()
        await self.send(upload, [1, 3])
        await self.send(upload, [2], self.data[: first.size] * 3)
        self.assertIn("SHA-256", (await self.refused(upload)).message)
        await self.assert_not_trusted()
