"""What tests of stores behind HTTP share that list and delete, under a reactor that runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from giftless.base.concurrency import settle
from giftless.errors import BadRequest, ServiceUnavailable
from giftless.interfaces import IStreamingStore
from giftless.lfs.objects import Extras, ObjectKey, Oid, Repo, in_trash
from giftless.storage.remote.listing import EntryPage, read_cursor, write_cursor
from tests.contracts.copying import DATA, KEY, OTHER, CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.support.bodies import ListBody
from tests.support.faulty import PATIENT, RESET, SLOW_DOWN, Fault, FaultyProxy, answer
from tests.support.making import key_of, put_object
from tests.support.rounds import rounds

if TYPE_CHECKING:

    class _Mixin(CopyingContract, ListingContract, DeletingContract, RemoteTestCase):
        """What is mixed together."""
else:
    _Mixin = object


class ReachesStore(_Mixin):
    """Has a real store; a test says how it is reached.

    :cvar options: those of the stores under test.
    """

    options: dict[str, Any] = {"mode": "direct"}

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    def port(self) -> int:
        """Return where the store listens."""
        raise NotImplementedError

    def endpoint(self, proxy: FaultyProxy) -> str:
        """Return the endpoint's URL behind a proxy."""
        return proxy.url

    def place(self, name: str, data: bytes) -> None:
        """Put something into the store, past the daemon."""
        raise NotImplementedError

    async def make_store(self) -> Any:
        return self.build(**self.options)

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        if IStreamingStore.providedBy(self.store):
            await put_object(self.store, key, len(data), ListBody([data]), extras or {})
            return
        action = await self.store.upload_action(key, len(data), 600, extras or {})
        reply = await self.environment().http.request(
            "PUT", action.href, headers=action.header, data=data
        )
        self.assertLess(reply.code, 300, await reply.content())

    async def add_foreign(self, path: str) -> None:
        self.place(self.store.container.layout.below(path), b"foreign")

    async def add_wrong(self, key: ObjectKey, data: bytes) -> None:
        self.place(self.store.container.layout.name(key), data)

    async def behind(self, timeout: int = PATIENT) -> FaultyProxy:
        """Make the daemon's way to the store lead through a proxy that can misbehave.

        :param timeout: for how many seconds an answer is waited for.
        """
        self.store, proxy = self.build_behind(timeout)
        return proxy

    def build_behind(self, timeout: int) -> tuple[Any, FaultyProxy]:
        """Build a store that is reached through a proxy; see :meth:`behind`."""
        proxy = FaultyProxy(self.port())
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        options = {"timeout": timeout, **self.options, "endpoint_url": self.endpoint(proxy)}
        return self.build(**options), proxy


class RemoteListing(ReachesStore):
    """Listing and deleting in a real store."""

    async def test_what_is_not_below_the_prefix_is_left_out(self) -> None:
        await self.prepare()
        keys = await self.fill(2)
        self.store = self.build(**{**self.options, "prefix": "elsewhere"})
        self.assertEqual(await self.listed(), [])
        await self.fill(1, "a")
        self.store = self.build(**self.options)
        found = [entry.key for entry in await self.listed() if entry.key.repo.path == "org/repo"]
        self.assertEqual(set(found), keys)

    async def test_the_trash_is_found_without_listing_everything(self) -> None:
        """Before it and behind it are objects, in each of the organisations."""
        await self.prepare()
        name = self.store.container.layout.name
        keys = []
        each = rounds(2, 4)
        for organisation in ("+", "a", "a-", "a,", "a0", "b"):
            for repository in ("!", "-", "zz", "zz/y"):
                for number in range(each):
                    key = ObjectKey(Repo((organisation, repository)), Oid(f"{number:064x}"))
                    self.place(name(key), b"x")
                    if organisation != "a0" and repository != "zz":
                        keys.append(in_trash(key))
                        self.place(name(keys[-1]), b"x")
        for limit in (each, 100):
            self.assert_listed(await self.listed(limit=limit, trash=True), keys)
        if not self.store.container.lists_after:
            return
        pages, cursor = 0, None
        while True:
            page = await self.store.list(None, cursor, each, trash=True)
            pages, cursor = pages + 1, page.next_cursor
            if cursor is None:
                break
        # All together, there are 39 times as many objects as a page has.
        self.assertLess(pages, 39 * 0.75)

    async def test_a_list_that_begins_elsewhere_is_an_error(self) -> None:
        await self.prepare()
        if not self.store.container.lists_after:
            return
        await self.fill(3)
        cursor = (await self.store.list(None, None, 1, trash=True)).next_cursor
        ask = self.store.container.list_entries

        async def forgetful(*asked: Any) -> EntryPage:
            return await ask(*asked[:4])

        self.patch(self.store.container, "list_entries", forgetful)
        with self.assertRaises(ServiceUnavailable):
            await self.store.list(None, cursor, 1, trash=True)

    async def test_a_list_that_goes_on_for_ever_is_an_error(self) -> None:
        await self.prepare()
        await self.fill(3)
        cursor = (await self.store.list(None, None, 1)).next_cursor
        marker = read_cursor(cursor, self.store.container.layout.below(""))
        ask = self.store.container.list_entries

        async def stuck(*asked: Any) -> EntryPage:
            return EntryPage((await ask(*asked)).entries, marker)

        self.patch(self.store.container, "list_entries", stuck)
        with self.assertRaises(ServiceUnavailable):
            await self.store.list(None, cursor, 1)

    async def test_a_cursor_of_another_list_is_refused(self) -> None:
        await self.prepare()
        await self.fill(3)
        page = await self.store.list(None, None, 1)
        for cursor in (page.next_cursor, write_cursor("", ""), write_cursor("x", "y")):
            with self.assertRaises(BadRequest):
                await self.store.list(key_of(b"").repo, cursor)


