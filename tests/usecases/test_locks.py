"""The use cases of file locking, over a real store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock

from giftless.errors import BadRequest, Forbidden, LFSError, NotFound, Unauthorized
from giftless.interfaces import Identity
from giftless.lfs.locks import Lock, LockPage, Paging, PathLocked
from giftless.usecases.authorization import Gate
from giftless.usecases.locks import LockPolicy, LockService
from tests.locks.support import SQLiteTestCase
from tests.support.making import admin, partial, reader, repo_of, stranger, writer
from tests.support.run import CoroutineTestCase

REPO = repo_of()
ALL = Paging(None, None)


def nobody() -> Identity:
    """Return an anonymous client that may write."""
    return replace(writer("anonymous"), anonymous=True)


class LockServiceTestCase(SQLiteTestCase, CoroutineTestCase):
    """A service whose clock shows a time, and two people who may write."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1_700_000_000.7)
        self.store = self.build()
        self.service = self.make()

    def make(
        self, names_people: bool = True, hide_private: bool = False, **policy: Any
    ) -> LockService:
        """Make a service."""
        gate = Gate(hide_private, lambda _: names_people)
        return LockService(self.store, gate, LockPolicy(**policy), self.clock.seconds)

    def lock(self, path: str = "a.psd", identity: Identity | None = None) -> Lock:
        """Lock a path."""
        lock: Lock = self.run_now(self.service.create(identity or writer(), REPO, path))
        return lock

    def locked(self) -> list[str]:
        """Return the paths that are locked."""
        page = self.run_now(self.service.page(writer(), REPO, ALL))
        return sorted(lock.path for lock in page.locks)


class CreateTests(LockServiceTestCase):
    def test_a_lock_is_its_owners_from_now_on(self) -> None:
        lock = self.lock()
        self.assertEqual((lock.repo, lock.path, lock.owner), (REPO, "a.psd", "will"))
        self.assertEqual(lock.locked_at, 1_700_000_000)
        self.assertRegex(lock.id, r"\A[0-9a-f]{16}\Z")
        self.assertNotEqual(lock.id, self.lock("b.psd").id)

    def test_a_path_is_locked_once(self) -> None:
        lock = self.lock()
        for name in ("will", "wanda"):
            error = self.assert_fails(PathLocked, self.service.create(writer(name), REPO, "a.psd"))
            self.assertEqual(error.lock, lock)

    def test_it_takes_write_access(self) -> None:
        """Access to single objects is not enough."""
        for identity in (reader(), stranger(anonymous=False), partial("0" * 64)):
            self.assert_fails(Forbidden, self.service.create(identity, REPO, "a.psd"))
        self.assert_fails(Unauthorized, self.service.create(stranger(), REPO, "a.psd"))
        self.assertEqual(self.locked(), [])


class OwnerTests(LockServiceTestCase):
    """A lock is its principal's, whatever names are alike."""

    def test_a_namesake_is_somebody_else(self) -> None:
        holder = replace(writer("alice"), principal="basic#alice")
        lock = self.lock("a.psd", holder)
        self.assertEqual((lock.owner, lock.principal), ("alice", "basic#alice"))
        for principal in ("jwt:https://a#sub:alice", "github:github.com#id:1", "#alice"):
            namesake = replace(writer("alice"), principal=principal)
            found = self.run_now(self.service.verify(namesake, REPO, ALL))
            self.assertEqual((list(found.ours), list(found.theirs)), ([], [lock]))
            refused = self.service.unlock(namesake, REPO, lock.id, False)
            error = self.assert_fails(Forbidden, refused)
            self.assertIn("another alice than you", error.message)
        self.assertEqual(self.locked(), ["a.psd"])
        self.run_now(self.service.unlock(holder, REPO, lock.id, False))
        self.assertEqual(self.locked(), [])

    def test_one_with_another_name_now_still_holds_the_lock(self) -> None:
        lock = self.lock("a.psd", replace(writer("wanda"), principal="github:h#id:1"))
        renamed = replace(writer("wanda-2"), principal="github:h#id:1")
        found = self.run_now(self.service.verify(renamed, REPO, ALL))
        self.assertEqual(list(found.ours), [lock])
        self.run_now(self.service.unlock(renamed, REPO, lock.id, False))

    def test_a_lock_without_a_principal_is_everybodys_of_its_name(self) -> None:
        """It was made when names were all that was known."""
        lock = Lock("1", REPO, "a.psd", "alice", 1)
        self.run_now(self.store.create(lock))
        alice = replace(writer("alice"), principal="basic#alice")
        other = replace(writer("bob"), principal="basic#bob")
        found = self.run_now(self.service.verify(alice, REPO, ALL))
        self.assertEqual(list(found.ours), [lock])
        self.assert_fails(Forbidden, self.service.unlock(other, REPO, lock.id, False))
        self.assertEqual(self.run_now(self.service.unlock(alice, REPO, lock.id, False)), lock)


