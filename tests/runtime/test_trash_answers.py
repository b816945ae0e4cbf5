"""What a worker does with the trash when its parent asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from giftless.interfaces import Entry, ObjectDeleted, ObjectRestored, State
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.runtime.space_questions import TrashFacts, TrashOrder
from giftless.runtime.trash_answers import CHUNK, SECONDS, TrashAnswers
from giftless.usecases.events import Events
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash
from tests.support.events import Recorder
from tests.support.making import key_of
from tests.usecases.moving import NOW, MovingTestCase


class TrashAnswersTests(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()
        self.trash: Trash = self.place(events=Events({"recorder": self.recorder})).trash
        self.answers = TrashAnswers(self.catalogue, self.trash, self.clock)

    def ask(
        self,
        answerer: Callable[[bytes], Awaitable[bytes]],
        repo: str = "",
        oid: str = "",
        **more: Any,
    ) -> TrashFacts:
        """Order something as the parent does."""
        before = more.pop("before", NOW + 10**6)
        order = TrashOrder("ada", "basic#ada", "", "", repo, oid, before)
        reply = self.run_now(answerer(msgspec.json.encode(order)))
        return msgspec.json.decode(reply, type=TrashFacts)

    def discard(self, *keys: ObjectKey, stored: bool = True) -> None:
        """Store objects and move them into the trash.

        :param stored: whether they are in the store, or known to the catalogue alone.
        """
        if not stored:
            for key in keys:
                self.know(State.TRASHED, key, moved_at=NOW)
            return
        for key in keys:
            self.put(key)
            self.know(State.STORED, key)
        self.assertEqual(
            len(self.run_now(self.trash.discard(keys, "old", By("bob"))).moved), len(keys)
        )

    def states(self, *keys: ObjectKey) -> list[State | None]:
        """Return where objects are by the catalogue's word."""
        entries: list[Entry | None] = list(self.run_now(self.catalogue.look(keys)))
        return [None if entry is None else entry.state for entry in entries]

    def test_one_object_is_restored_and_another_deleted(self) -> None:
        back, gone, other = (key_of(data, "acme/rocket") for data in (b"a", b"b", b"c"))
        self.discard(back, gone, other)
        self.assertEqual(
            self.ask(self.answers.restore, "acme/rocket", str(back.oid)), TrashFacts(1)
        )
        self.assertEqual(self.ask(self.answers.purge, "acme/rocket", str(gone.oid)), TrashFacts(1))
        self.assertEqual(self.states(back, gone, other), [State.STORED, None, State.TRASHED])
        self.assertTrue(self.is_there(back))
        self.assertFalse(self.is_there(in_trash(gone)))
        (restored,) = self.recorder.of(ObjectRestored)
        (deleted,) = self.recorder.of(ObjectDeleted)
        for event, key in ((restored, back), (deleted, gone)):
            self.assertEqual((event.key, event.who, event.principal), (key, "ada", "basic#ada"))

    def test_one_repository_is_emptied_without_those_below_its_path(self) -> None:
        ours = [key_of(b"%d" % number, "acme/rocket") for number in range(3)]
        others = [key_of(b"a", "acme/rocket/sub"), key_of(b"a", "acme/rocket2")]
        self.discard(*ours, *others)
        self.assertEqual(self.ask(self.answers.purge, "acme/rocket"), TrashFacts(3))
        self.assertEqual(self.states(*ours, *others), [None] * 3 + [State.TRASHED] * 2)
        self.assertEqual(self.ask(self.answers.restore), TrashFacts(2))
        self.assertEqual(self.states(*others), [State.STORED] * 2)

    def test_what_comes_after_the_form_was_opened_stays(self) -> None:
        early, late = key_of(b"a"), key_of(b"b")
        self.discard(early)
        opened = self.wall_clock() + 1
        self.clock.advance(2)
        self.discard(late)
        for answerer in (self.answers.purge, self.answers.restore):
            self.ask(answerer, before=opened)
        self.assertEqual(self.states(early, late), [None, State.TRASHED])

    def test_much_is_done_in_several_goes(self) -> None:
        keys = [key_of(b"%d" % number) for number in range(2 * CHUNK + 10)]
        self.discard(*keys)
        purge = self.trash.purge

        async def slow(some: Any, by: By) -> int:
            self.clock.advance(SECONDS)
            return await purge(some, by)

        self.patch(self.trash, "purge", slow)
        told = [self.ask(self.answers.purge) for _ in range(3)]
        self.assertEqual(
            told, [TrashFacts(CHUNK, more=True), TrashFacts(CHUNK, more=True), TrashFacts(10)]
        )
        self.assertEqual(self.ask(self.answers.purge), TrashFacts())

    def test_what_is_missing_is_told_and_holds_nothing_up(self) -> None:
        there, missing = key_of(b"a"), key_of(b"b")
        self.discard(there)
        self.discard(missing, stored=False)
        self.assertEqual(self.ask(self.answers.restore), TrashFacts(1, 1))
        unknown = key_of(b"c")
        told = self.ask(self.answers.restore, unknown.repo.path, str(unknown.oid))
        self.assertEqual(told, TrashFacts(0, 1))

    def test_problems_are_told_in_words(self) -> None:
        for repo, oid in (("a//b", ""), ("a/b", "x"), ("", "0" * 64), (".giftless/x", "")):
            for answerer in (self.answers.restore, self.answers.purge):
                told = self.ask(answerer, repo, oid)
                self.assertEqual((told.status, told.done), (400, 0), (repo, oid))
                self.assertTrue(told.problem)
        for answers, words in (
            (TrashAnswers(None, None, self.clock), "no catalogue"),
            (TrashAnswers(self.catalogue, None, self.clock), "no trash"),
        ):
            told = self.ask(answers.purge, "a/b", "0" * 64)
            self.assertEqual(told.status, 404)
            self.assertIn(words, told.problem)