class RemoteListingFaults(RemoteListing):
    """What does not depend on the mode, beside all the rest: it takes its time."""

    async def assert_unavailable(
        self,
        work: Callable[[Any], Coroutine[Any, Any, object]],
        faults: Iterable[Fault],
        meets: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Fail unless work cannot be done, in whichever way the store misbehaves.

        All ways are tried at once: to give up takes a second.

        :param work: what is done with a store.
        :param meets: which requests are answered so, by their first bytes.
        """

        async def fail_at(fault: Fault) -> None:
            store, proxy = self.build_behind(timeout=1)
            proxy.fault = lambda head: fault if meets(head) else None
            with self.assertRaises(ServiceUnavailable) as caught:
                await work(store)
            self.assertGreater(caught.exception.retry_after, 0)

        await settle(map(fail_at, faults))

    async def test_a_list_that_cannot_be_had_is_an_error(self) -> None:
        """Never an empty list, nor a part of one."""
        await self.prepare()
        await self.fill(3)
        faults = (
            RESET,
            SLOW_DOWN,
            Fault("cut", after=500),
            answer("200 OK"),
            answer("200 OK", b"<html>hello</html>"),
            answer("403 Forbidden"),
            answer("404 Not Found"),
            answer("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>"),
            answer("302 Found", Location="http://elsewhere.example/"),
        )
        await self.assert_unavailable(lambda store: store.list(None), faults)
        self.assertEqual(len(await self.listed()), 3)

    async def test_what_passes_soon_is_not_noticed(self) -> None:
        await self.prepare()
        keys = await self.fill(3)
        proxy = await self.behind()
        proxy.then(SLOW_DOWN)
        self.assert_listed(await self.listed(), keys)
        proxy.then(SLOW_DOWN)
        await self.store.delete(key_of(b"object 0"))
        self.assertEqual(len(await self.listed()), 2)

    async def test_a_copy_that_is_not_confirmed_is_an_error(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        faults = (
            RESET,
            SLOW_DOWN,
            answer("403 Forbidden"),
            answer("200 OK"),
            answer("202 Accepted"),
            answer("200 OK", b"<html>hello</html>"),
            answer("200 OK", b"<Error><Code>InternalError</Code></Error>"),
            answer("200 OK", b"<CopyObjectResult></CopyObjectResult>"),
            answer("200 OK", b'{"done": true}'),
            answer("200 OK", b'{"done": false}'),
            answer("200 OK", b'{"done": false, "rewriteToken": "x"}'),
            answer("200 OK", b'{"done": false, "rewriteToken": "x", "totalBytesRewritten": "y"}'),
            answer("302 Found", Location="http://elsewhere.example/"),
        )
        await self.assert_unavailable(lambda store: store.copy(KEY, OTHER), faults, _is_copy)
        self.assertEqual(await self.sizes(KEY, OTHER), [len(DATA), None])
        self.assertIs(await self.store.copy(KEY, OTHER), True)

    async def test_a_copy_is_tried_again_as_long_as_its_source_changes(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA, {"n": 1})
        proxy = await self.behind()
        changed = answer("412 Precondition Failed", x_ms_error_code="SourceConditionNotMet")
        faults = [changed, SLOW_DOWN]
        proxy.fault = lambda head: faults.pop() if faults and _is_copy(head) else None
        self.assertIs(await self.store.copy(KEY, OTHER), True)
        self.assertEqual(await self.bytes_of(OTHER), DATA)
        self.assertEqual(faults, [])
        await self.store.delete(OTHER)
        proxy.fault = lambda head: changed if _is_copy(head) else None
        with self.assertRaises(ServiceUnavailable):
            await self.store.copy(KEY, OTHER)

    async def test_what_cannot_be_looked_at_is_not_absent(self) -> None:
        await self.prepare()
        await self.add(KEY, DATA)
        faults = (RESET, answer("403 Forbidden"), answer("404 Not Found"))
        await self.assert_unavailable(lambda store: store.copy(KEY, OTHER), faults)

    async def test_deleting_that_is_not_confirmed_is_an_error(self) -> None:
        await self.prepare()
        await self.fill(1)
        faults = (
            RESET,
            SLOW_DOWN,
            answer("403 Forbidden"),
            answer("404 Not Found"),
            answer("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>"),
        )
        await self.assert_unavailable(lambda store: store.delete(key_of(b"object 0")), faults)
        self.assertEqual(len(await self.listed()), 1)


def _is_copy(head: bytes) -> bool:
    """Whether a request copies an object."""
    return b"-copy-source:" in head.lower() or b"/rewriteTo/" in head