class AnonymousTests(LockServiceTestCase):
    """What an anonymous client may do that may write."""

    def test_a_credential_is_asked_for(self) -> None:
        """Where there is one to have; elsewhere that would be asking in vain."""
        lock = self.lock()
        for names_people, error in ((True, Unauthorized), (False, Forbidden)):
            service = self.make(names_people)
            self.assert_fails(error, service.create(nobody(), REPO, "b.psd"))
            self.assert_fails(error, service.unlock(nobody(), REPO, lock.id, True))
        self.assertEqual(self.locked(), ["a.psd"])

    def test_a_push_is_not_disturbed(self) -> None:
        """Who may push may ask; no lock is theirs, whatever its owner is called."""
        lock, namesake = self.lock(), self.lock("b.psd", writer("anonymous"))
        found = self.run_now(self.service.verify(nobody(), REPO, ALL))
        self.assertEqual((list(found.ours), list(found.theirs)), ([], [namesake, lock]))

    def test_where_the_configuration_says_so(self) -> None:
        """Then all of them are one owner."""
        self.service = self.make(anonymous=True)
        lock, other = self.lock("a.psd", nobody()), self.lock("b.psd")
        found = self.run_now(self.service.verify(nobody(), REPO, ALL))
        self.assertEqual((list(found.ours), list(found.theirs)), ([lock], [other]))
        self.assert_fails(Forbidden, self.service.unlock(nobody(), REPO, other.id, False))
        self.assertEqual(self.run_now(self.service.unlock(nobody(), REPO, lock.id, False)), lock)

    def test_without_write_access_there_is_nothing_to_configure(self) -> None:
        service = self.make(anonymous=True)
        self.assert_fails(Unauthorized, service.create(stranger(), REPO, "a.psd"))
        self.assert_fails(Unauthorized, service.verify(stranger(), REPO, ALL))


class ListTests(LockServiceTestCase):
    def test_it_takes_read_access(self) -> None:
        lock = self.lock()
        page = self.run_now(self.service.page(reader(), REPO, ALL))
        self.assertEqual(page, LockPage((lock,)))
        self.assert_fails(Forbidden, self.service.page(stranger(anonymous=False), REPO, ALL))
        self.assert_fails(Unauthorized, self.service.page(stranger(), REPO, ALL))

    def test_filters_select_by_path_and_id(self) -> None:
        lock = self.lock()
        self.lock("b.psd")
        for path, lock_id, expected in (
            ("a.psd", None, (lock,)),
            (None, lock.id, (lock,)),
            ("a.psd", lock.id, (lock,)),
            ("b.psd", lock.id, ()),
            ("A.PSD", None, ()),
            ("../x", None, ()),
            ("a\x00", None, ()),
            (None, "a/b", ()),
            (None, "\x00", ()),
        ):
            page = self.run_now(self.service.page(reader(), REPO, ALL, path, lock_id))
            self.assertEqual(page.locks, expected)

    def test_locks_come_in_pages(self) -> None:
        self.service = self.make(page_size=2)
        locks = [self.lock(f"{number}") for number in range(5)]
        first = self.run_now(self.service.page(reader(), REPO, ALL))
        self.assertEqual(first.locks, (locks[4], locks[3]))
        second = self.run_now(self.service.page(reader(), REPO, Paging(first.next_cursor, 9)))
        self.assertEqual(second, LockPage((locks[2], locks[1], locks[0])))
        self.assert_fails(BadRequest, self.service.page(reader(), REPO, Paging("x", None)))


