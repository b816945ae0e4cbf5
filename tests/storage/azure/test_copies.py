"""Copying blobs in an Azurite that verifies what is signed.

Azurite copies at once, so what Azure does later is told by a proxy in front of it.
"""

from __future__ import annotations

from collections.abc import Callable

from azure.core import MatchConditions
from azure.storage.blob import BlobClient
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.http_client import Answer
from giftless.errors import BadRequest, ServiceUnavailable
from giftless.lfs.objects import Extras, ObjectKey, in_trash
from giftless.storage.azure import answers, copies
from giftless.storage.azure.layout import MAX_NAME
from giftless.storage.azure.signing import Grant
from tests.contracts.copying import DATA, KEY, OTHER
from tests.contracts.listing import StoreContract
from tests.storage.azure.test_listing import AzureListingTestCase
from tests.storage.remote.listing_contract import ReachesStore
from tests.support.faulty import Fault, answer
from tests.support.making import oid_of, repo_of


def _is_copy(head: bytes) -> bool:
    return b"x-ms-copy-source:" in head.lower()


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers of a request."""
    lines = head.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
    return {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}


def _state(status: str, progress: int = 0) -> Fault:
    """Answer to HEAD as Azure does of a copy."""
    return answer(
        "200 OK",
        x_ms_copy_status=status,
        x_ms_copy_progress=f"{progress}/{len(DATA)}",
        ETag='"1"',
        x_ms_blob_type="BlockBlob",
    )


class CopiesTests(AzureListingTestCase, ReachesStore, StoreContract):
    async def test_a_copy_has_all_that_microsoft_s_client_sees_of_a_blob(self) -> None:
        await self.prepare()
        extras: Extras = {"filename": "\u00fcber \u2764.png", "n": 1}
        await self.add(KEY, DATA, extras)
        self.assertIs(await self.store.copy(KEY, in_trash(KEY)), True)
        name = self.store.container.layout.name
        one, two = (self.blob(name(key)).get_blob_properties() for key in (KEY, in_trash(KEY)))
        self.assertEqual(two.metadata, one.metadata)
        self.assertEqual(two.size, one.size)
        for setting in ("content_type", "content_disposition", "content_md5"):
            self.assertEqual(two.content_settings[setting], one.content_settings[setting])
        self.assertEqual(self.blob(name(in_trash(KEY))).download_blob().readall(), DATA)

    async def test_it_is_asked_as_microsoft_s_own_client_asks(self) -> None:
        """But for what either adds on its own."""
        await self.prepare()
        await self.add(KEY, DATA)
        heads: list[bytes] = []
        proxy = await self.behind()
        proxy.fault = lambda head: heads.append(head) if _is_copy(head) else None
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        properties = self.blob(KEY.path).get_blob_properties()
        client = BlobClient(
            self.endpoint(proxy), self.container, in_trash(KEY).path, credential=self.server.KEY
        )
        source, _ = await self.store.container._sign(
            f"{self.endpoint(proxy)}/{self.container}", KEY, Grant("r"), 600
        )
        await deferToThread(
            client.start_copy_from_url,
            source,
            source_etag=properties.etag,
            source_match_condition=MatchConditions.IfNotModified,
        )
        ours, theirs = map(_headers, heads)
        for name in ("x-ms-copy-source", "x-ms-source-if-match"):
            self.assertEqual(ours[name].partition("?")[0], theirs[name].partition("?")[0], name)
        self.assertEqual(ours.keys() - theirs.keys(), set())

    async def test_a_copy_that_azure_makes_later_is_waited_for(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        self.patch(copies, "POLL", 0.01)
        proxy = await self.behind()
        states = [_state("pending", 10), _state("pending", 10), _state("pending")]
        begun = False

        def fault(head: bytes) -> Fault | None:
            nonlocal begun
            if _is_copy(head):
                begun = True
                # It is made behind the answer.
                self.blob(OTHER.path).upload_blob(DATA, metadata={"giftless": "eyJuIjoxfQ=="})
                return answer("202 Accepted", x_ms_copy_status="pending", x_ms_copy_id="1")
            return states.pop() if begun and states and head.startswith(b"HEAD") else None

        proxy.fault = fault
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(states, [])
        self.assertEqual(await self.extras_of(OTHER), {"n": 1})

    async def test_a_copy_that_is_not_there_yet_is_no_object(self) -> None:
        await self.prepare()
        for status in ("pending", "failed", "aborted"):
            proxy = await self.behind()
            proxy.fault = _told(_state(status))
            self.assertEqual(await self.sizes(KEY), [None])
            self.assertIsNone(await self.store.open(KEY))
            self.assertIs(await self.store.copy(KEY, OTHER), False)
            # What will never be an object is removed.
            removed = any(line.startswith("DELETE") for line in proxy.requests)
            self.assertEqual(removed, status != "pending")

    async def test_whoever_copies_the_same_is_waited_for(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        self.patch(copies, "POLL", 0.01)
        proxy = await self.behind()

        def fault(head: bytes) -> Fault | None:
            if not _is_copy(head):
                return None
            self.blob(OTHER.path).upload_blob(DATA)
            return answer("409 Conflict", x_ms_error_code="PendingCopyOperation")

        proxy.fault = fault
        self.assertIs(await self.store.copy(KEY, OTHER), True)

    async def test_a_copy_that_fails_is_an_error(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        self.patch(copies, "POLL", 0.01)
        self.patch(copies, "STALLED", 0.2)
        for later in ("failed", "aborted", "pending"):
            proxy = await self.behind()
            begun: list[bool] = []
            proxy.fault = _later(begun, later)
            with self.assertRaises(ServiceUnavailable):
                await self.store.copy(KEY, OTHER)
            self.assertEqual(begun, [True])

    async def test_what_has_another_md5_is_an_error(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        proxy = await self.behind()

        def fault(head: bytes) -> Fault | None:
            if not _is_copy(head):
                return None
            self.blob(OTHER.path).upload_blob(bytes(len(DATA)))
            return answer("202 Accepted", x_ms_copy_status="success")

        proxy.fault = fault
        with self.assertRaises(ServiceUnavailable):
            await self.store.copy(KEY, OTHER)

    async def test_whatever_can_be_stored_can_be_moved_to_the_trash(self) -> None:
        await self.prepare()
        longest = "/".join("x" * 200 for _ in range(4))
        for length in range(MAX_NAME - 64 - 1 - len(longest) - 1, 0, -1):
            key = ObjectKey(repo_of(f"{longest}/{'y' * length}"), oid_of(b"x"))
            try:
                self.store.container.layout.name(key)
            except BadRequest:
                continue
            break
        self.assertEqual(len(in_trash(key).path), MAX_NAME)
        await self.add(key, b"x")
        self.assertIs(await self.store.copy(key, in_trash(key)), True)
        self.assertEqual([entry.key for entry in await self.listed(trash=True)], [in_trash(key)])


def _told(fault: Fault) -> Callable[[bytes], Fault | None]:
    """Say the same of every blob."""
    return lambda head: fault if head.startswith(b"HEAD") else None


def _later(begun: list[bool], status: str) -> Callable[[bytes], Fault | None]:
    """Say that a blob is copied later, and then that it has this status."""

    def fault(head: bytes) -> Fault | None:
        if _is_copy(head):
            begun.append(True)
            return answer("202 Accepted", x_ms_copy_status="pending")
        return _state(status) if begun and head.startswith(b"HEAD") else None

    return fault


class ListTests(SynchronousTestCase):
    """Azurite says of no blob that it is being copied."""

    def test_blobs_that_are_not_copied_are_no_objects(self) -> None:
        blobs = "".join(
            f"<Blob><Name>{status or 'own'}</Name><Properties>"
            "<Last-Modified>Wed, 09 Sep 2020 09:20:03 GMT</Last-Modified>"
            "<Content-Length>3</Content-Length>"
            + (f"<CopyStatus>{status}</CopyStatus>" if status else "")
            + "</Properties></Blob>"
            for status in ("", "success", "pending", "failed", "aborted")
        )
        text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        page = answers.read_list(Answer(200, {}, text.encode(), True))
        self.assertEqual([entry.name for entry in page.entries], ["own", "success"])
