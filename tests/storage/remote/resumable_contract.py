"""Uploads that come bit by bit, to stores behind HTTP."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from giftless.base.nameless_file import NamelessFile
from giftless.errors import Conflict, InsufficientStorage, ServiceUnavailable, WrongBody
from giftless.interfaces import Payload
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.resumable import making
from giftless.storage.remote.resumable.found import list_all
from giftless.storage.remote.resumable.staged import MAX_ROW
from giftless.storage.remote.resumable.staging import BEGUN, UPLOADS, Piece, Staging
from giftless.storage.remote.resumable.sweeping import Sweeper
from giftless.storage.remote.writing import put_at_once, send_part
from tests.contracts.multipart import bytes_of
from tests.contracts.resumable import EXTRAS, ResumableContract
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.support.bodies import HeldBody, ListBody
from tests.support.making import key_of, payload_of

if TYPE_CHECKING:

    class _Mixin(ResumableContract, RemoteTestCase):
        """What is mixed together."""
else:
    _Mixin = ResumableContract


class RemoteUploads(_Mixin):
    """What all stores do: a test's ``build`` makes one.

    :cvar part_size: the size of parts in bytes: the smallest that the store takes.
    """

    part_size = 5 * 1024**2
    size = 2 * part_size + 7

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    async def make_store(self) -> Any:
        self.state_dir = self.mktemp()
        return await self.make_other()

    async def make_other(self) -> Any:
        return self.small(self.build())

    def small(self, store: Any) -> Any:
        """Let a store make small parts."""
        store._means = replace(store._means, part_size=self.part_size)
        return store


class RemoteResumable(RemoteUploads):
    """What such a store does beside all that others do.

    :cvar tells_uploads: whether the store tells which uploads in parts run.
    """

    tells_uploads = True

    def make_stranger(self) -> Any:
        """Return what another daemon has of the same store, which knows nothing of this one."""
        here, self.state_dir = self.state_dir, self.mktemp()
        store = self.small(self.build())
        self.state_dir = here
        return store

    async def names(self) -> set[str]:
        """Return the names of all that is staged, without their folders."""
        entries = await list_all(self.store.container, f"{UPLOADS.path}/", nested=True)
        return {entry.name.rpartition("/")[2] for entry in entries}

    async def assert_nothing_staged(self) -> None:
        """Fail if anything of any upload is left."""
        self.assertEqual(await self.names(), set())
        running = await self.store.container.running_uploads(f"{UPLOADS.path}/")
        self.assertEqual(list(running), [])

    # -- what is staged

    async def test_nothing_is_left_of_an_upload(self) -> None:
        await self.prepare()
        for end in (0, 10, self.part_size, self.size):
            upload = await self.begin()
            await self.append(upload, 0, end)
            await upload.discard()
            await upload.release()
            await self.assert_nothing_staged()
        upload = await self.begin()
        await self.append(upload, 0, 10)
        await self.append(upload, 10, self.size)
        await self.commit(upload)
        await self.assert_nothing_staged()
        # It was read back, which took no place of anybody's.
        await self.assert_stored()

    async def test_old_pieces_are_removed(self) -> None:
        await self.prepare()
        upload = await self.begin()
        for at in range(2 * MAX_ROW + 2):
            await self.append(upload, at, at + 1)
            self.assertLessEqual(len(await self.names()), MAX_ROW + 1)
        await self.append(upload, 2 * MAX_ROW + 2, self.part_size)
        # The date is told by another one, of no bytes.
        expected = {BEGUN.name, Piece(self.part_size, 0).name}
        self.assertEqual(await self.names(), expected)
        await upload.release()
        self.assertEqual(await self.offset(), self.part_size)

    async def test_uploads_that_have_not_expired_are_no_leftovers(self) -> None:
        """They are removed when they have."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.part_size + 1)
        await upload.release()
        self.assertEqual(list(await self.store.leftovers(time.time() + 1e8)), [])

    async def test_what_is_no_piece_does_not_count(self) -> None:
        """Wrong sizes, names of others, and what is behind a gap, or in two parts."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, 10)
        await upload.release()
        staging = Staging.of(self.key, self.size)
        for piece, length in (
            (Piece(10, 7), 5),
            (Piece(15, 5), 5),
            (Piece(10, self.part_size), 3),
            (Piece(self.part_size, 5), 5),
            (Piece(self.size, 1), 1),
        ):
            await self.place(staging.key(piece.name), b"x" * length)
        await self.place(staging.whole, b"too short")
        upload = await self.claim()
        self.assertEqual(upload.offset, 10)
        await self.append(upload, 10, self.size)
        await self.commit(upload)
        await self.assert_stored()
        await self.assert_nothing_staged()

    async def place(self, key: Any, data: bytes) -> None:
        """Put something into the store, past all that is checked."""
        payload = Payload(len(data), None)
        await put_at_once(self.store.container, key, payload, ListBody([data]), {})

    async def test_a_full_disk_of_the_daemon_loses_nothing(self) -> None:
        await self.prepare()
        upload = await self.begin()
        real, full = NamelessFile._write, OSError(errno.ENOSPC, "No space left on device")

        def write(file: NamelessFile, chunks: Sequence[bytes]) -> int:
            if file.length >= 1000:
                raise full
            return real(file, chunks)

        self.patch(NamelessFile, "_write", write)
        with self.assertRaises(InsufficientStorage):
            await self.append(upload, 0, self.size, 500)
        self.assertEqual(upload.offset, 1000)
        await upload.release()
        self.assertEqual(await self.offset(), 1000)
        self.patch(NamelessFile, "_write", real)
        upload = await self.claim()
        await self.append(upload, 1000, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_who_has_lost_an_upload_writes_nothing(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, 10)
        names = await self.names()
        body = HeldBody()
        appending = Deferred.fromCoroutine(upload.append(body))
        body.provide(self.data[10 : self.part_size])
        await self.until_wanted(body)
        # As if another process had taken it away from this one.
        self.patch(upload._staged.hold, "lost", lambda: True)
        self.patch(upload._staged.hold.file, "keep", lambda: False)
        body.provide(self.data[self.part_size :])
        with self.assertRaises(Conflict):
            await appending
        self.assertEqual(await self.names(), names)
        await upload.release()

    # -- several daemons

    async def test_daemons_go_on_with_each_others_uploads(self) -> None:
        """Even if one of them never lets go."""
        await self.prepare()
        step = self.size // 5 + 1
        stores = [self.store, self.make_stranger()]
        await (await self.claim(stores[1])).begin(EXTRAS)
        for number, start in enumerate(range(0, self.size, step)):
            upload = await self.claim(stores[number % 2])
            self.assertEqual(upload.offset, start)
            await self.append(upload, start, min(start + step, self.size))
            await upload.release()
        upload = await self.claim()
        self.assertEqual(upload.offset, self.size)
        await self.commit(upload, EXTRAS)
        await self.assert_stored(EXTRAS)
        await self.assert_nothing_staged()

    async def test_daemons_that_do_not_know_of_each_other_lose_nothing(self) -> None:
        """They receive the same object at the same time."""
        await self.prepare()
        first, second = await self.begin(), await self.claim(self.make_stranger())
        await second.begin({})
        ends = [self.size * number // 10 for number in (2, 3, 5, 6, 8, 9)]
        starts = [0, 0]
        for number, end in enumerate(ends):
            upload = (first, second)[number % 2]
            await self.append(upload, starts[number % 2], end)
            starts[number % 2] = end
            self.assertEqual(upload.offset, end)
            # Nothing that was acknowledged is lost to anybody.
            other = await self.claim(self.make_stranger())
            self.assertGreaterEqual(other.offset, max(starts))
            await other.release()
        await self.append(second, starts[1], self.size)
        await self.commit(second)
        await self.assert_object()
        # The first one goes on with what is not there any more.
        try:
            await self.append(first, starts[0], self.size)
            await first.commit(payload_of(self.data), {}, False)
        except (ServiceUnavailable, Conflict):
            pass
        await first.release()
        await self.assert_object()

    async def assert_object(self) -> None:
        """Fail unless the object is there and right."""
        found = await self.get()
        assert found is not None
        self.assertTrue(found[0] == self.data)

    async def test_parts_that_another_daemon_has_replaced_are_noticed(self) -> None:
        """Although all bytes have been seen to go by."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        staged = upload._staged
        part = staged.found.plan.part(1)
        body = ListBody([bytes(part.size)])
        whole, running = staged.staging.whole, staged.found.upload
        await send_part(self.store.container, whole, running, part, body)
        with self.assertRaises(WrongBody):
            await upload.commit(payload_of(self.data), {}, True)
        self.assertIsNone(upload.offset)
        await upload.release()
        await self.assert_unseen()
        await self.assert_nothing_staged()

    async def test_only_what_was_looked_at_becomes_the_object(self) -> None:
        """Another daemon replaces it between the look and the copy."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        container, whole = self.store.container, upload._staged.staging.whole
        real, wrong = container.copy, bytes(self.size)

        async def copy(*keys: Any, **others: Any) -> bool:
            await self.place(whole, wrong)
            done: bool = await real(*keys, **others)
            return done

        self.patch(container, "copy", copy)
        with self.assertRaises(ServiceUnavailable):
            await self.commit(upload)
        await self.assert_unseen()
        await upload.release()
        self.patch(container, "copy", real)
        # What is there now is looked at again.
        upload = await self.claim()
        self.assertEqual(upload.offset, self.size)
        await self.assert_refused(upload)

    async def test_an_emptied_store_has_not_no_uploads(self) -> None:
        await self.prepare()
        identity: StoreIdentity = self.store._identity
        await identity.establish()
        identity._known = "0" * 32
        with self.assertRaises(ServiceUnavailable):
            await self.claim()
        # And nobody holds it then.
        identity._known = None
        await (await self.claim()).release()

    async def test_an_upload_that_another_daemon_commits_just_now_has_come(self) -> None:
        """Its parts were listed before they became one object."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        stranger = self.make_stranger()
        real = stranger.container.find_uploads

        async def find_uploads(key: Any) -> Any:
            await making._complete(upload._staged, {})
            return await real(key)

        self.patch(stranger.container, "find_uploads", find_uploads)
        other = await self.claim(stranger)
        self.assertEqual(other.offset, self.size)
        await other.release()
        await self.commit(upload)
        await self.assert_stored()

    # -- those that nobody goes on with

    async def test_uploads_that_nobody_goes_on_with_are_removed(self) -> None:
        await self.prepare()
        small = key_of(bytes_of(9))
        for key, size, count in ((self.key, self.size, self.part_size + 1), (small, 9, 3)):
            upload = await self.claim(key=key, size=size)
            await upload.begin({})
            await self.append(upload, 0, count)
            await upload.release()
        if self.tells_uploads:
            # All that a process has left which was killed before it had begun.
            await self.store.container.create_upload(Staging("f" * 64).whole, {})
        held = await self.claim(key=key_of(b"held"), size=4)
        await held.begin({})
        names = await self.names()
        sweeper = Sweeper(self.store.container, self.store._means, self.store._identity)
        await sweeper.sweep()
        self.assertEqual(await self.names(), names)
        # It is not due again so soon, in whatever process.
        later = time.time() + self.store.resumable_expiry + 60

        async def tell_time() -> float:
            return later

        self.patch(self.store.container, "time", tell_time)
        await sweeper.sweep()
        self.assertEqual(await self.names(), names)
        means = replace(self.store._means, wall_clock=lambda: later)
        sweeper = Sweeper(self.store.container, means, self.store._identity)
        await sweeper.sweep()
        # Only what somebody has claimed is left.
        self.assertEqual(await self.names(), {BEGUN.name})
        await held.discard()
        await held.release()
        await self.assert_nothing_staged()
        self.assertIsNone(await self.offset())

    async def test_a_command_of_root_leaves_no_files_behind(self) -> None:
        """The daemon could not open them."""
        await self.prepare()
        await (await self.claim()).release()
        self.patch(os, "geteuid", lambda: -1)
        sweeper = Sweeper(self.store.container, self.store._means, self.store._identity)
        await sweeper.sweep()
        self.assertEqual(os.listdir(self.store._means.directory), ["claims"])

    async def test_an_upload_that_goes_on_for_long_is_dated(self) -> None:
        """By pieces without bytes; so no other daemon gives it up."""
        await self.prepare()
        now = [1e9]
        self.store._means = replace(self.store._means, wall_clock=lambda: now[0])
        upload = await self.begin()
        body = HeldBody()
        appending = Deferred.fromCoroutine(upload.append(body))
        now[0] += self.store.resumable_expiry / 2
        body.provide(self.data[: self.part_size])
        await self.until_wanted(body)
        # The part is sent before the next one is.
        body.provide(self.data[self.part_size : 2 * self.part_size])
        await self.until_wanted(body)
        self.assertIn(Piece(self.part_size, 0).name, await self.names())
        self.assertEqual(upload.changed, now[0])
        body.provide()
        await appending
        await upload.release()
