"""What tests of uploads in parts to stores behind HTTP share, under a reactor that runs."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from unittest import mock

from twisted.internet import reactor as installed_reactor
from twisted.trial.unittest import TestCase

from giftless.base.bodies import PartBody
from giftless.base.http_client import KEPT_CONNECTIONS, http_client, quiet_pool
from giftless.errors import Conflict, ServiceUnavailable
from giftless.interfaces import (
    Environment,
    IExternalMultipartStore,
    IStreamingMultipartStore,
    PartUpload,
)
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.remote import xml_parts
from giftless.storage.remote.container import PROBE
from tests.contracts.multipart import CheckedMultipartContract, MultipartSteps
from tests.support.bodies import ListBody, read_all
from tests.support.faulty import SLOW_DOWN, Fault, FaultyProxy, answer
from tests.support.making import environment, payload_of
from tests.support.ports import free_port
from tests.support.threads import running_threads

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor

#: What no store has as an upload's id.
HOSTILE = ("", "../../etc", "a&uploads=", "x" * 3000, "a\r\nb", "\u2764", "%00", "0" * 32)


class RemoteTestCase(TestCase):
    """Has what a factory is given.

    :ivar state_dir: the directory of the daemon's own state.
    """

    state_dir = ""

    def setUp(self) -> None:
        self.threads = running_threads(self)
        self.pool = quiet_pool(reactor)
        self.pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self.addCleanup(self.pool.closeCachedConnections)

    def environment(self) -> Environment:
        """Return what a factory is given, with the real reactor."""
        return environment(self.state_dir, reactor, self.threads, http_client(reactor, self.pool))


if TYPE_CHECKING:

    class _Mixin(MultipartSteps, RemoteTestCase):
        """What is mixed together."""
else:
    _Mixin = object


class DirectSteps(_Mixin):
    """How clients upload and download with ``mode: direct``.

    A test's ``build`` makes such a store.
    """

    part_size = 5 * 1024**2

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    async def make_store(self) -> Any:
        return self.build(part_size=self.part_size)

    async def upload_part(
        self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes, **headers: str
    ) -> int:
        """Send a part with what the store has signed.

        :returns: the status.
        """
        (action,) = await self.store.part_actions(key, upload, [part], 600)
        sent = {**(action.header or {}), **{k.replace("_", "-"): v for k, v in headers.items()}}
        reply = await self.environment().http.request("PUT", action.href, headers=sent, data=data)
        await reply.content()
        status: int = reply.code
        return status

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        status = await self.upload_part(key, upload, part, data, Content_MD5=digest)
        self.assertEqual(status, 200)

    async def download(self, key: ObjectKey) -> Any:
        """Download an object, as a client does."""
        action = await self.store.download_action(key, 1, 600, {})
        return await self.environment().http.request("GET", action.href)

    async def get(self, key: ObjectKey) -> bytes | None:
        reply = await self.download(key)
        data: bytes = await reply.content()
        return data if reply.code == 200 else None


class DirectParts(DirectSteps):
    """Tests of ``mode: direct``.

    :cvar checks_length: whether a part of another length is refused at once.
    """

    checks_length = True

    async def test_clients_send_parts_to_the_store(self) -> None:
        await self.prepare()
        self.assertTrue(IExternalMultipartStore.providedBy(self.store))
        self.assertFalse(IStreamingMultipartStore.providedBy(self.store))
        self.assertEqual(self.store.want_digest, "contentMD5")

    async def test_a_wrong_digest_is_refused(self) -> None:
        """The header is not signed, and the store looks at it."""
        await self.prepare()
        upload, _ = await self.begin()
        part = self.plan.part(3)
        assert part is not None
        wrong = base64.b64encode(bytes(16)).decode()
        status = await self.upload_part(self.key, upload, part, b"x" * 7, Content_MD5=wrong)
        self.assertEqual(status, 400)
        self.assertIn("parts 1, 2, 3 are", (await self.refused(upload)).message)

    async def test_a_part_of_another_length_does_not_count(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        await self.send(upload, [1, 2])
        part = self.plan.part(3)
        assert part is not None
        for wrong in (b"x" * 6, b"x" * 8):
            status = await self.upload_part(self.key, upload, part, wrong)
            self.assertEqual(status >= 400, self.checks_length, status)
            self.assertIn("part 3 is missing", (await self.refused(upload)).message)
        self.assertEqual((await self.begin())[1], [3])
        await self.send(upload, [3])
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_a_signature_is_for_one_part_of_one_upload(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        part = self.plan.part(3)
        assert part is not None
        (action,) = await self.store.part_actions(self.key, upload, [part], 600)
        self.assertLessEqual(action.expires_in, 600)
        for href in (
            action.href.replace("partNumber=3", "partNumber=2"),
            action.href.replace("uploadId=", "uploadId=x"),
            action.href.replace(self.key.oid, "0" * 64),
            action.href.partition("?")[0],
        ):
            self.assertNotEqual(href, action.href)
            reply = await self.environment().http.request("PUT", href, data=b"x" * 7)
            await reply.content()
            self.assertEqual(reply.code, 403, href)
        self.assertEqual((await self.begin())[1], [1, 2, 3])

    async def test_what_the_batch_says_is_kept(self) -> None:
        await self.prepare()
        extras: Extras = {"filename": "\u00fcber.pdf", "n": 1}
        upload, missing = await self.begin(extras)
        await self.send(upload, missing)
        await self.commit(upload, extras)
        facts = await self.store.inspect(self.key)
        self.assertEqual((facts.size, facts.sha256), (len(self.data), None))
        self.assertEqual(facts.extras, extras)
        reply = await self.download(self.key)
        await reply.content()
        self.assertEqual(reply.headers.getRawHeaders("content-type"), ["application/pdf"])
        (found,) = reply.headers.getRawHeaders("content-disposition")
        self.assertIn("%C3%BCber.pdf", found)

    async def test_the_store_is_away(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        self.store = self.build(endpoint_url=f"http://127.0.0.1:{free_port()}", timeout=1)
        for operation in (
            self.store.begin(self.key, self.plan, {}),
            self.commit(upload),
            self.store.abort(self.key, upload),
        ):
            with self.assertRaises(ServiceUnavailable) as caught:
                await operation
            self.assertGreater(caught.exception.retry_after, 0)


class ProxySteps(_Mixin):
    """How the daemon passes parts on with ``mode: proxy``.

    A test's ``build`` makes such a store.
    """

    part_size = 5 * 1024**2

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    async def make_store(self) -> Any:
        return self.build(mode="proxy", part_size=self.part_size)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        md5 = hashlib.md5(data).digest()
        body = PartBody(ListBody([data[:5], data[5:]]), part.size, md5, self.threads)
        await self.store.put_part(key, upload, part, body)

    async def get(self, key: ObjectKey) -> bytes | None:
        stored = await self.store.open(key)
        if stored is None:
            return None
        data = await read_all(stored.read(0, stored.size))
        stored.close()
        return data


class ProxyParts(ProxySteps):
    """Tests of ``mode: proxy``."""

    async def test_parts_pass_through_the_daemon(self) -> None:
        await self.prepare()
        self.assertTrue(IStreamingMultipartStore.providedBy(self.store))
        self.assertFalse(IExternalMultipartStore.providedBy(self.store))

    async def test_a_part_of_no_upload_is_refused(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        await self.store.abort(self.key, upload)
        with self.assertRaises(Conflict):
            await self.send(upload, [3])

    async def test_the_store_is_away(self) -> None:
        await self.prepare()
        upload, _ = await self.begin()
        endpoint = f"http://127.0.0.1:{free_port()}"
        self.store = self.build(mode="proxy", endpoint_url=endpoint, timeout=1)
        with self.assertRaises(ServiceUnavailable):
            await self.send(upload, [3])


class VerifiedParts(CheckedMultipartContract):
    """``verify_checksum``: mixed in before one of the two above."""

    async def make_store(self) -> Any:
        store = await super().make_store()
        store.reads_back = True
        return store

    async def test_a_wrong_object_is_there_until_it_is_read_back(self) -> None:
        """The store itself compares nothing, whatever it is told beforehand."""
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing, bytes(len(self.data)))
        await self.store.commit(self.key, upload, payload_of(self.data), {})
        self.assertEqual(await self.get(self.key), bytes(len(self.data)))
        self.assertIn("SHA-256", (await self.refused(upload)).message)
        await self.assert_not_trusted()


class XmlParts(_Mixin):
    """What stores with the XML API do, beside all the rest.

    :cvar lists_uploads_in_pages: whether the server goes on with the uploads of
        one object.
    """

    lists_uploads_in_pages = True

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    def port(self) -> int:
        """Return where the store listens."""
        raise NotImplementedError

    def through(self, **options: Any) -> FaultyProxy:
        """Make the daemon's way to the store lead through a proxy."""
        proxy = FaultyProxy(self.port())
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        self.store = self.build(endpoint_url=proxy.url, **options)
        return proxy

    async def test_many_parts_are_listed_in_pages(self) -> None:
        await self.prepare()
        self.data, self.plan = self.data[:50], PartPlan(50, 10)
        upload, _ = await self.begin()
        await self.send(upload, [5, 2, 3, 4])
        with mock.patch.object(xml_parts, "PARTS_PAGE", 2):
            found = await self.store.container.find_parts(self.key, upload)
            self.assertEqual(
                {number: part.size for number, part in found.items()}, {2: 10, 3: 10, 4: 10, 5: 10}
            )
            self.assertEqual(await self.begin(), (upload, [1]))
            await self.send(upload, [1])
            self.assertEqual(await self.begin(), (upload, []))

    async def test_many_uploads_are_listed_in_pages(self) -> None:
        await self.prepare()
        for _ in range(5):
            await self.store.container.create_upload(self.key, {})
        with mock.patch.object(xml_parts, "UPLOADS_PAGE", 2):
            found = await self.store.container.find_uploads(self.key)
        self.assertEqual(len(found), 5 if self.lists_uploads_in_pages else 2)
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual(len(await self.store.container.find_uploads(self.key)), 5)

    async def test_an_object_whose_name_goes_on_is_another(self) -> None:
        await self.prepare()
        longer = mock.Mock(path=f"{self.key.path}0", oid=self.key.oid)
        await self.store.container.create_upload(longer, {})
        self.assertEqual(await self.store.container.find_uploads(self.key), [])

    async def test_an_id_that_is_none(self) -> None:
        """Of a token that was made for another storage, at worst."""
        await self.prepare()
        for name in HOSTILE:
            upload = PartUpload(name, self.plan)
            await self.store.abort(self.key, upload)
            self.assertIn("not there any more", (await self.refused(upload)).message, name)
        upload, missing = await self.begin()
        await self.send(upload, missing)
        await self.commit(upload)
        for name in HOSTILE:
            await self.store.abort(self.key, PartUpload(name, self.plan))
            await self.commit(PartUpload(name, self.plan))
        self.assertEqual(await self.get(self.key), self.data)

    async def test_an_answer_that_is_lost(self) -> None:
        """The object has been made, and the question is asked again."""
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        store, proxy = self.store, self.through()
        cuts = iter([Fault("cut", after=0)])
        proxy.fault = lambda head: next(cuts, None) if head.startswith(b"POST") else None
        await self.commit(upload)
        self.assertEqual(len([line for line in proxy.requests if line.startswith("POST")]), 2)
        self.store = store
        self.assertEqual(await self.get(self.key), self.data)

    async def test_a_failure_whose_status_was_sent_before(self) -> None:
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        store, proxy = self.store, self.through()
        failed = b"<?xml version='1.0'?>\n  \n  <Error><Code>InternalError</Code></Error>"
        said = answer("200 OK", failed)
        proxy.fault = lambda head: said if head.startswith(b"POST") else None
        with self.assertRaises(ServiceUnavailable):
            await self.commit(upload)
        self.store = store
        self.assertIsNone(await self.get(self.key))
        await self.commit(upload)
        self.assertEqual(await self.get(self.key), self.data)

    async def test_what_passes_soon_is_not_noticed(self) -> None:
        await self.prepare()
        proxy = self.through(part_size=self.part_size)
        proxy.then(SLOW_DOWN, None, SLOW_DOWN)
        upload, missing = await self.begin()
        self.assertEqual(missing, [1, 2, 3])
        proxy.then(SLOW_DOWN)
        await self.store.abort(self.key, upload)

    async def test_a_check_leaves_nothing_behind(self) -> None:
        await self.prepare()
        await self.store.check()
        self.assertEqual(await self.store.container.find_uploads(PROBE), [])
        self.assertEqual(list(await self.store.sizes([PROBE])), [None])

    async def test_five_terabytes_fit(self) -> None:
        await self.prepare()
        for size in (5 * 10**12, 5 * 1024**4):
            plan = self.store.plan(size)
            self.assertLessEqual(plan.count, 10_000)
            self.assertLessEqual(plan.part_size, 5 * 1024**3)
