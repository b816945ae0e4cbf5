"""What every store promises that lists and deletes (``IListing``, ``IDeleting``).

Both contracts work with any reactor, or none: each test is a coroutine, and
whoever mixes a contract in lets trial await it.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from zope.interface.verify import verifyObject

from giftless.errors import BadRequest
from giftless.interfaces import (
    MAX_PAGE,
    IDeleting,
    IInspector,
    IListing,
    IReadableStore,
    IStreamingStore,
    ListedObject,
)
from giftless.lfs.objects import Extras, ObjectKey, in_trash
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, oid_of, put_object, repo_of

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Mixin
else:
    _Mixin = object

#: Repositories whose paths are easily taken for each other's.
NESTED = ("org/repo", "org", "org/repo/sub", "org/repo/sub/deeper", "org/repo2", "org/rep", "o")

#: Repositories whose paths need care in URLs, XML and file names.
PECULIAR = (
    "org/r\u00e9po",
    "\u2764/\U0001f600",
    "a b/c+d",
    "a/b=c&d?e",
    "#/;:@",
    'a"b<e>/&amp;',
    "100%/%2F",
    "Org/Repo",
    "org/repo.git",
    "org/.hidden",
)

#: What no store has given as a cursor.
HOSTILE_CURSORS = (
    "",
    "x",
    "0",
    "/",
    "..",
    "../../etc/passwd",
    "\x00",
    "%00",
    "\u2764",
    "\ud800",
    "a\r\nb: c",
    "x" * 3000,
    "org/repo/../../" + "0" * 64,
    base64.urlsafe_b64encode(b'{"x": ' + b"[" * 100_000).decode(),
)

#: Where something may lie that is no object: an oid where no repository is, a
#: name that is no oid, a directory that looks like an oid, the server's own.
FOREIGN = (
    "README.txt",
    "0" * 64,
    "org/repo/README.txt",
    "org/repo/" + "A" * 64,
    "org/repo/" + "0" * 63,
    "org/repo/" + "0" * 64 + ".part",
    "org/" + "0" * 64 + "/" + "1" * 64,
    ".giftless/notes/" + "0" * 64,
    ".giftless/trash/" + "0" * 64,
    "org/.giftless-old/" + "0" * 64,
    "org/.giftless/" + "0" * 64,
    "org/.giftless/other/" + "0" * 64,
    "org/repo/.giftless/trash/" + "0" * 64,
    "org/.giftless/trash/README.txt",
    "org/.giftless/trash/repo/" + "0" * 63,
    "org/.giftless/trash/.giftless/trash/" + "0" * 64,
    "org/.giftless/trash/" + "0" * 64 + "/" + "1" * 64,
)


class StoreContract(_Mixin):
    """How the contracts reach a store.

    :cvar foreign: the places of which :data:`FOREIGN` the store can have.
    :cvar tells_time: whether it tells when objects were stored.
    """

    foreign: ClassVar[Iterable[str]] = FOREIGN
    tells_time: ClassVar[bool] = True

    async def make_store(self) -> Any:
        """Return an empty store."""
        raise NotImplementedError

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        """Store an object; a store that is no ``IStreamingStore`` needs another way."""
        assert IStreamingStore.providedBy(self.store), "override add"
        await put_object(self.store, key, len(data), ListBody([data]), extras or {})

    async def add_foreign(self, path: str) -> None:
        """Put something that is no object at ``path``, below the store's prefix."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Make a store."""
        self.store = await self.make_store()

    async def add_wrong(self, key: ObjectKey, data: bytes) -> None:
        """Store bytes that are not those of the key; a store that notices needs another way."""
        await self.add(key, data)

    async def extras_of(self, key: ObjectKey) -> Extras:
        """Return the extras that an object has."""
        if IReadableStore.providedBy(self.store):
            stored = await self.store.open(key)
            assert stored is not None
            try:
                return dict(stored.extras)
            finally:
                stored.close()
        assert IInspector.providedBy(self.store)
        facts = await self.store.inspect(key)
        assert facts is not None
        return dict(facts.extras)

    async def sizes(self, *keys: ObjectKey) -> list[int | None]:
        """Ask for sizes."""
        return list(await self.store.sizes(keys))

    async def bytes_of(self, key: ObjectKey) -> bytes | None:
        """Return an object's bytes."""
        assert IReadableStore.providedBy(self.store)
        stored = await self.store.open(key)
        if stored is None:
            return None
        try:
            return await read_all(stored.read(0, stored.size))
        finally:
            stored.close()

    async def fill(self, count: int, path: str = "org/repo", first: int = 0) -> set[ObjectKey]:
        """Store different objects, the oids of which come in no order.

        :param first: the number of the first; each number is another object.
        :returns: their keys.
        """
        keys = set()
        for number in range(first, first + count):
            data = b"object %d" % number
            await self.add(key_of(data, path), data)
            keys.add(key_of(data, path))
        return keys

    async def listed(
        self, path: str | None = None, limit: int = MAX_PAGE, trash: bool = False
    ) -> list[ListedObject]:
        """Return the objects of all pages, one page after the other."""
        repo = None if path is None else repo_of(path)
        found: list[ListedObject] = []
        cursor = None
        while True:
            page = await self.store.list(repo, cursor, limit, trash)
            self.assertLessEqual(len(page.objects), limit)
            found += page.objects
            if page.next_cursor is None:
                return found
            self.assertIsInstance(page.next_cursor, str)
            self.assertNotEqual(page.next_cursor, cursor)
            cursor = page.next_cursor

    def assert_listed(self, found: Iterable[ListedObject], keys: Iterable[ObjectKey]) -> None:
        """Fail unless exactly these objects have been listed, each once."""
        self.assertEqual(
            sorted(entry.key.path for entry in found), sorted(key.path for key in keys)
        )


