"""Uploads that come bit by bit, to stores behind HTTP."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from giftless.base.nameless_file import NamelessFile
from giftless.errors import Conflict, InsufficientStorage
from giftless.interfaces import Payload
from giftless.storage.remote.resumable.found import list_all
from giftless.storage.remote.resumable.staged import MAX_ROW
from giftless.storage.remote.resumable.staging import BEGUN, UPLOADS, Piece, Staging
from giftless.storage.remote.writing import put_at_once
from tests.contracts.multipart import bytes_of
from tests.contracts.resumable import ResumableContract
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.support.bodies import HeldBody, ListBody
from tests.support.making import key_of

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
        store._context = replace(store._context, part_size=self.part_size)
        return store

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

    async def place(self, key: Any, data: bytes) -> None:
        """Put something into the store, past all that is checked."""
        payload = Payload(len(data), None)
        await put_at_once(self.store.container, key, payload, ListBody([data]), {})


class RemoteResumable(RemoteUploads):
    """What is staged in the store, and what is left of it."""

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

    async def test_no_staged_object_counts_where_there_are_no_parts(self) -> None:
        """Parts were smaller in a release before, so that it had some."""
        await self.prepare()
        self.data = bytes_of(100)
        self.key = key_of(self.data)
        await self.place(Staging.of(self.key, 100).whole, self.data)
        upload = await self.begin()
        self.assertEqual(upload.offset, 0)
        await self.append(upload, 0, 100)
        await self.commit(upload)
        await self.assert_stored()
        await self.assert_nothing_staged()

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
