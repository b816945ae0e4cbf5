"""Try whether a container takes, gives back and deletes an object.

It lies in ``.giftless/probe/`` below the store's prefix, where no repository can be.
What a killed process has left there is found in two lists, some time apart, and deleted.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import replace
from hashlib import sha256
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.http_client import Answer
from giftless.interfaces import Payload
from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Oid, Repo
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container

#: How many seconds a probe may take in all.
PROBE_TIMEOUT: Final = 4.0

#: How many seconds lie between two looks for what was left.
SWEEP_INTERVAL: Final = 60.0

#: Where probes lie.
_FOLDER: Final = Repo((RESERVED_PREFIX, "probe"))

#: How many bytes are written.
_BYTES: Final = 64

#: How many names are looked at; more come next time.
_LISTED: Final = 100

_log = Logger(namespace="giftless.storage")


class Probe:
    """Tries a container.

    :param container: where.
    :param clock: tells the time.
    """

    def __init__(self, container: Container, clock: IReactorTime) -> None:
        self._container = container
        self._clock = clock
        self._sweep_at = clock.seconds()
        self._left: Set[str] = frozenset()
        self._problem = ""

    async def run(self) -> None:
        """Write something fresh, read it back and delete it.

        :raises StoreError: if that fails, or takes too long.
        """

        def late(result: object, timeout: float) -> None:
            raise StoreError(f"a probe was not written, read and deleted in {timeout:g} seconds")

        trying = Deferred.fromCoroutine(self._try())
        await trying.addTimeout(PROBE_TIMEOUT, self._clock, late)
        if self._clock.seconds() >= self._sweep_at:
            self._sweep_at = self._clock.seconds() + SWEEP_INTERVAL
            # Nobody waits for it: a list may be long, or not be allowed.
            Deferred.fromCoroutine(self._sweep())

    async def _try(self) -> None:
        data = os.urandom(_BYTES)
        key = ObjectKey(_FOLDER, Oid(sha256(data).hexdigest()))
        await self._write(key, data)
        found = await self._read(key)
        await self._container.delete(key)
        if found != data:
            raise StoreError("the store gives other bytes than it was given")

    async def _write(self, key: ObjectKey, data: bytes) -> None:
        async def prepare() -> Request:
            payload = Payload(len(data), key.oid)
            request = await self._container.put_request(key, payload, {})
            return replace(request, body=data)

        answer = await self._container.client.ask(prepare, PROBE_TIMEOUT)
        if not 200 <= answer.status < 300:
            raise self._container.problem(answer)

    async def _read(self, key: ObjectKey) -> bytes:
        async def prepare() -> Request:
            return await self._container.get_request(key, 0, _BYTES)

        answer: Answer = await self._container.client.ask(prepare, PROBE_TIMEOUT)
        if answer.status not in (200, 206):
            raise self._container.problem(answer)
        return answer.body

    async def _sweep(self) -> None:
        """Delete what was there at the last look and is still there."""
        folder = self._container.layout.below(f"{_FOLDER.path}/")
        try:
            page = await self._container.list_entries(folder, False, None, _LISTED)
            names = {entry.name for entry in page.entries}
            for name in names & self._left:
                oid = name.removeprefix(folder)
                if Oid.PATTERN.fullmatch(oid):
                    await self._container.delete(ObjectKey(_FOLDER, Oid(oid)))
            self._left, self._problem = names, ""
        except StoreError as error:
            if error.problem != self._problem:
                self._problem = error.problem
                _log.warn(
                    "what killed processes have left in {folder} cannot be deleted: {problem}",
                    folder=folder,
                    problem=error.problem,
                )
        except Exception:
            _log.failure("what probes have left cannot be deleted")
