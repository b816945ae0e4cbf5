"""What ``giftless fsck`` learns of stores behind HTTP, under a reactor that runs."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from giftless.base.pace import Pace
from giftless.interfaces import ISurveying
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import TRASH, ObjectKey
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Outcome
from tests.storage.remote.listing_contract import ReachesStore
from tests.support.bodies import ListBody
from tests.support.making import key_of

#: Names that no object has.
STRAY = ("notes.txt", "acme/notes.txt", f"acme/{TRASH}/x", f"{'a' * 64}")


class RemoteSurvey(ReachesStore):
    """What is odd in a real store, and what the examiner makes of its objects.

    :cvar compared: whether the store has computed the SHA-256 of what is uploaded at once.
    :cvar tells_uploads: whether the store tells which uploads in parts run.
    """

    compared = False
    tells_uploads = True

    async def test_what_is_no_object_is_told(self) -> None:
        self.store = await self.make_store()
        verifyObject(ISurveying, self.store)
        below = self.store.container.layout.below
        for path in STRAY:
            self.place(below(path), b"x")
        self.place(below(".giftless/probe/left"), b"x")
        key = key_of(b"object")
        await self.add(key, b"object")
        found: set[str] = set()
        for trash in (False, True):
            page = await self.store.survey(None, None, 1000, trash)
            found |= {each.path for each in page.oddities}
            self.assertEqual([each.key for each in page.objects], [] if trash else [key])
        self.assertEqual(found, {below(path) for path in STRAY})

    async def test_uploads_in_parts_are_told_that_nobody_has_ended(self) -> None:
        self.store = await self.make_store()
        here, gone = key_of(b"here"), key_of(b"gone")
        await self.add(here, b"here")
        for key in (here, gone):
            upload, _ = await self.store.begin(key, PartPlan(15, 5), {})
            for part in list(upload.plan)[::2]:
                await self.store.put_part(key, upload, part, ListBody([b"x" * part.size]))
        self.assertEqual(await self.store.leftovers(0.0), [])
        found = {each.key: each.problem for each in await self.store.leftovers(2e9 + 9e8)}
        if not self.tells_uploads:
            self.assertEqual(found, {})
            return
        self.assertEqual(set(found), {here, gone})
        self.assertIn("the object is there; nobody needs the parts", found[here])
        self.assertIn("of the first 3 parts, these are missing: 2", found[gone])

    async def test_objects_are_examined_by_checksum_or_by_reading(self) -> None:
        self.store = await self.make_store()
        data = [b"%d" % number * 100 for number in range(4)]
        for each in data:
            await self.add(key_of(each), each)
        wrong, marked = key_of(b"wrong"), key_of(data[3])
        await self.add_wrong(wrong, b"xxxxx")
        await self.store.mark(marked, "a mark")
        examiner = self.examiner(trusting=True)
        found = await self.examined(examiner)
        self.assertEqual(set(found), {wrong, marked})
        self.assertEqual({each.outcome for each in found.values()}, {Outcome.WRONG})
        self.assertIn("SHA-256", found[wrong].problem)
        self.assertIn("a mark", found[marked].problem)
        expected = (3, 1) if self.compared else (0, 4)
        self.assertEqual((examiner.counts.compared, examiner.counts.read), expected)
        examiner = self.examiner(trusting=False)
        self.assertEqual(set(await self.examined(examiner)), {wrong, marked})
        self.assertEqual((examiner.counts.compared, examiner.counts.read), (0, 4))

    def examiner(self, trusting: bool) -> Examiner:
        """Make an examiner of the store."""
        around = self.environment()
        pace = Pace(None, around.reactor)
        return Examiner(self.store, around.blocking, pace, around.reactor, trusting=trusting)

    async def examined(self, examiner: Examiner) -> dict[ObjectKey, Any]:
        """Examine everything; return the findings by their objects."""
        page = await self.store.survey(None)
        found = [await examiner.examine(each, True) for each in page.objects]
        return {each.key: each for each in found if each is not None and each.key is not None}
