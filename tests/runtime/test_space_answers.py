"""What a worker answers when its parent asks what is stored and in the trash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet.task import Clock

from giftless.base.units import Duration, Size
from giftless.errors import CatalogueUnavailable
from giftless.interfaces import Entry, State
from giftless.interfaces.catalogue import UsageRow
from giftless.runtime.space_answers import SpaceAnswers, key_at
from giftless.runtime.space_questions import (
    ObjectFacts,
    ObjectsFacts,
    ObjectsOf,
    QuotasFacts,
    QuotasOf,
    UsageFacts,
    UsageOf,
)
from giftless.usecases.quotas.budgets import Budgets
from giftless.usecases.quotas.level import QuotaLevel
from giftless.usecases.quotas.levels import QuotaLevels
from giftless.usecases.quotas.rules import QuotaOptions, QuotaRule, QuotaRules
from tests.catalogue.support import SQLiteTestCase
from tests.support.run import CoroutineTestCase

#: For how long objects stay in the trash, in seconds.
KEEP = 1000.0


class SpaceAnswersTests(SQLiteTestCase, CoroutineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalogue = self.build()
        self.answers = SpaceAnswers(self.catalogue, True, KEEP)
        self.entries = [
            Entry(key_at(repo, str(number) * 64), 100 * number, 10.0 * number, 50.0 - number, "ada")
            for number, repo in ((1, "acme/rocket"), (2, "acme/rocket"), (3, "lab/scans.git"))
        ]
        self.run_now(self.catalogue.record(self.entries))

    def ask(self, answerer: Callable[[bytes], Awaitable[bytes]], question: Any, kind: Any) -> Any:
        """Ask as the parent does."""
        reply = self.run_now(answerer(msgspec.json.encode(question)))
        return msgspec.json.decode(reply, type=kind)

    def usage(self, question: UsageOf) -> UsageFacts:
        answer: UsageFacts = self.ask(self.answers.usage, question, UsageFacts)
        return answer

    def objects(self, question: ObjectsOf) -> ObjectsFacts:
        answer: ObjectsFacts = self.ask(self.answers.objects, question, ObjectsFacts)
        return answer

    def discard(self, entry: Entry) -> None:
        """Move an object into the trash."""
        self.run_now(self.catalogue.claim([entry.key], None, 60.0, "not needed", "bob"))
        self.run_now(self.catalogue.settle([entry.key], State.LEAVING, State.TRASHED, at=60.0))

    def test_usage_is_told(self) -> None:
        self.assertEqual(
            self.usage(UsageOf("org")),
            UsageFacts(
                [UsageRow("acme", 2, 300), UsageRow("lab", 1, 300)], UsageRow("", 3, 600), 600, True
            ),
        )
        self.assertEqual(
            self.usage(UsageOf("repo", "acme", 1)),
            UsageFacts([UsageRow("acme/rocket", 2, 300)], UsageRow("", 2, 300), 300, True),
        )
        self.assertEqual(self.usage(UsageOf("repo", "acme", below=False)).total, UsageRow(""))
        self.discard(self.entries[0])
        self.assertEqual(
            self.usage(UsageOf("repo", trashed=True)).rows,
            [UsageRow("acme/rocket", 1, 200, 1, 100)],
        )

    def test_objects_are_told_page_by_page(self) -> None:
        small, middle, large = (entry.key for entry in self.entries)
        first = self.objects(ObjectsOf(2))
        self.assertEqual([it.oid for it in first.objects], [large.oid, middle.oid])
        second = self.objects(ObjectsOf(2, cursor=first.next_cursor))
        self.assertEqual(
            second, ObjectsFacts([ObjectFacts("acme/rocket", small.oid, 100, 10.0, 49.0, "ada")])
        )
        for order, key in (("stored", small), ("offered", large)):
            found = self.objects(ObjectsOf(1, order=order)).objects  # type: ignore[arg-type]
            self.assertEqual(found[0].oid, key.oid, order)

    def test_objects_of_a_repository_are_told_whose_name_ends_as_urls_do(self) -> None:
        (found,) = self.objects(ObjectsOf(9, "lab/scans.git")).objects
        self.assertEqual(found.oid, self.entries[2].key.oid)
        again = self.objects(ObjectsOf(1, "lab/scans.git", found.oid))
        self.assertEqual(again.objects, [found])

    def test_what_is_in_the_trash_is_told_apart(self) -> None:
        gone = self.entries[1]
        self.discard(gone)
        self.assertEqual(len(self.objects(ObjectsOf(9)).objects), 2)
        (found,) = self.objects(ObjectsOf(9, trashed=True, order="moved")).objects
        self.assertEqual(
            (found.oid, found.moved_at, found.moved_by, found.reason, found.kept_until),
            (gone.key.oid, 60.0, "bob", "not needed", 60.0 + KEEP),
        )
        for trashed, count in ((True, 1), (False, 0)):
            one = ObjectsOf(1, "acme/rocket", str(gone.key.oid), trashed)
            self.assertEqual(len(self.objects(one).objects), count)

    def test_problems_are_told_in_words(self) -> None:
        for question in (
            ObjectsOf(9, "a//b"),
            ObjectsOf(9, ".giftless/trash"),
            ObjectsOf(9, "acme/rocket", "x"),
            ObjectsOf(9, cursor="x"),
            ObjectsOf(0),
        ):
            answer = self.objects(question)
            self.assertEqual((answer.status, answer.objects), (400, []), question)
            self.assertTrue(answer.problem)

        async def fails(*_: object) -> None:
            raise CatalogueUnavailable("the catalogue cannot be reached now", 5)

        self.patch(self.catalogue, "usage", fails)
        usage = self.usage(UsageOf("org"))
        self.assertEqual(
            (usage.status, usage.problem), (503, "the catalogue cannot be reached now")
        )

    def test_a_server_without_a_catalogue_says_so(self) -> None:
        self.answers = SpaceAnswers(None, False)
        self.assertIn("catalogue.type", self.usage(UsageOf("org")).problem)
        self.assertEqual(self.objects(ObjectsOf(9)).status, 404)
        self.assertEqual(self.objects(ObjectsOf(9, "a", "b")).status, 404)

    def test_quotas_are_told(self) -> None:
        rule = QuotaRule(match="acme", limit=Size(1000))
        rules = QuotaRules(QuotaOptions(orgs=[rule]))
        clock: Any = Clock()
        budgets = Budgets(rules, Duration(60), "", self.catalogue, clock, lambda: 0.0)
        levels = QuotaLevels(rules, self.catalogue, budgets)
        self.answers = SpaceAnswers(self.catalogue, True, KEEP, levels)
        told = QuotasFacts([QuotaLevel("acme", True, 1000, 300, 0, 800)])
        for question, answer in ((QuotasOf("acme", 5), told), (QuotasOf("lab", 5), QuotasFacts())):
            self.assertEqual(self.ask(self.answers.quotas, question, QuotasFacts), answer)
        self.answers = SpaceAnswers(self.catalogue, True)
        self.assertEqual(self.ask(self.answers.quotas, QuotasOf(), QuotasFacts), QuotasFacts())
