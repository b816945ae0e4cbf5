"""Objects of another server are opened for an import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from giftless.client import fetching
from giftless.client.fetching import Remote
from giftless.importing.offers import NoSource, NotThere, Offer, Unreadable
from giftless.lfs.objects import ObjectKey, Oid, Repo
from tests.agent.server import Answer, Asked
from tests.client.support import ClientTestCase, SmallServer, oid_of
from tests.client.test_server import all_of
from tests.support.reactor import reactor

DATA = [b"object %d" % number * 100 for number in range(250)]
REPO = Repo(("acme", "rocket"))


def offer_of(data: bytes, size: int | None = -1) -> Offer:
    """Offer an object; its size is known unless another one is given."""
    key = ObjectKey(REPO, Oid(oid_of(data)))
    return Offer(key, len(data) if size == -1 else size, "there")


class FetchingTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(fetching, "_PAUSE", 0.01)

    def remote(self, server: SmallServer, data: Sequence[bytes]) -> Remote:
        """Make the remote side of a server, on a page of offers."""
        remote = Remote(self.client(server.url, attempts=1), reactor)

        def pages() -> Iterator[Sequence[Offer]]:
            yield [offer_of(each) for each in data]

        next(remote.pages(pages()))
        return remote

    async def read(self, remote: Remote, data: bytes, size: int | None = -1) -> bytes:
        """Read an object."""
        body = await remote.open(offer_of(data, size))
        try:
            return await all_of(body)
        finally:
            body.close()

    async def fails(self, kind: type[Exception], remote: Remote, *arguments: Any) -> str:
        """Return the words that the reading of an object ends in."""
        reading: Deferred[Any] = Deferred.fromCoroutine(self.read(remote, *arguments))
        return str(await self.assertFailure(reading, kind))


class FetchingTests(FetchingTestCase):
    async def test_objects_are_asked_for_by_the_hundred(self) -> None:
        server = SmallServer(self, DATA)
        remote = self.remote(server, DATA)
        for data in DATA:
            self.assertEqual(await self.read(remote, data), data)
        self.assertEqual(len(server.asked("POST", "/objects/batch")), 3)

    async def test_actions_that_have_expired_are_asked_for_anew(self) -> None:
        server = SmallServer(self, DATA[:2])
        server.extra = {"expires_in": 3}  # less than what is taken for fresh
        remote = self.remote(server, DATA[:2])
        self.assertEqual(await self.read(remote, DATA[0]), DATA[0])
        self.assertEqual(await self.read(remote, DATA[1]), DATA[1])
        self.assertGreater(len(server.asked("POST", "/objects/batch")), 2)

    async def test_an_action_that_the_server_refuses_is_asked_for_anew(self) -> None:
        server = SmallServer(self, DATA[:1])
        refused: list[Asked] = []

        def fault(asked: Asked) -> Answer | None:
            if asked.method == "GET" and not refused:
                refused.append(asked)
                return Answer(403, b'{"message": "the token has expired"}')
            return None

        server.fault = fault
        remote = self.remote(server, DATA[:1])
        self.assertEqual(await self.read(remote, DATA[0]), DATA[0])

    async def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(self) -> None:
        data = bytes(range(256)) * 2000
        server = SmallServer(self, [data])
        cut: list[Asked] = []

        def fault(asked: Asked) -> Answer | None:
            if asked.method == "GET" and not cut:
                cut.append(asked)
                return Answer(200, data[:300_000], length=len(data))
            return None

        server.fault = fault
        remote = self.remote(server, [data])
        self.assertEqual(await self.read(remote, data), data)
        ranges = [asked.headers.get("range") for asked in server.http.asked[1:]]
        self.assertEqual(ranges, [None, "bytes=300000-"])

    async def test_a_server_without_ranges_is_read_from_the_beginning(self) -> None:
        data = bytes(range(256)) * 2000
        server = SmallServer(self, [data])
        cut: list[Asked] = []

        def fault(asked: Asked) -> Answer | None:
            if asked.method == "GET":
                cut.append(asked)
                return Answer(200, data if len(cut) > 1 else data[:300_000], length=len(data))
            return None

        server.fault = fault
        remote = self.remote(server, [data])
        self.assertEqual(await self.read(remote, data), data)

    async def test_a_transfer_that_always_breaks_off_is_given_up(self) -> None:
        server = SmallServer(self, DATA[:1])

        def fault(asked: Asked) -> Answer | None:
            return Answer(200, b"", length=900) if asked.method == "GET" else None

        server.fault = fault
        await self.fails(Unreadable, self.remote(server, DATA[:1]), DATA[0])
        self.assertEqual(len(server.asked("GET", "")), 4)

    async def test_what_the_server_does_not_have_is_told(self) -> None:
        server = SmallServer(self)
        words = await self.fails(NotThere, self.remote(server, DATA[:1]), DATA[0])
        self.assertEqual(words, "there is no such object")

    async def test_an_object_without_an_action_is_told(self) -> None:
        server = SmallServer(self, DATA[:1])
        server.fault = lambda asked: Answer(
            200, b'{"objects": [{"oid": "%s"}]}' % oid_of(DATA[0]).encode()
        )
        words = await self.fails(NotThere, self.remote(server, DATA[:1]), DATA[0])
        self.assertIn("names no way", words)

    async def test_an_object_of_unknown_size_is_read(self) -> None:
        server = SmallServer(self, DATA[:1])
        self.assertEqual(await self.read(self.remote(server, DATA[:1]), DATA[0], None), DATA[0])

    async def test_a_server_that_cannot_be_asked_ends_the_import(self) -> None:
        server = SmallServer(self)
        server.fault = lambda asked: Answer(403, b'{"message": "you may not read it"}')
        words = await self.fails(NoSource, self.remote(server, DATA[:1]), DATA[0])
        self.assertIn("403 you may not read it", words)

    async def test_a_server_that_gives_nothing_any_more_ends_the_import(self) -> None:
        server = SmallServer(self, DATA)
        server.fault = lambda asked: Answer(507) if asked.method == "GET" else None
        remote = self.remote(server, DATA)
        for data in DATA[:9]:
            await self.fails(Unreadable, remote, data)
        await self.fails(NoSource, remote, DATA[9])


class HostileTests(FetchingTestCase):
    async def test_a_body_without_end_is_cut_off(self) -> None:
        server = SmallServer(self, DATA[:1])
        sent = b"x" * 10_000_000
        server.fault = lambda asked: Answer(200, sent) if asked.method == "GET" else None
        words = await self.fails(Unreadable, self.remote(server, DATA[:1]), DATA[0])
        self.assertIn("more than the 800 bytes", words)

    async def test_other_bytes_than_were_asked_for_are_not_taken(self) -> None:
        data = bytes(range(256)) * 2000
        server = SmallServer(self, [data])

        def fault(asked: Asked) -> Answer | None:
            if asked.method != "GET":
                return None
            if "range" not in asked.headers:
                return Answer(200, data[:300_000], length=len(data))
            return Answer(206, data[1:], {"Content-Range": f"bytes 1-2/{len(data)}"})

        server.fault = fault
        words = await self.fails(Unreadable, self.remote(server, [data]), data)
        self.assertIn("other bytes", words)

    async def test_an_action_that_leads_to_a_file_is_refused(self) -> None:
        server = SmallServer(self, DATA[:1])
        server.extra = {"href": "file:///etc/passwd"}
        words = await self.fails(Unreadable, self.remote(server, DATA[:1]), DATA[0])
        self.assertIn("no http:// or https:// URL", words)