class VerifyTests(LockServiceTestCase):
    def test_ours_and_theirs(self) -> None:
        mine, hers = self.lock(), self.lock("b.psd", writer("wanda"))
        found = self.run_now(self.service.verify(writer(), REPO, ALL))
        self.assertEqual((list(found.ours), list(found.theirs)), ([mine], [hers]))
        found = self.run_now(self.service.verify(writer("wanda"), REPO, Paging(None, 1)))
        self.assertEqual((list(found.ours), list(found.theirs)), ([hers], []))
        found = self.run_now(self.service.verify(writer("x"), REPO, Paging(found.next_cursor, 1)))
        self.assertEqual((list(found.theirs), found.next_cursor), ([mine], None))

    def test_it_takes_write_access(self) -> None:
        for identity in (reader(), stranger(anonymous=False), partial("0" * 64)):
            self.assert_fails(Forbidden, self.service.verify(identity, REPO, ALL))

    def test_a_hidden_repository(self) -> None:
        service = self.make(hide_private=True)
        self.assert_fails(NotFound, service.verify(stranger(anonymous=False), REPO, ALL))


class UnlockTests(LockServiceTestCase):
    def unlock(self, identity: Identity, lock_id: str, force: bool = False) -> Lock:
        """Unlock."""
        lock: Lock = self.run_now(self.service.unlock(identity, REPO, lock_id, force))
        return lock

    def refusal(self, kind: type[LFSError], identity: Identity, lock: Lock, force: bool) -> str:
        """Return the words of a refusal."""
        error = self.assert_fails(kind, self.service.unlock(identity, REPO, lock.id, force))
        return str(error.message)

    def test_the_owner_needs_no_force(self) -> None:
        """With or without force, whatever force takes."""
        for force in (False, True):
            for policy in ("write", "admin"):
                self.service = self.make(force=policy)
                lock = self.lock()
                self.assertEqual(self.unlock(writer(), lock.id, force), lock)
                self.assertEqual(self.locked(), [])

    def test_a_foreign_lock_takes_force(self) -> None:
        """It takes force, and the refusal says whose it is."""
        lock = self.lock()
        message = self.refusal(Forbidden, writer("wanda"), lock, False)
        for word in ("a.psd", "will", "force"):
            self.assertIn(word, message)
        self.assertEqual(self.locked(), ["a.psd"])
        self.assertEqual(self.unlock(writer("wanda"), lock.id, True), lock)
        self.assertEqual(self.locked(), [])

    def test_force_may_take_an_administrator(self) -> None:
        self.service = self.make(force="admin")
        lock = self.lock()
        self.assertIn("admin", self.refusal(Forbidden, writer("wanda"), lock, True))
        # Not by accident either.
        self.refusal(Forbidden, admin(), lock, False)
        self.assertEqual(self.unlock(admin(), lock.id, True), lock)

    def test_it_takes_write_access(self) -> None:
        """Even for one's own, once access is gone."""
        lock = self.lock()
        self.refusal(Forbidden, reader("will"), lock, True)
        self.refusal(Unauthorized, stranger(), lock, True)

    def test_what_is_not_there(self) -> None:
        lock = self.lock()
        for lock_id in ("unknown", "", "a/b", "\x00", "é", "x" * 1000, lock.id.upper() + "-"):
            self.assert_fails(NotFound, self.service.unlock(writer(), REPO, lock_id, True))
        other = self.service.unlock(writer(), repo_of("org/other"), lock.id, True)
        self.assert_fails(NotFound, other)
        self.unlock(writer(), lock.id)
        self.refusal(NotFound, writer(), lock, False)

    def test_somebody_is_faster(self) -> None:
        """Of two who unlock at once, one is told that the lock was not there any more."""
        lock = self.lock()
        page = self.store.page

        async def slow_page(query: Any) -> Any:
            found = await page(query)
            await self.store.remove(lock)
            return found

        self.store.page = slow_page  # type: ignore[method-assign]
        self.refusal(NotFound, writer(), lock, False)
