"""Downloads that are sent as they are stored, to clients that ask for it."""

from __future__ import annotations

import os
from typing import Any

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.threads import Threads
from giftless.interfaces import ObjectServed
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import build_coded
from giftless.storage.local.store import LocalStore
from giftless.web.encodings import accepts
from tests.support.blocking import InlineBlocking
from tests.support.events import Recorder, events_to
from tests.support.making import environment, oid_of
from tests.support.memory import MemoryStore
from tests.support.reactor import reactor
from tests.web.support import FrontTestCase, Peer, PortTestCase, Response, storage_url

TEXT = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(100_000))
PLAIN = os.urandom(9000)
OID = oid_of(TEXT)
URL = storage_url(OID)

#: What a client says that wants Zstandard, as a header and as an argument.
ZSTD = {"Accept-Encoding": "gzip, zstd"}
ZSTD_ARGUMENT = {"Accept_Encoding": "gzip, zstd"}


def unpack(data: bytes) -> bytes:
    """Return what a stream of Zstandard holds."""
    unpacked: bytes = (
        zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
    )
    return unpacked


def coded(case: Any, store: Any, blocking: Any = None) -> Any:
    """Return a store that compresses objects in another one."""
    lent = environment(case.mktemp(), blocking=blocking or InlineBlocking())
    return build_coded(store, load_compression("zstd"), None, lent)


class AcceptTests(SynchronousTestCase):
    def test_an_encoding_must_be_named(self) -> None:
        for value in ("zstd", "gzip,zstd", " ZSTD ;q=0.001", "br;q=1, zstd;q=1.0, *;q=0", "zstd;x"):
            self.assertTrue(accepts(value, "zstd"), value)
        for other in (None, "", "*", "gzip", "zstd;q=0", "zstd; Q = 0.000", "zstdx", "x;zstd", ","):
            self.assertFalse(accepts(other, "zstd"), other)

    @given(st.text())
    def test_any_header_has_an_answer(self, value: str) -> None:
        self.assertIsInstance(accepts(value, "zstd"), bool)


class EncodedTests(FrontTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.inner = MemoryStore()
        self.recorder = Recorder()
        self.serve(store=coded(self, self.inner), events=events_to(self.recorder))
        for data in (TEXT, PLAIN):
            response = self.request("PUT", storage_url(oid_of(data)), {}, data)
            self.assertEqual(response.status, 200)
        self.recorder.seen.clear()

    def get(self, *, method: str = "GET", **headers: str) -> Response:
        """Ask for the object."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, URL, named)

    def test_who_does_not_ask_gets_the_object(self) -> None:
        for headers in ({}, {"Accept_Encoding": "gzip, *"}, {"Accept_Encoding": "zstd;q=0"}):
            response = self.get(**headers)
            self.assertEqual(response.body, TEXT)
            self.assertNotIn("content-encoding", response.headers)
            self.assertEqual(response.headers["etag"], f'"{OID}"')
            self.assertEqual(response.headers["vary"], "Accept-Encoding")
            self.assertEqual(response.headers["accept-ranges"], "bytes")

    def test_who_asks_gets_it_as_it_is_stored(self) -> None:
        response = self.get(Accept_Encoding="gzip, zstd")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-encoding"], "zstd")
        self.assertEqual(response.headers["content-length"], str(len(response.body)))
        self.assertLess(len(response.body), len(TEXT) / 3)
        self.assertIn(response.body, next(iter(self.inner.objects.values())))
        self.assertEqual(unpack(response.body), TEXT)
        self.assertEqual(response.headers["etag"], f'"{OID}+zstd"')
        self.assertEqual(response.headers["accept-ranges"], "none")
        self.assertEqual(response.headers["vary"], "Accept-Encoding")
        (event,) = self.recorder.of(ObjectServed)
        self.assertEqual((event.size, event.sent), (len(TEXT), len(response.body)))
        self.assertTrue(event.complete)

    def test_a_question_has_the_same_headers(self) -> None:
        whole = self.get(Accept_Encoding="zstd")
        head = self.get(method="HEAD", Accept_Encoding="zstd")
        for name in ("content-encoding", "content-length", "etag", "vary", "accept-ranges"):
            self.assertEqual(head.headers[name], whole.headers[name])

    def test_ranges_are_those_of_the_object(self) -> None:
        for headers in ({}, {"If_Range": f'"{OID}"'}):
            response = self.get(Range="bytes=5-100", **ZSTD_ARGUMENT, **headers)
            self.assertEqual(response.status, 206)
            self.assertEqual(response.body, TEXT[5:101])
            self.assertNotIn("content-encoding", response.headers)
            self.assertEqual(response.headers["etag"], f'"{OID}"')

    def test_what_was_begun_encoded_is_not_gone_on_with_otherwise(self) -> None:
        """A client that resumes with the tag of encoded bytes gets all of them anew."""
        response = self.get(Range="bytes=5-100", If_Range=f'"{OID}+zstd"', **ZSTD_ARGUMENT)
        self.assertEqual(response.status, 200)
        self.assertEqual(unpack(response.body), TEXT)

    def test_either_tag_is_known(self) -> None:
        for tag in (OID, f"{OID}+zstd"):
            response = self.get(If_None_Match=f'"{tag}"', **ZSTD_ARGUMENT)
            self.assertEqual(response.status, 304)
            self.assertEqual(response.headers["etag"], f'"{OID}+zstd"')
            self.assertEqual(response.headers["vary"], "Accept-Encoding")
        self.assertEqual(self.get(If_None_Match=f'"{OID}+zstd"').status, 200)

    def test_what_is_not_compressed_is_sent_as_ever(self) -> None:
        response = self.request("GET", storage_url(oid_of(PLAIN)), ZSTD)
        self.assertEqual(response.body, PLAIN)
        self.assertNotIn("content-encoding", response.headers)
        self.assertNotIn("vary", response.headers)


class KernelTests(PortTestCase):
    """A file with compressed bytes is sent by the kernel."""

    async def test_a_file_is_sent_as_it_is_stored(self) -> None:
        os.makedirs(path := self.mktemp())
        threads = Threads(reactor, 4)
        threads.startService()
        self.addCleanup(threads.stopService)
        store = coded(self, LocalStore(path, "", threads), threads)
        await self.serve(store=store)

        def talk() -> None:
            peer = Peer(self.port)
            try:
                self.assertEqual(peer.request("PUT", URL, {}, TEXT).status, 200)
                for _ in range(2):
                    self.assertEqual(unpack(peer.request("GET", URL, ZSTD).body), TEXT)
                    self.assertEqual(peer.request("GET", URL).body, TEXT)
            finally:
                peer.close()

        await deferToThread(talk)
