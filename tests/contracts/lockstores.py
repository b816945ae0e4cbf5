"""What every lock store promises (``giftless.interfaces.ILockStore``)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from giftless.errors import BadRequest
from giftless.interfaces import ICheckable, ILockStore
from giftless.lfs.locks import MAX_PATH_BYTES, Lock, LockPage, LockQuery, PathLocked
from giftless.lfs.objects import MAX_PATH_BYTES as MAX_REPO_BYTES
from giftless.lfs.objects import Repo
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object

_ids = itertools.count(1)


def lock_of(path: str = "art/a.psd", owner: str = "olga", repo: str | Repo = "org/repo") -> Lock:
    """Return a lock that is new, with an id of its own."""
    found = repo if isinstance(repo, Repo) else repo_of(repo)
    locked_at = 1_700_000_000 + next(_ids)
    return Lock(f"id-{next(_ids)}", found, path, owner, locked_at, f"basic#{owner}")


class LockStoreContract(_Mixin):
    """Tests of an ``ILockStore``, whose blocking work is done where it is asked for."""

    def make_store(self) -> Any:
        """Return a store over the same locks each time in one test."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.store = self.make_store()

    def create(self, lock: Lock, store: Any = None) -> None:
        """Create a lock."""
        self.run_now((store or self.store).create(lock))

    def page(self, limit: int = 1000, repo: str | None = "org/repo", **query: Any) -> LockPage:
        """Ask for a page."""
        place = None if repo is None else repo_of(repo)
        found: LockPage = self.run_now(self.store.page(LockQuery(limit, place, **query)))
        return found

    def locks(self, **query: Any) -> list[Lock]:
        """Return the locks of one page, the oldest first."""
        return list(reversed(self.page(**query).locks))

    def pages(self, limit: int, between: Callable[[], None] = lambda: None) -> Iterator[LockPage]:
        """Ask page by page.

        :param between: called before each page but the first.
        """
        page = self.page(limit)
        yield page
        while page.next_cursor is not None:
            between()
            page = self.page(limit, cursor=page.next_cursor)
            yield page

    def test_it_provides_its_interface(self) -> None:
        verifyObject(ILockStore, self.store)

    def test_nothing_is_locked_at_first(self) -> None:
        self.assertEqual(self.page(), LockPage())

    def test_a_lock_comes_back_as_it_was_given(self) -> None:
        lock = lock_of("a b/%ü\\x/\N{SNOWMAN}?#\u202e.psd", "Ölga <o@example.com>")
        self.create(lock)
        self.assertEqual(self.locks(), [lock])

    def test_principals_are_kept_whole(self) -> None:
        """However long they are, and whatever looks like them."""
        long = "jwt:https://sso.example.com#sub:" + "x" * 8000
        principals = [long + "1", long + "2", "basic#a b", "basic#a_b", "basic#\u00e9", ""]
        principals += ["basic#e\u0301", "basic#A", "basic#a", "basic#a ", "basic#a\\", "#"]
        locks = [
            replace(lock_of(f"{number}"), principal=principal)
            for number, principal in enumerate(principals)
        ]
        for lock in locks:
            self.create(lock)
        self.assertEqual([lock.principal for lock in self.locks()], principals)
        self.assertEqual(self.locks(), locks)

    def test_a_path_is_locked_once(self) -> None:
        """Whoever comes second learns whose it is, even if it is their own."""
        first = lock_of()
        self.create(first)
        for owner in ("oscar", first.owner):
            error = self.assert_fails(PathLocked, self.store.create(lock_of(owner=owner)))
            self.assertEqual(error.lock, first)
        self.assertEqual(self.locks(), [first])

    def test_creating_the_same_lock_again_is_no_conflict(self) -> None:
        """That is what an attempt after one whose connection broke looks like."""
        lock = lock_of()
        self.create(lock)
        self.create(lock)
        self.assertEqual(self.locks(), [lock])

    def test_repositories_are_apart(self) -> None:
        """The same path may be locked in each; none sees another's."""
        names = ("org/repo", "org/repo2", "org", "Org/repo", "org/repo/sub")
        locks = {name: lock_of(repo=name) for name in names}
        for lock in locks.values():
            self.create(lock)
        for name, lock in locks.items():
            self.assertEqual(self.locks(repo=name), [lock])
            self.assertEqual(self.locks(repo=name, id=locks["org"].id), [lock][: name == "org"])
        self.assertEqual(self.locks(repo=None), list(locks.values()))

    def test_the_locks_of_all_repositories_are_counted(self) -> None:
        locks = [lock_of(repo=name) for name in ("org/repo", "org/repo2", "org")]
        for number, lock in enumerate(locks):
            self.assertEqual(self.run_now(self.store.count()), number)
            self.create(lock)
        self.run_now(self.store.remove(locks[0]))
        self.assertEqual(self.run_now(self.store.count()), 2)

    def test_repository_and_path_are_not_run_together(self) -> None:
        for repo, path in (("a/b", "c/d"), ("a", "b/c/d"), ("a/b/c", "d")):
            self.create(lock_of(path, repo=repo))
        self.assertEqual(len(self.locks(repo=None)), 3)

    def test_paths_are_compared_exactly(self) -> None:
        """By bytes: no case, no normal form, no pattern, no escape makes two one."""
        paths = [
            "a.psd",
            "A.psd",
            "a.psd ",
            "\u00e9",
            "e\u0301",
            "a%",
            "a_",
            "a\\",
            "a\\\\",
            "\\x61",
            "\\141",
            "a",
            "\uff41",
            "a/b",
            "a\\b",
        ]
        locks = [lock_of(path) for path in paths]
        for lock in locks:
            self.create(lock)
        self.assertEqual(self.locks(), locks)
        for lock in locks:
            self.assertEqual(self.locks(path=lock.path), [lock])
        self.assertEqual(self.locks(path="b"), [])

    def test_the_longest_names(self) -> None:
        """The longest path in the longest repository can be locked, once."""
        segment = "\u00e9" * 127
        repo = Repo((*(segment,) * 8, "r"))
        self.assertLessEqual(len(repo.path.encode()), MAX_REPO_BYTES)
        # Nothing that compresses well, or an index would take it by chance.
        text = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(1024))
        paths = [text[:MAX_PATH_BYTES], text[: MAX_PATH_BYTES - 1] + "-"]
        locks = [lock_of(path, repo=repo) for path in paths]
        for lock in locks:
            self.create(lock)
            with self.assertRaises(PathLocked):
                self.create(replace(lock, id="other"))
        query = LockQuery(9, repo, path=paths[0])
        self.assertEqual(self.run_now(self.store.page(query)).locks, (locks[0],))

    def test_a_lock_is_removed_once(self) -> None:
        lock, other = lock_of(), lock_of("other")
        self.create(lock)
        self.create(other)
        self.assertIs(self.run_now(self.store.remove(lock)), True)
        self.assertIs(self.run_now(self.store.remove(lock)), False)
        self.assertEqual(self.locks(), [other])

    def test_the_locks_of_a_repository_can_move_to_another(self) -> None:
        moved, stays = lock_of("a.psd"), lock_of("b.psd")
        there, other = lock_of("b.psd", repo="org/new"), lock_of(repo="org/other")
        for lock in (moved, stays, there, other):
            self.create(lock)
        rename = self.store.rename(repo_of("org/repo"), repo_of("org/new"))
        self.assertEqual(self.run_now(rename), 1)
        self.assertEqual(self.locks(), [stays])
        self.assertEqual(
            self.locks(repo="org/new"), [replace(moved, repo=repo_of("org/new")), there]
        )
        self.assertEqual(self.locks(repo="org/other"), [other])
        again = self.store.rename(repo_of("org/repo"), repo_of("org/new"))
        self.assertEqual(self.run_now(again), 0)

    def test_a_path_can_be_locked_again(self) -> None:
        """By another lock, which the id of the old one does not remove."""
        old, new = lock_of(), lock_of()
        self.create(old)
        self.run_now(self.store.remove(old))
        self.create(new)
        self.assertIs(self.run_now(self.store.remove(old)), False)
        self.assertEqual(self.locks(), [new])

    def test_a_lock_is_found_by_id(self) -> None:
        locks = [lock_of(f"{number}") for number in range(3)]
        for lock in locks:
            self.create(lock)
        self.assertEqual(self.locks(id=locks[1].id), [locks[1]])
        self.assertEqual(self.locks(id=locks[1].id, path="1"), [locks[1]])
        self.assertEqual(self.locks(id=locks[1].id, path="2"), [])
        self.assertEqual(self.locks(id="unknown"), [])

    def test_locks_are_found_by_a_part_of_their_texts(self) -> None:
        """In the repository, the path or the owner; letters of ASCII in either case."""
        locks = [
            lock_of("art/Logo.psd", "olga", "acme/site"),
            lock_of("film.mov", "Ölga Logovna", "acme/site"),
            lock_of("100%_!sure\\/'\"?.psd", "oscar", "logo/x"),
            lock_of("100 _sure.psd", "oscar", "acme/y"),
        ]
        for lock in locks:
            self.create(lock)
        for text, found in (
            ("logo", [0, 1, 2]),
            ("LOGO", [0, 1, 2]),
            ("art/", [0]),
            ("acme/site", [0, 1]),
            ("Ölga", [1]),
            ("ÖLGA LOG", [1]),
            ("%_!s", [2]),
            ("_", [2, 3]),
            ("%", [2]),
            ("!", [2]),
            ("\\/", [2]),
            ("'", [2]),
            ('"?', [2]),
            ("?", [2]),
            ("", [0, 1, 2, 3]),
            ("none of them", []),
            ("x" * 4096, []),
        ):
            with self.subTest(text):
                self.assertEqual(self.locks(repo=None, text=text), [locks[i] for i in found])

    def test_a_search_goes_on_from_page_to_page(self) -> None:
        locks = [lock_of(f"{number}.{('psd', 'mov')[number % 2]}") for number in range(10)]
        for lock in locks:
            self.create(lock)
        first = self.page(limit=3, text=".psd")
        self.assertEqual(list(first.locks), [locks[8], locks[6], locks[4]])
        second = self.page(limit=3, text=".psd", cursor=first.next_cursor)
        self.assertEqual(list(second.locks), [locks[2], locks[0]])
        self.assertIsNone(second.next_cursor)
        self.assertEqual(self.locks(text="psd", repo="org/other"), [])

    def test_the_newest_lock_comes_first(self) -> None:
        """Whatever the clock says: it may go back."""
        locks = [replace(lock_of(f"{number}"), locked_at=100 - number) for number in range(5)]
        for lock in locks:
            self.create(lock)
        self.assertEqual(self.page().locks, tuple(reversed(locks)))

    def test_every_lock_is_on_one_page(self) -> None:
        """Every lock is on one page; the last page has no cursor, full or not."""
        locks = [lock_of(f"{number}") for number in range(6)]
        for lock in locks:
            self.create(lock)
        for limit in (1, 2, 3, 4, 6, 7, 1000):
            pages = list(self.pages(limit))
            found = [lock for page in pages for lock in page.locks]
            self.assertEqual(found, list(reversed(locks)))
            self.assertEqual(len(pages), -(-6 // limit), "as few pages as can be")
            cursors = [page.next_cursor for page in pages]
            self.assertEqual(len(set(cursors)), len(cursors), "no cursor comes twice")

    def test_pages_while_locks_come_and_go(self) -> None:
        """What is there all the while is told of once; what comes is not waited for."""
        locks = [lock_of(f"{number}") for number in range(40)]
        for lock in locks:
            self.create(lock)
        staying = {lock.id for lock in locks[::2]}
        leaving = iter(locks[1::2])

        def change() -> None:
            for _ in range(2):
                self.run_now(self.store.remove(next(leaving)))
            for _ in range(5):
                self.create(lock_of(f"new {next(_ids)}"))

        told = [lock.id for page in self.pages(4, change) for lock in page.locks]
        self.assertEqual(len(told), len(set(told)), "none is told of twice")
        self.assertLessEqual(staying, set(told))

    def test_cursors_that_it_did_not_give(self) -> None:
        for cursor in (
            "",
            "x",
            "-1",
            "0",
            "1.5",
            "1e3",
            " 1",
            "1\x00",
            "\u0661",
            "9" * 100,
            "1;--",
        ):
            self.assert_fails(BadRequest, self.store.page(LockQuery(1, None, cursor)))

    def test_one_of_simultaneous_requests_gets_the_lock(self) -> None:
        """A hundred ask for one path, each over a store of its own in a thread."""
        stores = [self.make_store() for _ in range(10)]
        locks = [lock_of(owner=f"owner {number}") for number in range(100)]
        outcomes: dict[str, Lock] = {}
        barrier = threading.Barrier(len(stores))

        def ask(number: int) -> None:
            barrier.wait()
            for lock in locks[number :: len(stores)]:
                try:
                    self.create(lock, stores[number])
                    outcomes[lock.id] = lock
                except PathLocked as error:
                    outcomes[lock.id] = error.lock

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = self.locks()
        self.assertEqual(outcomes, {lock.id: winner for lock in locks})

    def test_locking_while_others_unlock(self) -> None:
        """Everybody gets the lock or learns of a holder, however fast holders change."""
        stores = [self.make_store() for _ in range(4)]
        won: list[Lock] = []
        problems: list[BaseException] = []

        def contend(store: Any, name: str) -> None:
            try:
                for _ in range(25):
                    lock = lock_of(owner=name)
                    try:
                        self.create(lock, store)
                    except PathLocked as error:
                        self.assertNotEqual(error.lock.id, lock.id)
                        continue
                    won.append(lock)
                    self.assertIs(self.run_now(store.remove(lock)), True)
            except BaseException as error:
                problems.append(error)

        threads = [
            threading.Thread(target=contend, args=(store, f"{number}"))
            for number, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertGreater(len(won), 0)
        self.assertEqual(self.locks(), [])


class CheckableLockStoreContract(LockStoreContract):
    """Tests of a lock store that can try whether it works."""

    def test_a_check_leaves_nothing_behind(self) -> None:
        """All is well, and nothing is left behind."""
        verifyObject(ICheckable, self.store)
        self.run_now(self.store.check())
        self.run_now(self.store.check())
        self.assertEqual(self.locks(repo=None), [])
