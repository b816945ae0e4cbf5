"""What every catalogue promises (``giftless.interfaces.ICatalogue``)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from zope.interface.verify import verifyObject

from giftless.errors import BadRequest
from giftless.interfaces import (
    Bound,
    Entry,
    EntryPage,
    EntryQuery,
    ICatalogue,
    ICheckable,
    State,
    Usage,
    UsageRow,
    Wanted,
)
from giftless.lfs.objects import MAX_SIZE, ObjectKey, in_trash
from tests.support.making import key_of, repo_of
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object

#: When entries are stored: 2023-11-14, in seconds since the epoch.
THEN = 1_700_000_000.0

#: Every state.
ALL = frozenset(State)

_numbers = itertools.count(1)


def entry_of(name: str = "", repo: str = "org/repo", size: int = 10, **more: Any) -> Entry:
    """Return an entry of an object that is new unless it is named."""
    data = (name or f"object {next(_numbers)}").encode()
    stored_at = more.pop("stored_at", THEN)
    offered_at = more.pop("offered_at", stored_at)
    return Entry(key_of(data, repo), size, stored_at, offered_at, **more)


def wanted_of(name: str, size: int, repo: str = "org/repo") -> Wanted:
    """Return room that an object needs."""
    return Wanted(key_of(name.encode(), repo), size)


def keys_of(entries: Iterable[Entry]) -> list[ObjectKey]:
    """Return the keys of entries."""
    return [entry.key for entry in entries]


class CatalogueContract(_Mixin):
    """Tests of an ``ICatalogue``, whose blocking work is done where it is asked for."""

    def make_catalogue(self) -> Any:
        """Return a catalogue over the same entries each time in one test."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.catalogue = self.make_catalogue()

    def record(self, *entries: Entry) -> Any:
        """Record entries; return where equal objects are."""
        return self.run_now(self.catalogue.record(entries))

    def look(self, *keys: ObjectKey) -> list[Entry | None]:
        """Look entries up."""
        return list(self.run_now(self.catalogue.look(keys)))

    def page(self, **query: Any) -> EntryPage:
        """Ask for a page."""
        found: EntryPage = self.run_now(self.catalogue.page(EntryQuery(**query)))
        return found

    def listed(self, **query: Any) -> list[Entry]:
        """Return the entries of all pages."""
        found: list[Entry] = []
        cursor = None
        while True:
            page = self.page(cursor=cursor, **query)
            self.assertLessEqual(len(page.entries), query.get("limit", 1000))
            found += page.entries
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor

    def usage(self, by: Any = "repo", **more: Any) -> Usage:
        """Ask for usage."""
        found: Usage = self.run_now(self.catalogue.usage(by, **more))
        return found

    def claim(
        self, *keys: ObjectKey, since: float | None = None, at: float = THEN + 100
    ) -> list[ObjectKey]:
        """Claim objects."""
        return list(self.run_now(self.catalogue.claim(keys, since, at, "unused", "gail")))

    def settle(
        self, found: State, state: State, *keys: ObjectKey, at: float = THEN + 200
    ) -> list[ObjectKey]:
        """Settle objects."""
        return list(self.run_now(self.catalogue.settle(keys, found, state, at)))

    def trash(self, *keys: ObjectKey) -> None:
        """Move objects into the trash."""
        self.assertEqual(self.claim(*keys), list(keys))
        self.assertEqual(self.settle(State.LEAVING, State.TRASHED, *keys), list(keys))

    def offer(self, *entries: Entry, at: float = THEN + 50) -> list[ObjectKey]:
        """Tell that objects were offered."""
        objects = [Wanted(entry.key, entry.size) for entry in entries]
        return list(self.run_now(self.catalogue.offer(objects, at)))

    # -- entries

    def test_it_provides_its_interfaces(self) -> None:
        verifyObject(ICatalogue, self.catalogue)
        verifyObject(ICheckable, self.catalogue)

    def test_it_can_be_tried(self) -> None:
        self.run_now(self.catalogue.check())
        self.assertEqual(self.run_now(self.catalogue.aliases()), {})

    def test_nothing_is_known_at_first(self) -> None:
        self.assertEqual(self.look(key_of(b"x")), [None])
        self.assertEqual((self.page().entries, self.page().next_cursor), ([], None))
        self.assertEqual(self.usage(), Usage([], UsageRow(""), 0))
        self.assertEqual(self.run_now(self.catalogue.trashing()), [])
        self.assertEqual(self.run_now(self.catalogue.expired(THEN)), [])

    def test_an_entry_comes_back_as_it_was_given(self) -> None:
        entry = entry_of(
            size=2**62,
            stored_at=THEN + 0.123456,
            offered_at=THEN + 1.75,
            who="Ölga <o@example.com>",
            principal="jwt#" + "x" * 900,
            filename="a b/%ü\\x/\N{SNOWMAN}?#\u202e.psd",
        )
        self.record(entry)
        self.assertEqual(self.look(entry.key), [entry])
        self.assertEqual(self.page().entries, [entry])

    def test_texts_that_no_database_takes_are_mended(self) -> None:
        """NUL and lone surrogates come from clients, and must not fail what others record."""
        self.record(entry_of("x", filename="a\0b\ud800.psd", who="o\0\udc00"))
        (entry,) = self.look(key_of(b"x"))
        assert entry is not None
        self.assertEqual((entry.filename, entry.who), ("a\ufffdb?.psd", "o\ufffd?"))
        long = entry_of("y", filename="x" * 5000, who="y" * 5000)
        self.record(long)
        (entry,) = self.look(long.key)
        assert entry is not None
        self.assertEqual((len(entry.filename), len(entry.who)), (1000, 1000))
        self.usage("person")

    def test_many_entries_of_many_repositories_are_looked_up_in_their_order(self) -> None:
        entries = [entry_of(repo=f"org/repo{number % 7}") for number in range(1200)]
        self.record(*entries)
        absent = key_of(b"absent", "other/repo")
        keys = [*keys_of(entries), absent]
        random.Random(7).shuffle(keys)
        known = {entry.key: entry for entry in entries}
        self.assertEqual(self.look(*keys), [known.get(key) for key in keys])
        self.assertEqual(self.usage("org").total.objects, 1200)

    def test_recording_again_is_a_new_arrival(self) -> None:
        """What is unknown now and was known stays; it was offered at the later time."""
        self.record(entry_of("x", who="olga", principal="p#1", filename="a.psd", size=5))
        self.offer(entry_of("x"), at=THEN + 9000)
        self.record(entry_of("x", size=6, stored_at=THEN + 100))
        (entry,) = self.look(key_of(b"x"))
        self.assertEqual(
            entry,
            Entry(key_of(b"x"), 6, THEN + 100, THEN + 9000, "olga", "p#1", "a.psd"),
        )
        self.record(entry_of("x", size=6, stored_at=THEN + 100, who="oscar"))
        self.assertEqual(self.usage("person").rows, [UsageRow("oscar", 1, 6)])

    def test_what_arrives_twice_in_one_call_counts_once(self) -> None:
        self.record(entry_of("x", size=5), entry_of("x", size=5, who="olga"))
        self.assertEqual(self.usage("person").rows, [UsageRow("olga", 1, 5)])

    def test_what_arrives_while_it_leaves_or_is_in_the_trash_is_stored(self) -> None:
        for number, state in enumerate((State.LEAVING, State.TRASHED)):
            entry = entry_of(str(number))
            self.record(entry)
            self.claim(entry.key)
            self.settle(State.LEAVING, state, entry.key)
            (left,) = self.look(entry.key)
            assert left is not None
            again = entry_of(str(number), stored_at=left.moved_at + 1)
            self.record(again)
            self.assertEqual(self.look(entry.key), [again])
        self.assertEqual(self.usage().total, UsageRow("", 2, 20))
        self.assertEqual(self.run_now(self.catalogue.trashing()), [])

    def test_what_arrived_before_it_was_moved_stays_moved(self) -> None:
        """A worker records some time after an object has arrived."""
        entry = entry_of("x", who="olga")
        self.record(entry_of("x"))
        self.claim(entry.key)
        self.settle(State.LEAVING, State.TRASHED, entry.key)
        self.record(entry)
        (found,) = self.look(entry.key)
        assert found is not None
        self.assertEqual((found.state, found.who), (State.TRASHED, "olga"))
        self.assertGreater(found.moved_at, entry.stored_at)
        self.assertEqual(self.usage().total, UsageRow("", 0, 0, 1, entry.size))

    def test_equal_objects_of_other_repositories_are_told(self) -> None:
        first = entry_of("x")
        self.assertEqual(self.record(first, entry_of("y")), {})
        again = entry_of("x", "org/other")
        self.assertEqual(self.record(again, entry_of("z")), {again.key: [first.key]})
        self.trash(first.key)
        third = entry_of("x", "a")
        found = self.record(third)
        self.assertEqual(set(found), {third.key})
        self.assertEqual(
            sorted(found[third.key], key=str), sorted([in_trash(first.key), again.key], key=str)
        )

    def test_empty_objects_are_not_told_as_equal(self) -> None:
        self.record(entry_of("x", size=0))
        self.assertEqual(self.record(entry_of("x", "org/other", size=0)), {})

    # -- offers

    def test_an_offer_protects_from_claims(self) -> None:
        entry = entry_of()
        self.record(entry)
        self.assertEqual(self.offer(entry, at=THEN + 50), [])
        self.assertEqual(self.claim(entry.key, since=THEN + 50), [])
        (found,) = self.look(entry.key)
        self.assertEqual(found, msgspec.structs.replace(entry, offered_at=THEN + 50))
        self.assertEqual(self.claim(entry.key, since=THEN + 50.001), [entry.key])

    def test_an_earlier_offer_changes_nothing(self) -> None:
        entry = entry_of(offered_at=THEN + 50)
        self.record(entry)
        self.offer(entry, at=THEN + 40)
        self.assertEqual(self.look(entry.key), [entry])

    def test_what_is_offered_without_an_entry_gets_one(self) -> None:
        entry = entry_of(size=77, stored_at=THEN + 50)
        self.assertEqual(self.offer(entry), [])
        self.assertEqual(self.look(entry.key), [entry])
        self.assertEqual(self.usage().total, UsageRow("", 1, 77))

    def test_who_offers_learns_what_is_leaving(self) -> None:
        first, second, third = (entry_of() for _ in range(3))
        self.record(first, second, third)
        self.claim(second.key)
        self.assertEqual(self.offer(first, second, third), [second.key])
        (found,) = self.look(second.key)
        assert found is not None
        self.assertEqual(found.state, State.LEAVING)

    def test_who_offers_learns_what_is_in_the_trash(self) -> None:
        """It stays there as far as is known, and was offered."""
        entry = entry_of()
        self.record(entry)
        self.trash(entry.key)
        self.assertEqual(self.offer(entry, entry_of(), at=THEN + 500), [entry.key])
        (found,) = self.look(entry.key)
        assert found is not None
        self.assertEqual((found.state, found.offered_at), (State.TRASHED, THEN + 500))

    # -- moving

    def test_only_what_is_stored_is_claimed(self) -> None:
        stored, leaving, trashed = (entry_of() for _ in range(3))
        self.record(stored, leaving, trashed)
        self.claim(leaving.key)
        self.trash(trashed.key)
        keys = (stored.key, leaving.key, trashed.key, key_of(b"absent"))
        self.assertEqual(self.claim(*keys, at=THEN + 500), [stored.key])
        self.assertEqual(
            self.look(stored.key),
            [
                msgspec.structs.replace(
                    stored,
                    state=State.LEAVING,
                    moved_at=THEN + 500,
                    reason="unused",
                    moved_by="gail",
                )
            ],
        )

    def test_a_claim_made_again_claims_the_same(self) -> None:
        """That is what an attempt after one whose connection broke looks like."""
        entry = entry_of()
        self.record(entry)
        for _ in range(2):
            self.assertEqual(self.claim(entry.key), [entry.key])
        self.assertEqual(self.claim(entry.key, at=THEN + 101), [])

    def test_moves_end_in_the_trash_or_where_they_began(self) -> None:
        entry = entry_of()
        self.record(entry)
        self.claim(entry.key)
        self.assertEqual(self.settle(State.TRASHED, State.STORED, entry.key), [])
        self.assertEqual(self.settle(State.LEAVING, State.TRASHED, entry.key), [entry.key])
        self.assertEqual(self.settle(State.LEAVING, State.STORED, entry.key), [])
        (found,) = self.look(entry.key)
        assert found is not None
        self.assertEqual(
            (found.state, found.moved_at, found.reason), (State.TRASHED, THEN + 200, "unused")
        )
        self.assertEqual(
            self.settle(State.TRASHED, State.STORED, entry.key, at=THEN + 300), [entry.key]
        )
        self.assertEqual(
            self.look(entry.key), [msgspec.structs.replace(entry, offered_at=THEN + 300)]
        )

    def test_what_is_deleted_from_the_trash_is_leaving_and_counts_as_trashed(self) -> None:
        entry = entry_of()
        self.record(entry)
        self.trash(entry.key)
        self.assertEqual(
            self.settle(State.TRASHED, State.LEAVING, entry.key, at=THEN + 300), [entry.key]
        )
        (found,) = self.look(entry.key)
        assert found is not None
        self.assertEqual((found.state, found.moved_at), (State.LEAVING, THEN + 300))
        self.assertEqual(self.listed(states=frozenset({State.LEAVING})), [found])
        self.assertEqual(self.usage().total, UsageRow("", 0, 0, 1, 10))
        self.assertEqual(self.offer(entry), [entry.key])
        self.assertEqual(self.settle(State.LEAVING, State.TRASHED, entry.key), [entry.key])
        self.settle(State.TRASHED, State.LEAVING, entry.key)
        self.run_now(self.catalogue.forget([entry.key], frozenset({State.LEAVING})))
        self.assertEqual(self.usage().total, UsageRow(""))

    def test_settling_names_exactly_what_it_has_changed(self) -> None:
        entries = [entry_of() for _ in range(4)]
        self.record(*entries)
        self.claim(*keys_of(entries[:2]))
        keys = [*keys_of(entries), key_of(b"absent"), key_of(b"x", "no/repo")]
        self.assertEqual(self.settle(State.LEAVING, State.TRASHED, *keys), keys_of(entries[:2]))

    def test_entries_are_forgotten_in_some_states(self) -> None:
        stored, trashed = entry_of(), entry_of()
        self.record(stored, trashed)
        self.trash(trashed.key)
        keys = (stored.key, trashed.key, key_of(b"absent", "no/repo"))
        self.run_now(self.catalogue.forget(keys, frozenset({State.TRASHED})))
        self.assertEqual(self.look(stored.key, trashed.key), [stored, None])
        self.run_now(self.catalogue.forget(keys, ALL))
        self.assertEqual(self.usage(), Usage([], UsageRow(""), 0))
        self.assertEqual(self.usage("person").rows, [])

    def test_repositories_with_something_in_the_trash_are_told(self) -> None:
        entries = [entry_of(repo=repo) for repo in ("b/leaving", "a/trashed", "c/stored")]
        self.record(*entries)
        self.claim(entries[0].key)
        self.trash(entries[1].key)
        self.assertEqual(
            self.run_now(self.catalogue.trashing()), [repo_of("a/trashed"), repo_of("b/leaving")]
        )
        some = [repo_of("c/stored"), repo_of("a/trashed"), repo_of("no/repo")]
        self.assertEqual(self.run_now(self.catalogue.trashing(some)), [repo_of("a/trashed")])

    # -- renaming

    def rename(self, source: str, target: str, at: float = THEN + 400) -> None:
        """Rename a repository."""
        self.run_now(self.catalogue.rename(repo_of(source), repo_of(target), at))

    def test_a_repository_is_renamed(self) -> None:
        """What is stored counts as offered then, what is in the trash does not."""
        stored, trashed = entry_of("x", who="olga"), entry_of("y", size=5)
        self.record(stored, trashed)
        self.trash(trashed.key)
        self.rename("org/repo", "team/new")
        self.assertEqual(self.listed(repo=repo_of("org/repo"), states=ALL), [])
        moved = self.listed(states=ALL)
        self.assertEqual({entry.key.repo.path for entry in moved}, {"team/new"})
        self.assertEqual(
            {entry.key.oid: entry.offered_at for entry in moved},
            {stored.key.oid: THEN + 400, trashed.key.oid: THEN},
        )
        self.assertEqual(self.usage("org").rows, [UsageRow("team", 1, 10, 1, 5)])
        self.assertEqual(self.run_now(self.catalogue.trashing()), [repo_of("team/new")])
        self.record(entry_of("z", "org/repo"))
        self.assertEqual(self.usage("repo", repo="org").total, UsageRow("", 1, 10))

    def test_renamed_entries_replace_those_of_the_target(self) -> None:
        """Whichever has more; the later offer counts, and what the target has alone stays."""
        for more in (0, 5):
            source, target = f"org/repo{more}", f"team/new{more}"
            self.record(entry_of("x", source, who="olga"), entry_of("y", source))
            self.record(*(entry_of(f"more {number}", source) for number in range(more)))
            self.record(
                entry_of("x", target, who="oscar", stored_at=THEN + 999),
                entry_of("z", target, size=3),
            )
            self.rename(source, target)
            x, y, z = self.look(*(key_of(name, target) for name in (b"x", b"y", b"z")))
            assert x and y and z
            self.assertEqual((x.who, x.stored_at, x.offered_at), ("olga", THEN, THEN + 999))
            self.assertEqual((y.offered_at, z.offered_at, z.size), (THEN + 400, THEN, 3))
            size = 23 + more * 10
            self.assertEqual(
                self.usage("repo", repo=target).rows, [UsageRow(target, 3 + more, size)]
            )
            self.assertEqual(self.usage("repo", repo=source).rows, [])
            self.assertEqual(
                set(map(str, self.usage("person", repo=target).rows)),
                {str(UsageRow("", 2 + more, size - 10)), str(UsageRow("olga", 1, 10))},
            )

    def test_renaming_what_is_not_there_changes_nothing(self) -> None:
        self.record(entry_of("x"))
        self.rename("no/repo", "org/repo")
        self.rename("org/repo", "org/repo")
        self.assertEqual(self.usage("repo").rows, [UsageRow("org/repo", 1, 10)])

    def test_names_are_kept_and_none_leads_to_another(self) -> None:
        names = self.catalogue
        self.run_now(names.alias("a", "b"))
        self.run_now(names.alias("x", "b"))
        self.run_now(names.alias("b", "c"))
        self.assertEqual(self.run_now(names.aliases()), {"a": "c", "x": "c", "b": "c"})
        self.run_now(names.alias("c", "a"))
        self.assertEqual(self.run_now(names.aliases()), {"x": "a", "b": "a", "c": "a"})
        for name in ("b", "never"):
            self.run_now(names.alias(name, None))
        self.assertEqual(self.run_now(names.aliases()), {"x": "a", "c": "a"})

    # -- making it anew

    def merge(self, *entries: Entry) -> int:
        """Merge what a store lists."""
        count: int = self.run_now(self.catalogue.merge(entries))
        return count

    def test_listed_objects_get_entries(self) -> None:
        stored = entry_of(size=3)
        trashed = entry_of(size=4, state=State.TRASHED, moved_at=THEN + 7)
        self.assertEqual(self.merge(stored, trashed), 2)
        self.assertEqual(self.look(stored.key, trashed.key), [stored, trashed])
        self.assertEqual(self.merge(stored, trashed), 0)
        self.assertEqual(self.usage().total, UsageRow("", 1, 3, 1, 4))

    def test_what_the_list_says_otherwise_is_corrected_and_all_else_stays(self) -> None:
        size, gone, back, leaving = (entry_of(who="olga", filename="a.psd") for _ in range(4))
        self.record(size, gone, back, leaving)
        self.trash(back.key)
        self.claim(leaving.key)
        bare = [Entry(each.key, 10, THEN + 9, THEN - 9) for each in (size, gone, back, leaving)]
        told = [
            msgspec.structs.replace(bare[0], size=11),
            msgspec.structs.replace(bare[1], state=State.TRASHED, moved_at=THEN + 5),
            bare[2],
            msgspec.structs.replace(bare[3], state=State.TRASHED),
        ]
        self.assertEqual(self.merge(*told), 3)
        found = self.look(*keys_of(told))
        self.assertEqual(found[0], msgspec.structs.replace(size, size=11))
        self.assertEqual(
            found[1], msgspec.structs.replace(gone, state=State.TRASHED, moved_at=THEN + 5)
        )
        self.assertEqual(found[2], back)
        assert found[3] is not None
        self.assertEqual(found[3].state, State.LEAVING)

    def test_listed_objects_count_as_offered_at_the_later_time(self) -> None:
        entry = entry_of(offered_at=THEN + 5)
        self.record(entry)
        for offered_at, changed in ((THEN + 4, 0), (THEN + 6, 1)):
            told = Entry(entry.key, 10, THEN + 9, offered_at)
            self.assertEqual(self.merge(told), changed)
        (found,) = self.look(entry.key)
        self.assertEqual(found, msgspec.structs.replace(entry, offered_at=THEN + 6))

    # -- usage

    def test_usage_is_told_by_each(self) -> None:
        self.record(
            entry_of("1", "acme/a", 10, who="olga", filename="x.PSD", stored_at=THEN),
            entry_of("2", "acme/a", 20, who="oscar", filename="y.psd", stored_at=THEN),
            entry_of("3", "acme/b", 5, who="olga", filename=".hidden", stored_at=THEN + 40 * 86400),
            entry_of("4", "other", 1, filename="art.d/noext"),
        )
        self.trash(key_of(b"2", "acme/a"))
        rows = {by: self.usage(by).rows for by in ("org", "repo", "person", "age", "name")}
        acme, other = UsageRow("acme", 2, 15, 1, 20), UsageRow("other", 1, 1)
        self.assertEqual(rows["org"], [acme, other])
        self.assertEqual(
            rows["repo"], [UsageRow("acme/a", 1, 10, 1, 20), UsageRow("acme/b", 1, 5), other]
        )
        self.assertEqual(
            rows["person"],
            [UsageRow("olga", 2, 15), UsageRow("", 1, 1), UsageRow("oscar", 0, 0, 1, 20)],
        )
        self.assertEqual(
            rows["age"], [UsageRow("2023-11", 2, 11, 1, 20), UsageRow("2023-12", 1, 5)]
        )
        self.assertEqual(rows["name"], [UsageRow("psd", 1, 10, 1, 20), UsageRow("", 2, 6)])
        for by in rows:
            self.assertEqual(self.usage(by).total, UsageRow("", 3, 16, 1, 20))

    def test_usage_of_a_repository_and_those_below_it(self) -> None:
        for number, repo in enumerate(("a/b", "a/b/c", "a/bc", "a", "a/b-c", "a/b0")):
            self.record(entry_of(repo=repo, size=10**number, who="olga"))
        for repo, size in (("a/b", 11), ("a/b/c", 10), ("a", 111111), ("a/", 0), ("A", 0)):
            for by in ("org", "repo", "person"):
                self.assertEqual(self.usage(by, repo=repo).total.size, size)
                self.assertEqual(
                    sum(row.size for row in self.usage(by, repo=repo).rows), size, (by, repo)
                )
                self.assertEqual(self.usage(by, repo=repo).distinct_size, size)

    def test_usage_of_a_repository_without_those_below_it(self) -> None:
        for number, repo in enumerate(("a/b", "a/b/c", "a")):
            self.record(entry_of(repo=repo, size=10**number, who="olga"))
        for by in ("org", "repo", "person"):
            usage = self.usage(by, repo="a/b", below=False)
            self.assertEqual((usage.total.size, usage.rows[0].size), (1, 1))
            self.assertEqual(usage.distinct_size, 1)

    def test_the_largest_of_usage_come_first(self) -> None:
        for number in range(5):
            self.record(entry_of(repo=f"a/{number}", size=10 + number))
        usage = self.usage(limit=2)
        self.assertEqual([row.name for row in usage.rows], ["a/4", "a/3"])
        self.assertEqual(usage.total.size, 60)

    def test_what_is_in_the_trash_may_decide(self) -> None:
        for number in range(4):
            small, large = (
                entry_of(repo=f"a/{number}", size=5 - number),
                entry_of(repo=f"a/{number}", size=100 + number),
            )
            self.record(small, large)
            if number:
                self.trash(small.key)
        usage = self.usage(trashed=True)
        self.assertEqual([row.name for row in usage.rows], ["a/1", "a/2", "a/3"])

    def test_equal_objects_are_told_once_in_the_distinct_size(self) -> None:
        self.record(*(entry_of("x", f"a/{number}", 100) for number in range(3)))
        self.record(entry_of("x", "b", 100), entry_of("y", "a/0", 1))
        self.assertEqual(self.usage("org").distinct_size, 101)
        self.assertEqual(self.usage("org", repo="a").distinct_size, 101)
        self.assertEqual(self.usage("org", repo="a/1").distinct_size, 100)
        self.assertEqual(self.usage("org").total.size, 401)
        self.trash(key_of(b"x", "b"))
        self.assertEqual(self.usage("org").distinct_size, 101)
        for number in range(3):
            self.run_now(self.catalogue.forget([key_of(b"x", f"a/{number}")], ALL))
        self.assertEqual(self.usage("org").distinct_size, 101)
        self.assertEqual(self.usage("org", repo="a").distinct_size, 1)

    # -- pages

    def fill(self) -> list[Entry]:
        """Record objects of several repositories, with equal values among them."""
        source = random.Random(3)
        entries = []
        for number in range(60):
            repo = source.choice(("a", "a/b", "a/b-c", "a/b/c", "b/x", "z"))
            stored_at = THEN + source.randrange(8)
            entries.append(
                entry_of(
                    f"fill {number}",
                    repo,
                    source.randrange(6),
                    stored_at=stored_at,
                    offered_at=stored_at + source.choice((0.0, 0.5, 7.0)),
                )
            )
        self.record(*entries)
        source.shuffle(entries)
        left = entries[:20]
        for number, entry in enumerate(left):
            self.claim(entry.key, at=THEN + 100 + number % 5)
        self.settle(State.LEAVING, State.TRASHED, *keys_of(left[:14]))
        return [entry for entry in self.look(*keys_of(entries)) if entry is not None]

    def test_every_entry_is_listed_once_in_every_order(self) -> None:
        entries = self.fill()
        orders: dict[str, Any] = {
            "path": lambda entry: (entry.key.repo.path.encode(), entry.key.oid),
            "size": lambda entry: -entry.size,
            "stored": lambda entry: entry.stored_at,
            "offered": lambda entry: entry.offered_at,
            "moved": lambda entry: -entry.moved_at,
        }
        stored, leaving, trashed = State.STORED, State.LEAVING, State.TRASHED
        some: Sequence[frozenset[State]] = (
            frozenset({stored, leaving}),
            ALL,
            frozenset({trashed}),
            frozenset({leaving}),
            frozenset({leaving, trashed}),
            frozenset({stored}),
            frozenset(),
        )
        for order, states, repo, limit in itertools.product(
            orders, some, (None, "a/b", "z", "no/repo"), (1, 7, 1000)
        ):
            place = None if repo is None else repo_of(repo)
            found = self.listed(repo=place, states=states, order=order, limit=limit)
            expected = [
                entry
                for entry in entries
                if entry.state in states - ({stored} if order == "moved" else set())
                and place in (None, entry.key.repo)
            ]
            case = (order, states, repo, limit)
            self.assertEqual(sorted(map(str, found)), sorted(map(str, expected)), case)
            values = [orders[order](entry) for entry in found]
            self.assertEqual(values, sorted(values), case)

    def test_entries_that_come_and_go_move_no_others(self) -> None:
        entries = [entry for entry in self.fill() if entry.state is State.STORED]
        for order in ("path", "size", "stored", "offered"):
            page = self.page(order=order, limit=10)
            found = list(page.entries)
            doomed = found[-1]
            self.run_now(self.catalogue.forget([doomed.key], ALL))
            self.record(*(entry_of(repo="a/0", size=3) for _ in range(2)))
            while page.next_cursor is not None:
                page = self.page(order=order, limit=10, cursor=page.next_cursor)
                found += page.entries
            self.assertEqual(len(keys_of(found)), len(set(keys_of(found))))
            self.assertLessEqual({entry.key for entry in entries}, set(keys_of(found)))
            self.record(doomed)

    def test_what_is_no_cursor_of_the_order_is_refused(self) -> None:
        self.fill()
        cursors: dict[Any, str | None] = {
            order: self.page(order=order, limit=1).next_cursor
            for order in ("path", "size", "stored", "offered")
        }
        hostile = ["", "x", "e30=", "W10=", "\ud800", "\0", "é", "x" * 5000, "WyJzaXplIiwxLDEsIiJd"]
        for order, (other, cursor) in itertools.product(cursors, cursors.items()):
            if order != other:
                self.assert_fails(
                    BadRequest, self.catalogue.page(EntryQuery(order=order, cursor=cursor))
                )
        for order, cursor in itertools.product(cursors, hostile):
            self.assert_fails(
                BadRequest, self.catalogue.page(EntryQuery(order=order, cursor=cursor))
            )
        for limit in (-1, 0, 10_001):
            self.assert_fails(BadRequest, self.catalogue.page(EntryQuery(limit=limit)))

    # -- room that is promised

    def reserve(self, *wanted: Wanted, bounds: Sequence[Bound], until: float = THEN + 60) -> Any:
        """Ask for room."""
        return self.run_now(self.catalogue.reserve(wanted, bounds, until))

    def level(self, bound: Bound) -> tuple[int, int]:
        """Return what is used and reserved."""
        (found,) = self.run_now(self.catalogue.levels([bound]))
        self.assertEqual(found.bound, bound)
        return found.used, found.reserved

    def test_room_is_promised_up_to_the_limit(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.record(entry_of(size=30), entry_of(repo="org/other", size=1000))
        found = self.reserve(
            wanted_of("a", 40), wanted_of("b", 31), wanted_of("c", 30), bounds=[bound]
        )
        (level,) = found.levels
        self.assertEqual((level.used, level.reserved), (30, 70))
        refused = found.refused[key_of(b"b")]
        self.assertEqual((set(found.refused), refused.bound), ({key_of(b"b")}, bound))
        self.assertEqual((refused.used, refused.reserved), (30, 40))
        self.assertEqual(self.level(bound), (30, 70))

    def test_room_of_a_key_counts_once_and_lasts_until_the_later_time(self) -> None:
        bound = Bound("org/repo", False, 100)
        for until in (THEN + 60, THEN + 90, THEN + 30):
            found = self.reserve(wanted_of("a", 90), bounds=[bound], until=until)
            self.assertEqual(found.refused, {})
        self.assertEqual(self.level(bound), (0, 90))
        self.assertEqual(self.run_now(self.catalogue.expired(THEN + 89)), [])
        self.assertEqual(self.run_now(self.catalogue.expired(THEN + 90)), [wanted_of("a", 90)])
        self.assertEqual(self.level(bound), (0, 90))
        twice = self.reserve(wanted_of("b", 5), wanted_of("b", 5), bounds=[bound])
        self.assertEqual((twice.refused, self.level(bound)), ({}, (0, 95)))

    def test_all_bounds_hold(self) -> None:
        org, repo = Bound("org", True, 100), Bound("org/repo", False, 50)
        self.record(entry_of(repo="org", size=10), entry_of(repo="org/x/y", size=20))
        self.record(entry_of(repo="organ/x", size=1000), entry_of(repo="org-x", size=1000))
        found = self.reserve(wanted_of("a", 51), wanted_of("b", 50), bounds=[org, repo])
        self.assertEqual(found.refused[key_of(b"a")].bound, repo)
        self.assertEqual(set(found.refused), {key_of(b"a")})
        found = self.reserve(
            wanted_of("c", 21, "org/other"), bounds=[org, Bound("org/other", False, 1000)]
        )
        self.assertEqual(found.refused[key_of(b"c", "org/other")].bound, org)
        self.assertEqual(self.level(org), (30, 50))

    def test_a_recorded_object_gives_its_room_back(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.reserve(wanted_of("a", 40), wanted_of("b", 20), bounds=[bound])
        self.record(entry_of("a", size=40))
        self.assertEqual(self.level(bound), (40, 20))
        self.run_now(self.catalogue.release([key_of(b"b"), key_of(b"x", "no/repo")]))
        self.assertEqual(self.level(bound), (40, 0))
        self.assertEqual(self.run_now(self.catalogue.expired(THEN + 9999)), [])

    def test_what_is_stored_before_it_is_recorded_counts_once(self) -> None:
        """Somebody else may be told that it is there, or list it, before its upload has ended."""
        bound = Bound("org/repo", False, 100)
        self.reserve(wanted_of("a", 40), wanted_of("b", 50), bounds=[bound])
        self.offer(entry_of("a", size=40))
        self.assertEqual(self.level(bound), (40, 50))
        self.run_now(self.catalogue.merge([entry_of("b", size=50)]))
        self.assertEqual(self.level(bound), (90, 0))
        for name, size in (("a", 40), ("b", 50)):
            self.record(entry_of(name, size=size))
        self.assertEqual(self.level(bound), (90, 0))
        self.assertEqual(self.run_now(self.catalogue.expired(THEN + 9999)), [])

    def test_what_comes_back_from_the_trash_counts_once(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.record(entry_of("a", size=60))
        self.trash(key_of(b"a"))
        self.reserve(wanted_of("a", 60), bounds=[bound])
        self.settle(State.TRASHED, State.STORED, key_of(b"a"))
        self.assertEqual(self.level(bound), (60, 0))

    def test_who_still_has_a_promise_needs_its_room_if_the_object_is_deleted(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.record(entry_of("a", size=60), entry_of("c", size=10))
        self.reserve(wanted_of("a", 60), wanted_of("c", 10), bounds=[bound])
        self.assertEqual(self.level(bound), (70, 0))
        self.trash(key_of(b"a"))
        self.run_now(self.catalogue.forget([key_of(b"c")], ALL))
        self.assertEqual(self.level(bound), (0, 70))
        refused = self.reserve(wanted_of("b", 31), bounds=[bound]).refused
        self.assertEqual(set(refused), {key_of(b"b")})

    def test_only_what_has_expired_is_given_back(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.reserve(wanted_of("a", 40), bounds=[bound], until=THEN + 10)
        self.reserve(wanted_of("b", 20), bounds=[bound], until=THEN + 20)
        keys = [key_of(b"a"), key_of(b"b")]
        self.run_now(self.catalogue.release(keys, THEN + 10))
        self.assertEqual(self.level(bound), (0, 20))
        self.run_now(self.catalogue.release(keys, None))
        self.assertEqual(self.level(bound), (0, 0))

    def test_what_an_upload_replaces_needs_no_room(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.record(entry_of("a", size=60))
        self.assertEqual(self.reserve(wanted_of("a", 90), bounds=[bound]).refused, {})
        self.assertEqual(self.level(bound), (60, 30))
        self.record(entry_of("a", size=90))
        self.assertEqual(self.level(bound), (90, 0))

    def test_what_is_in_the_trash_is_not_used(self) -> None:
        bound = Bound("org/repo", False, 100)
        self.record(entry_of("a", size=60))
        self.trash(key_of(b"a"))
        self.assertEqual(self.level(bound), (0, 0))
        self.assertEqual(self.reserve(wanted_of("a", 60), bounds=[bound]).refused, {})
        self.assertEqual(self.level(bound), (0, 60))

    def test_nothing_is_refused_without_bounds_and_sizes_may_be_enormous(self) -> None:
        self.assertEqual(self.reserve(wanted_of("a", 5), bounds=[]).refused, {})
        bound = Bound("org/repo", False, MAX_SIZE)
        found = self.reserve(wanted_of("b", MAX_SIZE), wanted_of("c", 9), bounds=[bound])
        self.assertEqual(set(found.refused), {key_of(b"b")})

    def test_objects_without_bytes_fit_into_what_is_full(self) -> None:
        bound = Bound("org/repo", False, 0)
        self.assertEqual(self.reserve(wanted_of("a", 0), bounds=[bound]).refused, {})
        self.assertEqual(
            set(self.reserve(wanted_of("b", 1), bounds=[bound]).refused), {key_of(b"b")}
        )

    # -- counters

    def count(self, period: int, **amounts: int) -> dict[str, int]:
        """Count."""
        return dict(self.run_now(self.catalogue.count(amounts, period)))

    def test_counters_add_up_within_their_periods(self) -> None:
        self.assertEqual(self.count(7, a=0), {"a": 0})
        self.assertEqual(self.count(7, a=5, b=1), {"a": 5, "b": 1})
        self.assertEqual(self.count(7, a=2, b=0), {"a": 7, "b": 1})
        self.assertEqual(self.count(8, a=1), {"a": 1})
        self.assertEqual(self.count(7, a=0), {"a": 7})
        self.count(9, b=1)
        self.assertEqual(self.count(7, a=0), {"a": 0})
        self.assertEqual(self.count(8, a=0), {"a": 1})