class ListingContract(StoreContract):
    """Tests of an ``IListing`` that can delete, too."""

    async def test_it_provides_its_interfaces(self) -> None:
        await self.prepare()
        verifyObject(IListing, self.store)

    async def test_an_empty_store_has_no_objects(self) -> None:
        await self.prepare()
        self.assertEqual(await self.listed(), [])
        self.assertEqual(await self.listed("org/repo"), [])

    async def test_an_object_is_listed_with_its_size_and_its_time(self) -> None:
        await self.prepare()
        await self.add(key_of(b""), b"")
        await self.add(key_of(b"abc"), b"abc", {"filename": "x.bin"})
        for path in (None, "org/repo"):
            found = {entry.key: entry for entry in await self.listed(path)}
            self.assertEqual(
                {key: entry.size for key, entry in found.items()},
                {key_of(b""): 0, key_of(b"abc"): 3},
            )
            for entry in found.values():
                self.assertIsInstance(entry.modified, float)
                # In seconds, not in milliseconds: after 2020, and before 2100.
                self.assertGreater(entry.modified, 1_577_836_800)
                self.assertLess(entry.modified, 4_102_444_800)

    async def test_no_object_seems_to_be_older_than_it_is(self) -> None:
        """In the trash neither: who has just moved it must be able to bring it back."""
        await self.prepare()
        if not self.tells_time:
            return
        # File systems take their time from the last tick of the kernel's clock.
        before = time.time() - 0.02
        await self.add(key_of(b"abc"), b"abc")
        await self.add(in_trash(key_of(b"abc")), b"abc")
        for trash in (False, True):
            (entry,) = await self.listed(trash=trash)
            self.assertGreaterEqual(entry.modified, before)
            self.assertLess(entry.modified, time.time() + 2)

    async def test_each_object_is_on_one_page_whatever_the_limit(self) -> None:
        await self.prepare()
        keys = await self.fill(7) | await self.fill(2, "a/b") | await self.fill(2, "org/repo/sub")
        for limit in (1, 2, 3, 10, 11, 12, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit), keys)

    async def test_each_object_of_a_repository_is_on_one_page(self) -> None:
        await self.prepare()
        keys = await self.fill(5)
        await self.fill(2, "org/repo/sub")
        for limit in (1, 2, 4, 5, 6, MAX_PAGE):
            self.assert_listed(await self.listed("org/repo", limit), keys)

    async def test_a_thousand_objects_are_asked_for_by_default(self) -> None:
        await self.prepare()
        keys = await self.fill(3)
        page = await self.store.list(None)
        self.assert_listed(page.objects, keys)
        self.assertIsNone(page.next_cursor)

    async def test_repositories_below_are_others(self) -> None:
        await self.prepare()
        keys = {path: key_of(b"x", path) for path in NESTED}
        for key in keys.values():
            await self.add(key, b"x")
        for path, key in keys.items():
            for limit in (1, MAX_PAGE):
                self.assert_listed(await self.listed(path, limit), [key])
        for limit in (1, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit), keys.values())

    async def test_repositories_may_have_peculiar_names(self) -> None:
        await self.prepare()
        keys = {path: ObjectKey(repo_of(f"{path}.git"), oid_of(b"x")) for path in PECULIAR}
        for key in keys.values():
            await self.add(key, b"x")
        for key in keys.values():
            page = await self.store.list(key.repo)
            self.assert_listed(page.objects, [key])
        for limit in (1, 3, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit), keys.values())

    async def test_a_limit_out_of_range_is_refused(self) -> None:
        await self.prepare()
        await self.fill(1)
        for limit in (-1, 0, MAX_PAGE + 1):
            with self.assertRaises(BadRequest):
                await self.store.list(None, None, limit)

    async def test_a_repository_that_is_not_there_has_no_objects(self) -> None:
        await self.prepare()
        await self.fill(1, "org/repo/sub")
        for path in ("org/repo", "org/repo/su", "org/repo/sub/x", "other"):
            self.assertEqual(await self.listed(path), [])

    async def test_what_is_no_object_is_left_out(self) -> None:
        await self.prepare()
        for path in self.foreign:
            await self.add_foreign(path)
        keys = await self.fill(3)
        for limit in (1, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit), keys)
            self.assert_listed(await self.listed("org/repo", limit), keys)
            self.assertEqual(await self.listed("org", limit), [])
            for repo in (None, "org", "org/repo"):
                self.assertEqual(await self.listed(repo, limit, trash=True), [])

    async def test_what_is_in_the_trash_is_listed_apart(self) -> None:
        await self.prepare()
        kept = await self.fill(2) | await self.fill(1, "org")
        await self.add(key_of(b"abc"), b"abc")
        await self.add(in_trash(key_of(b"abc")), b"abc", {"filename": "x.bin"})
        await self.add(in_trash(key_of(b"")), b"")
        kept.add(key_of(b"abc"))
        for limit in (1, 2, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit), kept)
            found = await self.listed(limit=limit, trash=True)
            trashed = {in_trash(key_of(b"abc")): 3, in_trash(key_of(b"")): 0}
            self.assertEqual({entry.key: entry.size for entry in found}, trashed)
            self.assertEqual(len(found), 2)
            for entry in found:
                self.assertGreater(entry.modified, 1_577_836_800)
            found = await self.listed("org/repo", limit, trash=True)
            self.assert_listed(found, trashed)
            self.assertEqual(await self.listed("org", limit, trash=True), [])

    async def test_each_repository_has_a_trash_of_its_own(self) -> None:
        await self.prepare()
        repos = [repo_of(f"{path}.git") for path in (*NESTED, *PECULIAR)]
        keys = [in_trash(ObjectKey(repo, oid_of(b"x"))) for repo in repos]
        for key in keys:
            await self.add(key, b"x")
        for repo, key in zip(repos, keys, strict=True):
            self.assert_listed((await self.store.list(repo, trash=True)).objects, [key])
        for limit in (1, 3, MAX_PAGE):
            self.assert_listed(await self.listed(limit=limit, trash=True), keys)
            self.assertEqual(await self.listed(limit=limit), [])

    async def test_who_empties_the_trash_page_by_page_reaches_every_object(self) -> None:
        await self.prepare()
        kept = await self.fill(2)
        trashed = set()
        for number in range(8):
            data = b"object %d" % number
            trashed.add(in_trash(key_of(data, "org/repo" if number < 5 else "a/b")))
            await self.add(in_trash(key_of(data, "org/repo" if number < 5 else "a/b")), data)
        found: list[ListedObject] = []
        cursor = None
        while True:
            page = await self.store.list(None, cursor, 2, trash=True)
            for entry in page.objects:
                await self.store.delete(entry.key)
            found += page.objects
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assert_listed(found, trashed)
        self.assertEqual(await self.listed(trash=True), [])
        self.assert_listed(await self.listed(), kept)

    async def test_objects_come_and_go_between_pages(self) -> None:
        """Those that are there all the while are on one page each."""
        await self.prepare()
        kept = await self.fill(8)
        doomed = await self.fill(6, first=100) | await self.fill(2, "a/b")
        known = kept | doomed
        found: list[ListedObject] = []
        cursor, number = None, 200
        while True:
            page = await self.store.list(None, cursor, 2)
            found += page.objects
            cursor = page.next_cursor
            if cursor is None:
                break
            if doomed:
                await self.store.delete(doomed.pop())
            if number < 204:
                known |= await self.fill(
                    1, ("org/repo", "zzz", "a", "org/repo/x")[number % 4], number
                )
                number += 1
        self.assert_listed([entry for entry in found if entry.key in kept], kept)
        self.assertLessEqual({entry.key for entry in found}, known)

    async def test_who_deletes_each_page_reaches_every_object(self) -> None:
        """As a garbage collector does: the object that the cursor follows is gone."""
        await self.prepare()
        keys = await self.fill(5) | await self.fill(3, "org/repo/sub") | await self.fill(2, "z")
        found: list[ListedObject] = []
        cursor = None
        while True:
            page = await self.store.list(None, cursor, 3)
            for entry in page.objects:
                await self.store.delete(entry.key)
            found += page.objects
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assert_listed(found, keys)
        self.assertEqual(await self.listed(), [])

    async def test_a_page_can_be_asked_for_again(self) -> None:
        await self.prepare()
        await self.fill(5)
        first = await self.store.list(None, None, 2)
        pages = [await self.store.list(None, first.next_cursor, 2) for _ in range(2)]
        self.assert_listed(pages[0].objects, [entry.key for entry in pages[1].objects])

    async def test_a_cursor_that_is_none_is_refused(self) -> None:
        await self.prepare()
        await self.fill(2)
        for repo in (None, repo_of()):
            for cursor, trash in itertools.product(HOSTILE_CURSORS, (False, True)):
                try:
                    page = await self.store.list(repo, cursor, 1, trash)
                except BadRequest as error:
                    self.assertEqual(error.code, 400)
                else:
                    self.fail(f"{cursor!r} was taken for a cursor: {page}")


