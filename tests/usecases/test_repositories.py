"""Whole repositories: rename, copy, remove, alias."""

from __future__ import annotations

from typing import Any

from giftless.base.database.sqlite import SQLiteOptions
from giftless.errors import Conflict, NotFound, StorageUnavailable
from giftless.interfaces import (
    EntryQuery,
    LockForced,
    ObjectTrashed,
    RepositoryMoved,
    State,
)
from giftless.lfs.locks import Lock, LockQuery
from giftless.lfs.objects import ObjectKey, Repo, in_trash
from giftless.locks.sqlite import SQLiteFactory
from giftless.usecases.locks import By
from giftless.usecases.repositories import KNOWN_AFTER, Renamed, Repositories
from giftless.usecases.trash import Trash
from tests.support.events import Recorder, events_to
from tests.support.making import environment, key_of, repo_of
from tests.usecases.moving import LONG_AGO, NOW, MovingTestCase

OLD, NEW = repo_of("org/old"), repo_of("org/new")

BY = By("giftless repo (root)")

#: The objects of the repository.
OBJECTS = [b"%d" % number * 10 for number in range(5)]


class RepositoryTestCase(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        lent = environment(self.mktemp(), self.clock)
        self.locks = SQLiteFactory().build(SQLiteOptions(), lent)
        lent.services.startService()
        self.addCleanup(lent.services.stopService)
        self.recorder = Recorder()
        self.trash = Trash(
            self.store,
            self.catalogue,
            events_to(self.recorder),
            self.clock,
            self.wall_clock,
            86_400.0,
        )
        self.repositories = Repositories(self.trash, self.locks, {"org/configured"})
        for data in OBJECTS:
            key = key_of(data, "org/old")
            self.put(key, data)
            self.know(State.STORED, key, len(data))

    def give_name(self, name: Repo, kept: Repo) -> None:
        """Make an alias, and wait until all workers know it."""
        making = self.start(self.repositories.alias(name, kept))
        self.clock.advance(KNOWN_AFTER)
        self.successResultOf(making)

    def lock(self, path: str, repo: Repo = OLD) -> None:
        """Lock a path."""
        lock = Lock(f"id of {path} in {repo}", repo, path, "olga", 1_700_000_000)
        self.run_now(self.locks.create(lock))

    def locked(self, repo: Repo) -> list[str]:
        """Return the paths that are locked in a repository."""
        page = self.run_now(self.locks.page(LockQuery(100, repo)))
        return sorted(lock.path for lock in page.locks)

    def there(self, repo: Repo, trash: bool = False) -> list[bytes]:
        """Return the objects that a repository has, or its trash."""
        page = self.run_now(self.store.list(repo, None, 1000, trash))
        oids = {key_of(data).oid: data for data in OBJECTS}
        return sorted(oids.get(item.key.oid, b"?") for item in page.objects)

    def known(self, repo: Repo, state: State = State.STORED) -> list[Any]:
        """Return the entries of a repository."""
        query = EntryQuery(repo=repo, states=frozenset({state}))
        return list(self.run_now(self.catalogue.page(query)).entries)

    def rename(self, source: Repo = OLD, target: Repo = NEW) -> Renamed:
        """Rename a repository."""
        renaming = self.start(self.repositories.rename(source, target, BY))
        self.clock.advance(KNOWN_AFTER)
        return self.successResultOf(renaming)

    def refused(self, doing: Any) -> str:
        """Return why something is refused."""
        return str(self.assert_fails(Conflict, doing).message)


class RenameTests(RepositoryTestCase):
    def test_everything_moves_to_the_new_name(self) -> None:
        gone = key_of(OBJECTS[0], "org/old")
        self.run_now(self.trash.discard([gone], "why", BY))
        self.lock("a.psd")
        self.lock("b.psd", repo_of("org/other"))
        self.assertEqual(self.rename(), Renamed(4, 1))
        self.assertEqual((self.there(OLD), self.there(NEW)), ([], OBJECTS[1:]))
        self.assertEqual((self.there(OLD, True), self.there(NEW, True)), ([], OBJECTS[:1]))
        self.assertEqual((self.locked(OLD), self.locked(NEW)), ([], ["a.psd"]))
        self.assertEqual(self.run_now(self.repositories.aliases()), {"org/old": "org/new"})
        entries = self.known(NEW)
        self.assertEqual(len(entries), 4)
        self.assertEqual({entry.who for entry in entries}, {"olga"})
        self.assertEqual({entry.stored_at for entry in entries}, {LONG_AGO})
        (trashed,) = self.known(NEW, State.TRASHED)
        self.assertEqual(trashed.reason, "why")
        self.assertEqual(self.known(OLD), [])
        moved = RepositoryMoved(OLD, NEW, BY.name)
        self.assertEqual(self.recorder.of(RepositoryMoved), [moved])
        back = ObjectKey(NEW, gone.oid)
        self.assertEqual(self.run_now(self.trash.restore([back], BY)).restored, [back])

    def test_nothing_is_deleted_before_every_worker_knows(self) -> None:
        renaming = self.start(self.repositories.rename(OLD, NEW, BY))
        self.assertEqual((self.there(OLD), self.there(NEW)), (OBJECTS, OBJECTS))
        self.assertEqual(self.run_now(self.repositories.aliases()), {"org/old": "org/new"})
        late = b"comes late"
        self.put(key_of(late, "org/old"), late)
        self.lock("late.psd")
        self.clock.advance(KNOWN_AFTER)
        self.assertEqual(self.successResultOf(renaming), Renamed(6, 1))
        self.assertEqual(self.there(OLD), [])
        self.assertTrue(self.there(NEW).count(b"?"), 1)
        self.assertEqual(self.locked(NEW), ["late.psd"])

    def test_it_is_finished_when_it_is_asked_for_again(self) -> None:
        """It is killed after any call of the store or the catalogue."""
        for calls in range(60):
            self.make_anew()
            self.fail_after(calls)
            renaming = self.start(self.repositories.rename(OLD, NEW, BY))
            self.clock.advance(KNOWN_AFTER)
            self.heal()
            failed = renaming.called and self.is_failed(renaming)
            self.assertEqual(sorted({*self.there(OLD), *self.there(NEW)}), OBJECTS)
            self.rename()
            self.assertEqual((self.there(OLD), self.there(NEW)), ([], OBJECTS))
            self.assertEqual(len(self.known(NEW)), len(OBJECTS))
            if not failed:
                return
        self.fail("it takes more calls than that")

    def make_anew(self) -> None:
        """Put everything in place."""
        self.run_now(self.catalogue.alias("org/old", None))
        for data in OBJECTS:
            self.run_now(self.store.delete(key_of(data, "org/new")))
            self.run_now(self.catalogue.forget([key_of(data, "org/new")], frozenset(State)))
            key = key_of(data, "org/old")
            self.put(key, data)
            self.know(State.STORED, key, len(data))

    def fail_after(self, calls: int) -> None:
        """Let everything fail after some calls."""
        left = [calls]
        self.patches = []
        for part, names in (
            (self.store, ("list", "copy", "delete", "sizes")),
            (self.catalogue, ("aliases", "alias", "rename", "look", "merge")),
            (self.locks, ("rename",)),
        ):
            for name in names:
                method = getattr(part, name)

                async def call(*arguments: Any, method: Any = method) -> Any:
                    if not left[0]:
                        raise StorageUnavailable("nothing works any more", 5)
                    left[0] -= 1
                    return await method(*arguments)

                self.patches.append(self.patch(part, name, call))

    def heal(self) -> None:
        """Let everything work again."""
        for patch in self.patches:
            patch.restore()

    def is_failed(self, outcome: Any) -> bool:
        """Whether something has failed."""
        results: list[Any] = []
        outcome.addBoth(results.append)
        return not isinstance(results[0], Renamed)

    def test_asking_again_changes_nothing(self) -> None:
        self.rename()
        self.assertEqual(self.rename(), Renamed(0, 0))
        self.assertEqual(self.there(NEW), OBJECTS)

    def test_a_repository_gets_its_name_back(self) -> None:
        self.rename()
        self.assertEqual(self.rename(NEW, OLD), Renamed(5, 0))
        self.assertEqual((self.there(OLD), self.there(NEW)), (OBJECTS, []))
        self.assertEqual(self.run_now(self.repositories.aliases()), {"org/new": "org/old"})

    def test_all_names_lead_to_where_it_is(self) -> None:
        """None leads to a name that somebody else may take."""
        self.rename()
        self.rename(NEW, repo_of("org/newer"))
        aliases = {"org/old": "org/newer", "org/new": "org/newer"}
        self.assertEqual(self.run_now(self.repositories.aliases()), aliases)

    def test_it_takes_no_name_that_has_other_objects(self) -> None:
        data = b"another one"
        self.put(key_of(data, "org/new"), data)
        words = self.refused(self.repositories.rename(OLD, NEW, BY))
        self.assertIn("org/new has objects", words)
        self.assertEqual(self.there(OLD), OBJECTS)

    def test_a_mistyped_name_is_not_found(self) -> None:
        nothing = repo_of("org/mistyped")
        for doing in (
            self.repositories.rename(nothing, NEW, BY),
            self.repositories.copy(nothing, NEW),
            self.repositories.remove(nothing, BY),
        ):
            self.assert_fails(NotFound, doing)
        self.assertEqual(self.run_now(self.repositories.aliases()), {})
        self.lock("a.psd", nothing)
        self.assertEqual(self.rename(nothing), Renamed(0, 1))

    def test_it_takes_no_name_that_leads_elsewhere(self) -> None:
        self.give_name(NEW, repo_of("org/third"))
        self.assertIn("alias", self.refused(self.repositories.rename(OLD, NEW, BY)))
        self.assertIn("alias", self.refused(self.repositories.rename(NEW, OLD, BY)))
        configured = repo_of("org/configured")
        words = self.refused(self.repositories.rename(OLD, configured, BY))
        self.assertIn("configuration", words)
        self.refused(self.repositories.rename(OLD, OLD, BY))


class CopyTests(RepositoryTestCase):
    def test_objects_are_copied_with_what_is_known_of_them(self) -> None:
        self.lock("a.psd")
        self.assertEqual(self.run_now(self.repositories.copy(OLD, NEW)), 5)
        self.assertEqual((self.there(OLD), self.there(NEW)), (OBJECTS, OBJECTS))
        self.assertEqual((self.locked(OLD), self.locked(NEW)), (["a.psd"], []))
        for entry in self.known(NEW):
            self.assertEqual((entry.who, entry.filename), ("olga", "a.bin"))
            self.assertEqual((entry.stored_at, entry.offered_at), (LONG_AGO, NOW))
        self.assertEqual(self.run_now(self.repositories.copy(OLD, NEW)), 5)

    def test_a_copy_is_another_repository(self) -> None:
        self.run_now(self.repositories.copy(OLD, NEW))
        self.run_now(self.repositories.remove(OLD, BY))
        self.assertEqual((self.there(OLD), self.there(NEW)), ([], OBJECTS))

    def test_it_takes_no_name_that_is_taken(self) -> None:
        self.put(key_of(b"another one", "org/new"), b"another one")
        self.refused(self.repositories.copy(OLD, NEW))
        self.give_name(repo_of("org/free"), OLD)
        self.refused(self.repositories.copy(OLD, repo_of("org/free")))
        self.refused(self.repositories.copy(repo_of("org/free"), repo_of("org/other")))


class RemoveTests(RepositoryTestCase):
    def test_everything_goes_and_objects_can_come_back(self) -> None:
        self.lock("a.psd")
        self.lock("b.psd", NEW)
        self.give_name(repo_of("org/alias"), OLD)
        removed = self.run_now(self.repositories.remove(OLD, BY))
        self.assertEqual((removed.objects, removed.locks, removed.failed), (5, 1, {}))
        self.assertEqual(removed.aliases, ["org/alias"])
        self.assertEqual((self.there(OLD), self.there(OLD, True)), ([], OBJECTS))
        self.assertEqual((self.locked(OLD), self.locked(NEW)), ([], ["b.psd"]))
        self.assertEqual(self.run_now(self.repositories.aliases()), {})
        self.assertEqual(len(self.recorder.of(ObjectTrashed)), 5)
        self.assertEqual(len(self.recorder.of(LockForced)), 1)
        key = key_of(OBJECTS[0], "org/old")
        self.run_now(self.trash.restore([key], BY))
        self.assertEqual(self.there(OLD), OBJECTS[:1])

    def test_an_alias_is_not_removed_by_mistake(self) -> None:
        self.give_name(NEW, OLD)
        self.refused(self.repositories.remove(NEW, BY))
        self.assertEqual(self.there(OLD), OBJECTS)


class AliasTests(RepositoryTestCase):
    def test_an_alias_ends(self) -> None:
        self.give_name(NEW, OLD)
        self.assertEqual(self.run_now(self.repositories.aliases()), {"org/new": "org/old"})
        self.run_now(self.repositories.alias(NEW, None))
        self.assertEqual(self.run_now(self.repositories.aliases()), {})

    def test_what_comes_before_all_workers_know_an_alias_follows_it(self) -> None:
        # Whoever made it before was killed.
        self.run_now(self.catalogue.alias(NEW.path, OLD.path))
        key, entry = key_of(b"late", "org/new"), key_of(b"late", "org/old")
        self.put(key, b"late")
        making = self.start(self.repositories.alias(NEW, OLD))
        self.know(State.STORED, key, 4)
        self.lock("late.psd", NEW)
        self.clock.advance(KNOWN_AFTER)
        self.successResultOf(making)
        self.assertEqual(self.run_now(self.store.sizes([key, entry])), [None, 4])
        self.assertEqual(self.known(NEW), [])
        self.assertIn(entry, [each.key for each in self.known(OLD)])
        self.assertEqual((self.locked(NEW), self.locked(OLD)), ([], ["late.psd"]))

    def test_names_that_cannot_be_aliases(self) -> None:
        self.give_name(NEW, OLD)
        for name, kept in (
            (OLD, repo_of("org/third")),  # it has objects
            (repo_of("org/third"), NEW),  # that is one itself
            (OLD, OLD),
            (repo_of("org/configured"), OLD),
        ):
            self.refused(self.repositories.alias(name, kept))
        self.assertEqual(self.run_now(self.repositories.aliases()), {"org/new": "org/old"})


class TrashTests(RepositoryTestCase):
    """What is in the trash can be listed, and emptied by age."""

    def test_what_is_older_is_deleted(self) -> None:
        keys = [key_of(data, "org/old") for data in OBJECTS]
        self.run_now(self.trash.discard(keys[:2], "first", BY))
        self.clock.advance(100)
        self.run_now(self.trash.discard(keys[2:], "then", BY))
        self.assertEqual(self.run_now(self.trash.purge_older(NOW + 50, BY, NEW)), 0)
        self.assertEqual(self.run_now(self.trash.purge_older(NOW + 50, BY)), 2)
        self.assertEqual(self.there(OLD, True), OBJECTS[2:])
        self.assertEqual(len(self.known(OLD, State.TRASHED)), 3)
        self.assertEqual(self.run_now(self.trash.purge_older(NOW + 200, BY, OLD)), 3)
        self.assertEqual(self.there(OLD, True), [])

    def test_what_no_catalogue_knows_is_kept_from_now_on(self) -> None:
        """The catalogue was lost."""
        key = key_of(OBJECTS[0], "org/old")
        self.run_now(self.trash.discard([key], "why", BY))
        self.run_now(self.catalogue.forget([key], frozenset(State)))
        self.clock.advance(1000)
        self.run_now(self.trash.sweep(BY))
        (entry,) = self.known(OLD, State.TRASHED)
        self.assertEqual((entry.key, entry.moved_at), (key, NOW + 1000))
        self.assertTrue(self.is_in_trash(key))
        self.run_now(self.trash.restore([key], BY))
        self.assertEqual(self.there(OLD), OBJECTS)

    def is_in_trash(self, key: ObjectKey) -> bool:
        """Whether an object is in the trash."""
        (size,) = self.run_now(self.store.sizes([in_trash(key)]))
        return size is not None

    def test_what_was_never_known_can_be_moved_and_comes_back(self) -> None:
        key = key_of(b"unknown", "org/old")
        self.put(key, b"unknown")
        self.assertEqual(self.run_now(self.trash.discard([key], "why", BY)).moved, [key])
        restored = self.run_now(self.trash.restore([key, key_of(b"nothing")], BY))
        self.assertEqual((restored.restored, restored.missing), ([key], [key_of(b"nothing")]))

    def test_what_is_wanted_or_unknown_is_spared(self) -> None:
        key = key_of(OBJECTS[0], "org/old")
        unknown = key_of(b"unknown", "org/old")
        self.put(unknown, b"unknown")
        absent = key_of(b"absent", "org/old")
        outcome = self.run_now(self.trash.discard([key, unknown, absent], "", BY, NOW - 1))
        self.assertEqual(outcome.moved, [key])
        self.assertEqual(outcome.spared, [unknown])
        self.assertEqual(outcome.absent, [absent])
