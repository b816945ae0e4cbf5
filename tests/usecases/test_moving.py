"""No order of steps loses an object, whoever is killed, and whoever is slow."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from giftless.errors import Gone, LFSError
from giftless.interfaces import Entry, State
from giftless.lfs.batch import BatchReply
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.claims import HOLD, LEASE, POLL
from giftless.usecases.locks import By
from tests.support.bodies import ListBody
from tests.support.making import put_object, reader, writer
from tests.support.rounds import rounds
from tests.support.steps import Choices, Side, orders, take_turns
from tests.usecases.moving import DATA, KEY, NOW, OPERATOR, MovingTestCase, Place

#: Does the work of a side.
Work = Callable[[Place], Coroutine[Any, Any, Any]]

#: How many orders of one scenario are tried by chance; 0 for all that there are.
CHANCES = rounds(20, 0)

#: The same for scenarios of three sides, which have too many.
MORE_CHANCES = rounds(6, 3000)

#: The same where one of two sides is killed: after each number of steps.
KILLED_CHANCES = rounds(5, 0)


async def collect(place: Place) -> Any:
    """Collect garbage."""
    return await place.trash.discard([KEY], "no ref leads to it", OPERATOR, NOW - 1)


async def collect_too(place: Place) -> Any:
    """Collect garbage beside somebody else."""
    return await place.trash.discard([KEY], "no ref leads to it", By("somebody else"), NOW - 1)


async def remove(place: Place) -> Any:
    """Remove the object, whoever wants it."""
    return await place.trash.discard([KEY], "it was removed", OPERATOR)


async def purge(place: Place) -> Any:
    """Empty the trash."""
    return await place.trash.purge([KEY], OPERATOR)


async def sweep(place: Place) -> Any:
    """Delete what is in the trash and is stored."""
    return await place.trash.sweep(OPERATOR)


async def rescue(place: Place) -> Any:
    """End what is left of killed processes."""
    return await place.trash.rescue()


async def restore(place: Place) -> Any:
    """Bring the object back."""
    return await place.trash.restore([KEY], OPERATOR)


async def push(place: Place) -> BatchReply:
    """Ask to upload the object."""
    place.presence.trashing = frozenset({KEY.repo})
    return await place.batch(writer(), "upload")


async def push_unaware(place: Place) -> BatchReply:
    """Ask to upload the object, not knowing that anything is in the trash."""
    return await place.batch(writer(), "upload")


async def upload(place: Place) -> bool:
    """Upload the object by an older token, and have that recorded, as the server does."""
    await put_object(place.store, KEY, len(DATA), ListBody([DATA]), {})
    now = NOW + place.trash.clock.seconds()
    await place.catalogue.record([Entry(KEY, len(DATA), now, now, "ulla")])
    return True


async def fetch(place: Place) -> BatchReply:
    """Ask to download the object, as somebody who may write."""
    return await place.batch(writer(), "download")


def is_present(reply: Any) -> bool:
    """Whether a client was told that it need not upload the object."""
    if isinstance(reply, LFSError) or reply is None:
        return False
    (item,) = reply.objects
    return item.error is None and not item.actions


class OrderTestCase(MovingTestCase):
    """Runs sides in every order."""

    def try_all(
        self,
        works: Mapping[str, Work],
        arrange: Callable[[], None],
        check: Callable[[Mapping[str, Side]], None],
        lives: Mapping[str, int] | None = None,
        jump: bool = False,
    ) -> None:
        """Try orders.

        :param works: the work of each side, by its name.
        :param arrange: puts the object in place, each time.
        :param check: looks what has become of it, each time.
        :param lives: after how many steps a side is killed.
        :param jump: whether a claim's life passes at some point, for all.
        """
        several = len(works) + jump > 2
        chances = MORE_CHANCES if several else KILLED_CHANCES if lives else CHANCES
        for choices in orders(chances, f"{self.id()} {sorted((lives or {}).items())}"):
            arrange()
            sides = self.run_sides(works, choices, lives or {}, jump)
            try:
                check(sides)
            except BaseException:
                print({name: (side.steps, side.result) for name, side in sides.items()})
                raise

    def run_sides(
        self, works: Mapping[str, Work], choices: Choices, lives: Mapping[str, int], jump: bool
    ) -> Mapping[str, Side]:
        """Run sides in one order."""
        sides = {name: Side(name, self.clock) for name in works}
        for name, work in works.items():
            sides[name].begin(work(self.place(sides[name])))
        if jump:
            sides["time"] = Side("time", self.clock)
            sides["time"].begin(self.jump(sides["time"]))
        take_turns(list(sides.values()), self.clock, choices, lives, POLL)
        return sides

    async def jump(self, side: Side) -> None:
        """Let the life of a claim pass."""
        await side.turn("jump")
        self.clock.advance(LEASE + 1)

    def check_not_lost(self, sides: Mapping[str, Side]) -> None:
        """Check that the object is somewhere, and can be had by whoever was told that it is."""
        where = self.is_there(), self.is_there(in_trash(KEY))
        self.assertIn(True, where, "it is lost")
        self.clock.advance(LEASE + 1)
        self.run_now(self.place().trash.rescue())
        entry = self.entry()
        assert entry is not None
        if entry.state is State.TRASHED:
            self.assertTrue(self.is_there(in_trash(KEY)), "it is not where the catalogue says")
        self.assertIsNot(entry.state, State.LEAVING)
        if any(is_present(side.result) for name, side in sides.items() if "push" in name):
            (item,) = self.run_now(self.place().batch(reader(), "download")).objects
            self.assertIsNone(item.error, "a client was told that it is there")
            self.assertTrue(self.is_there())

    def stored(self) -> None:
        """Let the object be stored, and unwanted for long."""
        self.arrange(State.STORED, True, False)

    def trashed(self) -> None:
        """Let the object be in the trash."""
        self.arrange(State.TRASHED, False, True)

    def swept(self) -> None:
        """Let the object be stored, with a copy in the trash that it does not need."""
        self.arrange(State.STORED, True, True)


class LiveTests(OrderTestCase):
    """Nobody is killed, and nobody is slow."""

    def test_a_push_and_a_collection(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            moved = sides["gc"].result.moved
            self.assertTrue(is_present(sides["push"].result), "it is there, or comes back")
            self.assertTrue(self.is_there())
            entry = self.entry()
            assert entry is not None
            self.assertIs(entry.state, State.STORED)
            self.assertGreaterEqual(entry.offered_at, NOW - 1)
            self.assertEqual((entry.who, entry.filename), ("olga", "a.bin"))
            self.check_not_lost(sides)
            found.add(bool(moved))

        found: set[bool] = set()
        self.try_all({"gc": collect, "push": push}, self.stored, check)
        self.assertEqual(found, {True, False}, "both come first in some orders")

    def test_an_unaware_push_and_a_collection(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            self.check_not_lost(sides)
            # A client that is not told that it is there uploads it.
            self.assertEqual(self.is_there(), is_present(sides["push"].result))

        self.try_all({"gc": collect, "push": push_unaware}, self.stored, check)

    def test_two_pushes_and_a_collection(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            self.assertTrue(is_present(sides["push 1"].result))
            self.assertTrue(is_present(sides["push 2"].result))
            self.assertTrue(self.is_there())
            self.check_not_lost(sides)

        sides = {"gc": collect, "push 1": push, "push 2": push}
        self.try_all(sides, self.stored, check)

    def test_one_of_two_collections_moves_an_object(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            moved = [bool(sides[name].result.moved) for name in ("gc 1", "gc 2")]
            self.assertEqual(sum(moved), 1)
            self.assertFalse(self.is_there())
            self.check_not_lost(sides)

        self.try_all({"gc 1": collect, "gc 2": collect_too}, self.stored, check)

    def test_a_removal_and_whoever_wants_it(self) -> None:
        """Somebody has it removed, and somebody has it brought back: the later one wins."""
        for work in (push, fetch, restore):
            self.try_all({"rm": remove, "it": work}, self.stored, self.check_not_lost)
            self.try_all({"rm": remove, "it": work}, self.trashed, self.check_not_lost)
            self.try_all(
                {"rm": remove, "it": work, "again": restore}, self.trashed, self.check_not_lost
            )

    def test_a_push_and_the_emptying_of_the_trash(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            present = is_present(sides["push"].result)
            self.assertEqual(self.is_there(), present)
            self.assertFalse(present and self.entry() is None)
            self.assertFalse(self.is_there(in_trash(KEY)) and sides["purge"].result)
            found.add(present)

        found: set[bool] = set()
        self.try_all({"purge": purge, "push": push}, self.trashed, check)
        self.assertEqual(found, {True, False})

    def test_the_emptying_of_the_trash_spares_what_is_moved_again(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            if not sides["purge"].result:
                self.check_not_lost(sides)

        sides = {"purge": purge, "back": restore, "rm": remove}
        self.try_all(sides, self.trashed, check)

    def test_the_emptying_of_the_trash_spares_what_was_brought_back(self) -> None:
        """Whoever moves it once more relies on the copy."""
        self.swept()
        self.assertEqual(self.run_now(purge(self.place())), 0)
        self.assertTrue(self.is_there(in_trash(KEY)))

    def test_sweeping_loses_nothing(self) -> None:
        for work in (collect, remove, push, fetch, sweep, rescue):
            self.try_all({"sweep": sweep, "it": work}, self.swept, self.check_not_lost)
        sides = {"sweep": sweep, "rm": remove, "back": restore}
        self.try_all(sides, self.swept, self.check_not_lost)

    def test_sweeping_deletes_what_nobody_needs(self) -> None:
        self.swept()
        self.assertEqual(self.run_now(sweep(self.place())), 1)
        self.assertEqual((self.is_there(), self.is_there(in_trash(KEY))), (True, False))

    def test_an_upload_is_there_whoever_moves_the_object(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            self.check_not_lost(sides)
            (item,) = self.run_now(self.place().batch(reader(), "download")).objects
            self.assertIsNone(item.error, "its upload was confirmed")

        for work in (collect, sweep):
            self.try_all({"it": work, "upload": upload}, self.swept, check)
        self.try_all({"rm": remove, "upload": upload}, self.stored, self.check_not_lost)
        self.try_all({"gc": collect, "upload": upload}, self.stored, check, jump=True)
        for steps in range(8):
            self.try_all({"gc": collect, "upload": upload}, self.stored, check, {"gc": steps})
        self.try_all({"back": restore, "upload": upload}, self.trashed, check)
        self.try_all({"purge": purge, "upload": upload}, self.trashed, check)


class KilledTests(OrderTestCase):
    """A side is killed after any of its steps."""

    def test_a_collection_is_killed(self) -> None:
        for work in (push, push_unaware, fetch, collect, rescue, sweep):
            for steps in range(8):
                self.try_all(
                    {"gc": collect, "push" if work in (push, push_unaware) else "it": work},
                    self.stored,
                    self.check_not_lost,
                    {"gc": steps},
                    jump=steps > 3,
                )

    def test_a_push_is_killed(self) -> None:
        for steps in range(8):
            sides = {"gc": collect, "one": push, "push": push}
            self.try_all(sides, self.stored, self.check_not_lost, {"one": steps})

    def test_bringing_back_is_killed(self) -> None:
        for work in (push, fetch, remove):
            for steps in range(6):
                name = "push" if work is push else "it"
                sides = {"back": restore, name: work}
                self.try_all(sides, self.trashed, self.check_not_lost, {"back": steps})

    def test_sweeping_is_killed(self) -> None:
        for work in (push, remove, fetch):
            for steps in range(8):
                name = "push" if work is push else "it"
                sides = {"sweep": sweep, name: work}
                lives = {"sweep": steps}
                self.try_all(sides, self.swept, self.check_not_lost, lives, jump=True)

    def test_emptying_the_trash_is_killed(self) -> None:
        """It may have deleted the object, but nobody is told that it is there then."""

        def check(sides: Mapping[str, Side]) -> None:
            present = is_present(sides["push"].result)
            if present or self.is_there() or self.is_there(in_trash(KEY)):
                self.check_not_lost(sides)
            self.assertFalse(present and not self.is_there())

        for steps in range(5):
            sides = {"purge": purge, "push": push}
            self.try_all(sides, self.trashed, check, {"purge": steps}, jump=True)


class SlowTests(OrderTestCase):
    """The life of a claim passes between any two steps."""

    def test_a_collection_is_slow(self) -> None:
        def check(sides: Mapping[str, Side]) -> None:
            if any(is_present(side.result) for side in sides.values() if side.name == "push"):
                self.assertTrue(self.is_there(), "whoever was slow gives it back")
            self.check_not_lost(sides)

        for work in (push, push_unaware, fetch, rescue):
            name = "push" if work in (push, push_unaware) else "it"
            self.try_all({"gc": collect, name: work}, self.stored, check, jump=True)
        sides = {"gc": collect, "push": push, "rescue": rescue}
        self.try_all(sides, self.stored, check, jump=True)

    def test_who_was_too_slow_gives_the_object_back(self) -> None:
        """A client was told that it is there while it was being deleted."""
        self.stored()
        delete = self.store.delete

        async def slow(key: ObjectKey) -> None:
            self.clock.advance(LEASE + 1)
            replies.append(await push(self.place()))
            await delete(key)

        replies: list[BatchReply] = []
        patch = self.patch(self.store, "delete", slow)
        outcome = self.run_now(collect(self.place()))
        patch.restore()
        self.assertTrue(is_present(replies[0]))
        self.assertEqual((outcome.moved, outcome.spared), ([], [KEY]))
        self.assertTrue(self.is_there())

    def test_who_is_too_late_does_not_begin_to_delete(self) -> None:
        self.stored()
        claim = self.catalogue.claim

        async def slow(*arguments: Any) -> Any:
            claimed = await claim(*arguments)
            self.clock.advance(HOLD + 0.1)
            return claimed

        self.patch(self.catalogue, "claim", slow)
        outcome = self.run_now(collect(self.place()))
        self.assertEqual((outcome.moved, outcome.spared), ([], [KEY]))
        entry = self.entry()
        assert entry is not None
        self.assertEqual((entry.state, self.is_there()), (State.STORED, True))


class LeftTests(MovingTestCase):
    """What was left is put right by whoever comes next."""

    def test_a_dead_claim_ends_as_the_store_has_it(self) -> None:
        for stored, trashed, state in (
            (True, True, State.STORED),
            (True, False, State.STORED),
            (False, True, State.TRASHED),
            (False, False, None),
        ):
            self.arrange(State.LEAVING, stored, trashed)
            self.assertEqual(self.run_now(rescue(self.place())), 1)
            entry = self.entry()
            self.assertIs(None if entry is None else entry.state, state)

    def test_a_claim_that_is_alive_stays(self) -> None:
        self.arrange(State.STORED, True, True)
        self.run_now(self.catalogue.claim([KEY], None, self.wall_clock(), "why", "who"))
        self.assertEqual(self.run_now(rescue(self.place())), 0)
        entry = self.entry()
        assert entry is not None
        self.assertIs(entry.state, State.LEAVING)

    def test_what_never_left_comes_back_for_anybody(self) -> None:
        """It was deleted, and whoever did that was killed when its claim had been ended."""
        self.arrange(State.STORED, False, True)
        (item,) = self.run_now(self.place().batch(reader(), "download")).objects
        self.assertIsNone(item.error)
        self.assertTrue(self.is_there())

    def test_what_was_deleted_on_purpose_comes_back_for_writers_alone(self) -> None:
        self.arrange(State.TRASHED, False, True)
        (item,) = self.run_now(self.place().batch(reader(), "download")).objects
        assert item.error is not None
        self.assertEqual(item.error.code, Gone.code)
        (item,) = self.run_now(self.place().batch(writer(), "download")).objects
        self.assertIsNone(item.error)
        self.assertTrue(self.is_there())
