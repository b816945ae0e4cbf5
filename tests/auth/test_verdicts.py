"""Verdicts on credentials are remembered, each for its time, and asked for once at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.auth.verdicts import Verdicts
from tests.support.run import CoroutineTestCase


class VerdictsTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[str] = []
        self.asked: list[str] = []
        self.answer: Deferred[None] | None = None
        self.verdicts: Verdicts[str | None] = Verdicts(2, 2, self.clock, self.looks.append)

    def find(self, shown: str) -> Deferred[Any]:
        """Ask about a credential; those that begin with "bad" are wrong, and nobody's."""
        digest = self.verdicts.digest(shown.encode())

        async def ask() -> str | None:
            self.asked.append(shown)
            if self.answer is not None:
                await self.answer
            verdict = None if shown.startswith("bad") else f"who shows {shown}"
            self.verdicts.remember(digest, verdict, verdict is not None, 10 if verdict else 5)
            return verdict

        return self.start(self.verdicts.find(digest, ask))

    def test_a_verdict_is_remembered_for_its_time(self) -> None:
        for _ in range(2):
            self.assertEqual(self.successResultOf(self.find("good")), "who shows good")
            self.assertIsNone(self.successResultOf(self.find("bad")))
        self.assertEqual(self.looks, ["miss", "miss", "hit", "hit"])
        self.clock.advance(5)
        self.find("good")
        self.find("bad")
        self.assertEqual(self.asked, ["good", "bad", "bad"])
        self.clock.advance(5)
        self.find("good")
        self.assertEqual(self.asked, ["good", "bad", "bad", "good"])

    def test_who_asks_at_the_same_time_shares_the_answer(self) -> None:
        self.answer = Deferred()
        asking = [self.find("good") for _ in range(3)]
        self.answer.callback(None)
        self.assertEqual([self.successResultOf(each) for each in asking], ["who shows good"] * 3)
        self.assertEqual(self.looks, ["miss", "shared", "shared"])
        self.assertEqual(self.asked, ["good"])

    def test_a_guesser_crowds_out_nobody_who_knows(self) -> None:
        self.find("good")
        for number in range(10):
            self.find(f"bad {number}")
        self.find("good")
        self.assertEqual(self.asked.count("good"), 1)

    def test_no_credential_is_remembered(self) -> None:
        digest = self.verdicts.digest(b"secret")
        self.assertNotEqual(digest, Verdicts(1, 1, self.clock, self.looks.append).digest(b"secret"))
        self.assertNotIn(b"secret", digest)
