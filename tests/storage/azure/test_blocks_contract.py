"""What every store promises that takes parts, of stores in an Azurite."""

from __future__ import annotations

from typing import Any

import treq
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from giftless.base.bodies import PartBody
from giftless.base.http_client import http_client, quiet_pool
from giftless.interfaces import Environment, PartUpload
from giftless.lfs.multipart import Part
from giftless.lfs.objects import ObjectKey
from tests.contracts.multipart import (
    CheckedMultipartContract,
    MultipartContract,
    MultipartSteps,
)
from tests.storage.azure.support import StoreInAzurite
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import environment


class DirectSteps(StoreInAzurite, MultipartSteps, TestCase):
    """``mode: direct``."""

    options: dict[str, object] = {"mode": "direct"}

    def setUp(self) -> None:
        self.make_container()
        self.pool = quiet_pool(reactor)
        self.addCleanup(self.pool.closeCachedConnections)

    def environment(self) -> Environment:
        """Return what a factory is given."""
        return environment("", reactor, InlineBlocking(), http_client(reactor, self.pool))

    async def make_store(self) -> Any:
        return self.build(part_size=self.part_size, **self.options)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        (action,) = await self.store.part_actions(key, upload, [part], 3600)
        reply = await treq.put(action.href, data, headers=action.header or {}, pool=self.pool)
        await reply.content()
        self.assertEqual(reply.code, 201)

    async def get(self, key: ObjectKey) -> bytes | None:
        return self.server.objects(self.container).get(key.path)


class ProxySteps(DirectSteps):
    """``mode: proxy``, below a prefix."""

    options = {"mode": "proxy", "prefix": "team/a b"}

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        body = PartBody(ListBody([data[:5], data[5:]]), part.size, None, InlineBlocking())
        await self.store.put_part(key, upload, part, body)

    async def get(self, key: ObjectKey) -> bytes | None:
        return self.server.objects(self.container).get(f"team/a b/{key.path}")


class DirectTests(DirectSteps, MultipartContract):
    """What holds in any case."""


class ProxyTests(ProxySteps, MultipartContract):
    """The same, through the daemon."""


class CheckedDirectTests(DirectSteps, CheckedMultipartContract):
    """With ``verify_checksum``."""

    options = {"mode": "direct", "verify_checksum": True}


class CheckedProxyTests(ProxySteps, CheckedMultipartContract):
    """With ``verify_checksum``, through the daemon."""

    options = {"mode": "proxy", "prefix": "team/a b", "verify_checksum": True}
