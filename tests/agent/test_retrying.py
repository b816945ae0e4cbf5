"""Trying again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.agent.errors import Again, TransferError
from giftless.agent.retrying import ATTEMPTS, Retries, patiently


class PatientlyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pauses: list[float] = []

    def test_works_at_last(self) -> None:
        """What fails a few times is tried until it works."""
        outcomes = [Again("one"), Again("two"), "three"]

        def attempt() -> str:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Again):
                raise outcome
            return str(outcome)

        self.assertEqual(patiently(attempt, self.pauses.append), "three")
        self.assertEqual(len(self.pauses), 2)

    def test_the_last_failure_is_told(self) -> None:
        """What always fails is given up, and the last reason is told."""
        tried: list[None] = []

        def attempt() -> None:
            tried.append(None)
            raise Again(f"reason {len(tried)}")

        error = self.assertRaises(TransferError, patiently, attempt, self.pauses.append)
        self.assertEqual(len(tried), ATTEMPTS)
        self.assertEqual(
            error.message, f"reason {ATTEMPTS}; tried {ATTEMPTS} times, try again later"
        )

    def test_pauses_double_up_to_a_limit(self) -> None:
        """Each pause is twice the one before, up to a limit, and a bit shorter at random."""
        for jitter, expected in (
            (1.0, [0.5, 1, 2, 4, 8, 16, 20]),
            (0.0, [0.25, 0.5, 1, 2, 4, 8, 10]),
        ):
            self.pauses.clear()
            retries = Retries(self.pauses.append, jitter=lambda value=jitter: value)  # type: ignore[misc]
            for _ in range(ATTEMPTS - 1):
                retries.wait(Again("no"))
            self.assertEqual(self.pauses, expected)

    def test_progress_restarts_the_count(self) -> None:
        """With progress the count begins anew."""
        retries = Retries(self.pauses.append)
        for _ in range(3 * ATTEMPTS):
            retries.wait(Again("no"))
            retries.reset()
        self.assertLess(max(self.pauses), 1)

    def test_server_says_when(self) -> None:
        """The server's wish is kept, and told to the user if it is too long to wait."""
        retries = Retries(self.pauses.append)
        retries.wait(Again("busy", 7))
        self.assertEqual(self.pauses, [7])
        error = self.assertRaises(TransferError, retries.wait, Again("busy", 3600))
        self.assertIn("3600 seconds", error.message)
