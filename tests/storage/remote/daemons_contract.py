"""Daemons that do not know of each other, and uploads that nobody goes on with."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from giftless.errors import Conflict, ServiceUnavailable, WrongBody
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.resumable import making
from giftless.storage.remote.resumable.staging import BEGUN, Piece, Staging
from giftless.storage.remote.resumable.sweeping import Sweeper
from giftless.storage.remote.writing import send_part
from tests.contracts.multipart import bytes_of
from tests.contracts.resumable import EXTRAS
from tests.storage.remote.resumable_contract import RemoteUploads
from tests.support.bodies import HeldBody, ListBody
from tests.support.making import key_of, payload_of


class SeveralDaemons(RemoteUploads):
    """Two daemons on one store, each with a state of its own."""

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


class Expiring(RemoteUploads):
    """Uploads that nobody goes on with.

    :cvar tells_uploads: whether the store tells which uploads in parts run.
    """

    tells_uploads = True

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
        sweeper = Sweeper(self.store.container, self.store._context, self.store._identity)
        await sweeper.sweep()
        self.assertEqual(await self.names(), names)
        # It is not due again so soon, in whatever process.
        later = time.time() + self.store.resumable_expiry + 60

        async def tell_time() -> float:
            return later

        self.patch(self.store.container, "time", tell_time)
        await sweeper.sweep()
        self.assertEqual(await self.names(), names)
        context = replace(self.store._context, wall_clock=lambda: later)
        sweeper = Sweeper(self.store.container, context, self.store._identity)
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
        sweeper = Sweeper(self.store.container, self.store._context, self.store._identity)
        await sweeper.sweep()
        self.assertEqual(os.listdir(self.store._context.directory), ["claims"])

    async def test_an_upload_that_goes_on_for_long_is_dated(self) -> None:
        """By pieces without bytes; so no other daemon gives it up."""
        await self.prepare()
        now = [1e9]
        self.store._context = replace(self.store._context, wall_clock=lambda: now[0])
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
