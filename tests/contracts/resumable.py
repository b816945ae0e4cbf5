"""What every store promises that takes objects bit by bit (``IResumableStore``)."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from giftless.errors import Conflict, Disconnected, RequestTimeout, WrongBody
from giftless.interfaces import (
    IClaimedUpload,
    IListing,
    IMarking,
    IReadableStore,
    IResumableStore,
    ISurveying,
)
from giftless.lfs.objects import NO_EXTRAS, Extras, ObjectKey
from tests.contracts.multipart import bytes_of
from tests.support.bodies import HeldBody, ListBody, altered, read_all
from tests.support.making import key_of, payload_of, put_object
from tests.support.reactor import reactor

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Mixin
else:
    _Mixin = object

#: Members of every kind.
EXTRAS: Extras = {"filename": "\u00fcber \u2764 'quoted\".bin", "n": 1, "b": True, "z": None}


class ResumableContract(_Mixin):
    """Tests of an ``IResumableStore`` over a reactor that runs.

    Each test is a coroutine; whoever mixes this in lets trial await it.

    :cvar size: how large most objects are, in bytes: for a store that keeps what has come in
        parts, more than one.
    """

    size = 300_007

    async def make_store(self) -> Any:
        """Return an empty store."""
        raise NotImplementedError

    async def make_other(self) -> Any:
        """Return what another process has of the same store."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Make a store, and think of an object."""
        self.store = await self.make_store()
        self.data = bytes_of(self.size)
        self.key = key_of(self.data)

    async def claim(
        self, store: Any = None, key: ObjectKey | None = None, size: int | None = None
    ) -> Any:
        """Claim the upload of the object, or of another one."""
        size = len(self.data) if size is None else size
        return await (store or self.store).claim(key or self.key, size)

    async def begin(self, extras: Extras = NO_EXTRAS) -> Any:
        """Claim the upload of the object, and begin it."""
        upload = await self.claim()
        await upload.begin(extras)
        return upload

    async def append(self, upload: Any, start: int, end: int, chunk: int = 64 * 1024) -> None:
        """Append some of the object's bytes."""
        pieces = [self.data[at : min(at + chunk, end)] for at in range(start, end, chunk)]
        await upload.append(ListBody(pieces))

    async def commit(self, upload: Any, extras: Extras = NO_EXTRAS, verified: bool = False) -> None:
        """Make the object, and release its upload."""
        await upload.commit(payload_of(self.data), extras, verified)
        await upload.release()

    async def offset(self, key: ObjectKey | None = None, size: int | None = None) -> int | None:
        """Ask how much has come, as another process would."""
        upload = await self.claim(await self.make_other(), key, size)
        await upload.release()
        offset: int | None = upload.offset
        return offset

    async def get(self, key: ObjectKey | None = None) -> tuple[bytes, Extras] | None:
        """Return an object's bytes and extras; ``None`` if it is absent."""
        stored = await self.store.open(key or self.key)
        if stored is None:
            return None
        data = await read_all(stored.read(0, stored.size))
        stored.close()
        return data, dict(stored.extras)

    async def assert_stored(self, extras: Extras = NO_EXTRAS) -> None:
        """Fail unless the object is there, and no upload of it."""
        self.assertEqual(list(await self.store.sizes([self.key])), [len(self.data)])
        stored = await self.get()
        assert stored is not None
        # Not the bytes: nobody can read so many in a report.
        self.assertEqual(hashlib.sha256(stored[0]).hexdigest(), self.key.oid)
        self.assertEqual(stored[1], extras)
        self.assertIsNone(await self.offset())

    async def assert_unseen(self) -> None:
        """Fail if anything is seen of an object that has not been committed."""
        self.assertEqual(list(await self.store.sizes([self.key])), [None])
        self.assertIsNone(await self.store.open(self.key))
        for repo in (self.key.repo, None):
            for trash in (False, True):
                if IListing.providedBy(self.store):
                    cursor: str | None = None
                    while True:
                        page = await self.store.list(repo, cursor, 1000, trash)
                        self.assertEqual(list(page.objects), [])
                        if (cursor := page.next_cursor) is None:
                            break
                if ISurveying.providedBy(self.store):
                    survey = await self.store.survey(repo, None, 1000, trash)
                    self.assertEqual((list(survey.objects), list(survey.oddities)), ([], []))
        if ISurveying.providedBy(self.store):
            self.assertEqual(list(await self.store.leftovers(time.time() - 60)), [])

    async def test_it_provides_its_interfaces(self) -> None:
        await self.prepare()
        verifyObject(IResumableStore, self.store)
        verifyObject(IReadableStore, self.store)
        self.assertGreater(self.store.resumable_expiry, 0)
        upload = await self.claim()
        verifyObject(IClaimedUpload, upload)
        await upload.release()

    async def test_what_nobody_has_begun_has_not_begun(self) -> None:
        await self.prepare()
        upload = await self.claim()
        self.assertEqual((upload.offset, upload.changed), (None, 0))
        await upload.discard()
        self.assertIsNone(upload.offset)
        await upload.release()
        await upload.release()
        self.assertIsNone(await self.offset())
        await self.assert_unseen()

    async def test_an_upload_that_has_begun_is_known_to_everybody(self) -> None:
        await self.prepare()
        upload = await self.begin()
        self.assertEqual(upload.offset, 0)
        self.assertGreater(upload.changed, 0)
        await upload.begin({})
        self.assertEqual(upload.offset, 0)
        await upload.release()
        self.assertEqual(await self.offset(), 0)
        await self.assert_unseen()

    async def test_an_object_is_made_of_what_comes_bit_by_bit(self) -> None:
        await self.prepare()
        third = self.size // 3
        upload = await self.begin()
        await self.append(upload, 0, third)
        self.assertEqual(upload.offset, third)
        # It is no other upload if it begins again.
        await upload.begin({})
        self.assertEqual(upload.offset, third)
        await self.append(upload, third, third)
        self.assertEqual(upload.offset, third)
        await self.append(upload, third, self.size)
        self.assertEqual(upload.offset, self.size)
        await self.assert_unseen()
        await self.commit(upload)
        await self.assert_stored()

    async def test_any_process_goes_on_with_an_upload(self) -> None:
        await self.prepare()
        step = self.size // 5 + 1
        upload = await self.begin()
        changed = upload.changed
        await upload.release()
        for start in range(0, self.size, step):
            upload = await self.claim(await self.make_other())
            self.assertEqual(upload.offset, start)
            # What is stored may be dated by another clock.
            self.assertGreater(upload.changed, changed - 60)
            await self.append(upload, start, min(start + step, self.size))
            changed = upload.changed
            await upload.release()
        upload = await self.claim(await self.make_other())
        self.assertEqual(upload.offset, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_what_comes_before_a_body_breaks_off_counts(self) -> None:
        await self.prepare()
        await (await self.begin()).release()
        offset = 0
        for error in (Disconnected("gone"), RequestTimeout("too slow")):
            for count in (0, 1, self.size // 7, self.size // 5):
                upload = await self.claim()
                self.assertEqual(upload.offset, offset)
                piece = self.data[offset : offset + count]
                pieces = [piece[:1], piece[1:5], piece[5:]]
                body = ListBody([piece for piece in pieces if piece], error)
                try:
                    await upload.append(body)
                except type(error) as raised:
                    self.assertIs(raised, error)
                else:
                    self.fail("what the body raised was not raised")
                offset += count
                self.assertEqual(upload.offset, offset)
                await upload.release()
                self.assertEqual(await self.offset(), offset)
        upload = await self.claim()
        await self.append(upload, offset, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_many_small_pieces_are_an_object_too(self) -> None:
        await self.prepare()
        self.data = bytes_of(50)
        self.key = key_of(self.data)
        upload = await self.begin()
        for at in range(50):
            await self.append(upload, at, at + 1)
            if at % 20 == 19:
                await upload.release()
                upload = await self.claim(await self.make_other())
                self.assertEqual(upload.offset, at + 1)
        await self.commit(upload)
        await self.assert_stored()

    async def test_an_object_of_no_bytes_can_be_made(self) -> None:
        await self.prepare()
        self.data = b""
        self.key = key_of(self.data)
        upload = await self.begin(EXTRAS)
        self.assertEqual(upload.offset, 0)
        await self.commit(upload, EXTRAS)
        await self.assert_stored(EXTRAS)

    async def test_what_is_verified_on_the_way_becomes_the_object(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload, verified=True)
        await self.assert_stored()

    async def test_extras_come_back(self) -> None:
        await self.prepare()
        upload = await self.begin(EXTRAS)
        await self.append(upload, 0, 1000)
        await upload.release()
        upload = await self.claim()
        await self.append(upload, 1000, self.size)
        await self.commit(upload, EXTRAS)
        await self.assert_stored(EXTRAS)

    async def test_wrong_bytes_are_thrown_away(self) -> None:
        await self.prepare()
        good = self.data
        for at in (0, self.size // 2, self.size - 1):
            upload = await self.begin()
            self.data = altered(good, at)
            await self.append(upload, 0, self.size)
            self.data = good
            await self.assert_refused(upload)
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_too_few_bytes_are_no_object(self) -> None:
        await self.prepare()
        for count in (0, 1, self.size - 1):
            upload = await self.begin()
            await self.append(upload, 0, count)
            await self.assert_refused(upload)

    async def assert_refused(self, upload: Any) -> None:
        """Fail unless a commit throws away what has come; release the upload."""
        try:
            await upload.commit(payload_of(self.data), {}, False)
        except WrongBody as error:
            self.assertTrue(error.message)
        else:
            self.fail("the commit was not refused")
        self.assertEqual((upload.offset, upload.changed), (None, 0))
        await self.assert_unseen()
        await upload.release()
        self.assertIsNone(await self.offset())

    async def test_an_upload_that_is_discarded_begins_anew(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size // 2)
        await upload.discard()
        self.assertEqual((upload.offset, upload.changed), (None, 0))
        await upload.discard()
        await upload.begin({})
        self.assertEqual(upload.offset, 0)
        await upload.release()
        self.assertEqual(await self.offset(), 0)
        upload = await self.claim()
        await upload.discard()
        await upload.release()
        self.assertIsNone(await self.offset())
        await self.assert_unseen()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_an_object_that_is_there_stays_what_it_is(self) -> None:
        """Somebody else has stored it meanwhile."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await put_object(self.store, self.key, self.size, ListBody([self.data]), {})
        await self.commit(upload)
        await self.assert_stored()

    async def test_a_discarded_upload_harms_no_object(self) -> None:
        await self.prepare()
        await put_object(self.store, self.key, self.size, ListBody([self.data]), {})
        upload = await self.begin()
        await self.append(upload, 0, self.size // 2)
        await upload.discard()
        await upload.release()
        await self.assert_stored()

    async def test_a_damaged_object_is_made_again(self) -> None:
        await self.prepare()
        if not IMarking.providedBy(self.store):
            return
        store: Any = self.store
        await put_object(store, self.key, self.size, ListBody([self.data]), {})
        await store.mark(self.key, "bad bytes")
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_other_sizes_and_repositories_are_other_uploads(self) -> None:
        """Also to who claims them at the same time."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size // 2)
        others = [
            await self.claim(key=self.key, size=self.size + 1),
            await self.claim(key=key_of(self.data, "org/other")),
            await self.claim(key=key_of(self.data, "org/repo/sub")),
        ]
        self.assertEqual([other.offset for other in others], [None] * 3)
        for number, other in enumerate(others, 1):
            await other.begin({})
            await self.append(other, 0, number)
        for other in others:
            self.assertNoResult(other.wanted)
            await other.discard()
            await other.release()
        self.assertNoResult(upload.wanted)
        await self.append(upload, self.size // 2, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_who_claims_an_upload_gets_it_from_who_has_it(self) -> None:
        """With everything that has come until then, even of a body that has not ended."""
        await self.prepare()
        upload = await self.begin()
        body = HeldBody()
        appending = Deferred.fromCoroutine(upload.append(body))
        await self.until_wanted(body)
        body.provide(self.data[:1000])
        claiming = Deferred.fromCoroutine(self.claim(await self.make_other()))
        await upload.wanted
        self.assertNoResult(claiming)
        await self.until_wanted(body)
        body.fail(Disconnected("wanted elsewhere"))
        # On a slow machine it may be taken away instead.
        with contextlib.suppress(Disconnected, Conflict):
            await appending
        await upload.release()
        following = await claiming
        self.assertEqual(following.offset, 1000)
        await self.append(following, 1000, self.size)
        await self.commit(following)
        await self.assert_stored()

    async def test_who_waits_for_an_upload_that_is_committed_finds_the_object(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        claiming = Deferred.fromCoroutine(self.claim(await self.make_other()))
        await upload.wanted
        await self.commit(upload)
        following = await claiming
        self.assertIsNone(following.offset)
        await following.release()
        await self.assert_stored()

    async def until_wanted(self, body: HeldBody) -> None:
        """Wait until the store waits for bytes: those before have been written then."""
        while not body.wanted:
            await deferLater(reactor, 0.01)