class DeletingContract(StoreContract):
    """Tests of an ``IDeleting``."""

    async def test_it_provides_its_interfaces(self) -> None:
        await self.prepare()
        verifyObject(IDeleting, self.store)

    async def test_what_is_deleted_is_absent(self) -> None:
        await self.prepare()
        for data in (b"abc", b""):
            key = key_of(data)
            await self.add(key, data)
            await self.store.delete(key)
            self.assertEqual(await self.sizes(key), [None])
            if IReadableStore.providedBy(self.store):
                self.assertIsNone(await self.store.open(key))

    async def test_deleting_what_is_absent_is_harmless(self) -> None:
        await self.prepare()
        await self.store.delete(key_of(b"never stored", "never/seen"))
        await self.add(key_of(b"abc"), b"abc")
        for _ in range(3):
            await self.store.delete(key_of(b"abc"))
        self.assertEqual(await self.sizes(key_of(b"abc")), [None])

    async def test_all_other_objects_stay(self) -> None:
        await self.prepare()
        others = [key_of(b"x", path) for path in NESTED if path != "org/repo"]
        others.append(key_of(b"y"))
        for key in (*others[:-1], key_of(b"x")):
            await self.add(key, b"x")
        await self.add(others[-1], b"y")
        await self.store.delete(key_of(b"x"))
        self.assertEqual(await self.sizes(key_of(b"x"), *others), [None, *[1] * len(others)])

    async def test_what_was_deleted_can_be_stored_again(self) -> None:
        await self.prepare()
        for _ in range(2):
            await self.add(key_of(b"abc"), b"abc")
            self.assertEqual(await self.sizes(key_of(b"abc")), [3])
            await self.store.delete(key_of(b"abc"))

    async def test_extras_are_deleted_too(self) -> None:
        """An object that is stored again has only those that come with it."""
        await self.prepare()
        await self.add(key_of(b"abc"), b"abc", {"filename": "old.bin"})
        self.assertEqual(await self.extras_of(key_of(b"abc")), {"filename": "old.bin"})
        await self.store.delete(key_of(b"abc"))
        await self.add(key_of(b"abc"), b"abc")
        self.assertEqual(await self.extras_of(key_of(b"abc")), {})

    async def test_objects_with_peculiar_names_are_deleted(self) -> None:
        await self.prepare()
        keys = [ObjectKey(repo_of(f"{path}.git"), oid_of(b"x")) for path in PECULIAR]
        for key in keys:
            await self.add(key, b"x")
        for key in keys:
            await self.store.delete(key)
            self.assertEqual(await self.sizes(key), [None], key)
