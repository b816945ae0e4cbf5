"""Processes that are killed while objects come bit by bit, and are sealed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import directlyProvides, implementer, providedBy

from giftless.errors import Disconnected, WrongBody
from giftless.interfaces import IBody, IClaimedUpload, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.encrypted.blocks import BLOCK_SIZE, SEALED_BLOCK
from tests.contracts.multipart import bytes_of
from tests.storage.encrypted.uploads import SealedTestCase
from tests.support.bodies import ListBody, altered, read_all
from tests.support.making import key_of, payload_of

#: Where a connection breaks.
BREAKS = {3000: Disconnected("gone")}


class Killed(Exception):
    """The process is gone."""


class Life:
    """How long a process lives.

    :param steps: after how many steps it is killed.
    :param late: whether the last step is still done.
    """

    def __init__(self, steps: int, late: bool) -> None:
        self.left = steps
        self.late = late
        self.claimed: list[Any] = []

    @property
    def is_over(self) -> bool:
        """Whether it has been killed."""
        return self.left < 0

    async def step(self, method: Any, *args: Any) -> Any:
        """Do something, if it lives still."""
        if self.is_over:
            raise Killed
        self.left -= 1
        if self.is_over and not self.late:
            raise Killed
        result = await method(*args)
        if self.is_over:
            raise Killed
        return result


class Mortal:
    """A store that a process has until it is killed."""

    def __init__(self, store: Any, life: Life) -> None:
        self._store = store
        self._life = life
        directlyProvides(self, providedBy(store))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("put", "delete", "open", "sizes"):
            return found
        return lambda *args: self._life.step(found, *args)

    async def claim(self, key: ObjectKey, size: int) -> Any:
        upload = await self._store.claim(key, size)
        self._life.claimed.append(upload)
        return MortalUpload(upload, self._life)


@implementer(IClaimedUpload)
class MortalUpload:
    """The same with an upload; bytes are written one by one chunk."""

    def __init__(self, upload: Any, life: Life) -> None:
        self._upload = upload
        self._life = life
        self.wanted = upload.wanted

    @property
    def offset(self) -> int | None:
        found: int | None = self._upload.offset
        return found

    @property
    def changed(self) -> float:
        return float(self._upload.changed)

    async def begin(self, extras: Extras) -> None:
        await self._life.step(self._upload.begin, extras)

    async def append(self, body: IBody) -> None:
        await self._life.step(self._upload.append, MortalBody(body, self._life))

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        await self._life.step(self._upload.commit, payload, extras, verified)

    async def discard(self) -> None:
        await self._life.step(self._upload.discard)

    async def release(self) -> None:
        await self._upload.release()


@implementer(IBody)
class MortalBody:
    """Bytes of which some are written only in part."""

    def __init__(self, body: IBody, life: Life) -> None:
        self._body = body
        self._life = life
        self._rest = b""

    async def read(self) -> Sequence[bytes]:
        if self._rest:
            chunk, self._rest = self._rest, b""
            return list(await self._life.step(_returned, [chunk]))
        data = b"".join(await self._body.read())
        half, self._rest = data[: len(data) // 2], data[len(data) // 2 :]
        return [half] if half else []


async def _returned(value: Any) -> Any:
    return value


class KilledTests(SealedTestCase):
    """A process is killed between any two things that it does."""

    async def test_what_was_acknowledged_is_never_lost(self) -> None:
        data = bytes_of(2 * BLOCK_SIZE + 1000)
        key = key_of(data)
        for late in (False, True):
            for steps in range(100):
                life = Life(steps, late)
                acknowledged = await self.live(life, key, data)
                for upload in life.claimed:
                    await upload.release()
                self.assert_secret(data)
                await self.go_on(key, data, acknowledged)
                await self.make_inner().delete(key)
                if not life.is_over:
                    break
            else:
                self.fail("it never lives to the end")

    async def live(self, life: Life, key: ObjectKey, data: bytes) -> int:
        """Upload an object for as long as a process lives; return what it has acknowledged."""
        store = self.around(Mortal(self.make_inner(), life))
        acknowledged = 0
        with contextlib.suppress(Killed):
            for end in (10, 3000, BLOCK_SIZE + 500, len(data)):
                upload = await store.claim(key, len(data))
                await upload.begin({})
                middle = (upload.offset + end) // 2
                body = ListBody([data[upload.offset : middle], data[middle:end]], BREAKS.get(end))
                with contextlib.suppress(Disconnected):
                    await upload.append(body)
                acknowledged = upload.offset
                if acknowledged == len(data):
                    await upload.commit(payload_of(data), {}, False)
                await upload.release()
        return acknowledged

    async def go_on(self, key: ObjectKey, data: bytes, acknowledged: int) -> None:
        """Go on with the upload in another process."""
        store = await self.make_other()
        upload = await store.claim(key, len(data))
        if upload.offset is None and list(await store.sizes([key])) == [len(data)]:
            await upload.release()
        else:
            self.assertGreaterEqual(upload.offset or 0, acknowledged)
            await upload.begin({})
            await upload.append(ListBody([data[upload.offset :]]))
            await upload.commit(payload_of(data), {}, False)
            await upload.release()
        stored = await store.open(key)
        self.assertEqual(await read_all(stored.read(0, stored.size)), data)
        stored.close()

    async def test_other_bytes_behind_a_cut_block_are_found_out(self) -> None:
        """No other bytes are sealed under the same nonce; the upload begins anew."""
        data = bytes_of(BLOCK_SIZE + 10)
        bad, key = altered(data, 40_000), key_of(data)
        life = Life(100, False)
        store = self.around(Mortal(self.make_inner(), life))
        upload = await store.claim(key, len(data))
        await upload.begin({})
        # Half of a block is written, then no more.
        life.left = 1
        with contextlib.suppress(Killed):
            await upload.append(ListBody([bad[:BLOCK_SIZE]]))
        for claimed in life.claimed:
            self.assertGreater(claimed.offset, 0)
            self.assertLess(claimed.offset, SEALED_BLOCK)
            await claimed.release()
        store = await self.make_other()
        upload = await store.claim(key, len(data))
        self.assertEqual(upload.offset, 0)
        await upload.append(ListBody([data]))
        error = await self.assertFailure(
            Deferred.fromCoroutine(upload.commit(payload_of(data), {}, False)), WrongBody
        )
        self.assertIn("thrown away", error.message)
        self.assertIsNone(upload.offset)
        await upload.release()
        await self.go_on(key, data, 0)
