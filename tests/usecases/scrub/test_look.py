"""What workers tell of a scrub that another one does."""

from __future__ import annotations

from giftless.errors import ServiceUnavailable
from giftless.usecases.scrub.look import SILENCE, ScrubLook
from giftless.usecases.scrub.scrubbing import LOOKED
from tests.support.blocking import InlineBlocking
from tests.usecases.scrub.support import PERIOD, ScrubTestCase


class LookTests(ScrubTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.look = ScrubLook(self.journal, InlineBlocking(), self.wall_clock)

    def test_what_one_worker_writes_down_is_what_others_tell(self) -> None:
        self.run_now(self.look.look())
        self.assertIsNone(self.look.facts, "nobody has begun")
        self.add(10)
        self.worker()
        self.go(LOOKED + PERIOD / 2)
        self.run_now(self.look.look())
        facts = self.look.facts
        assert facts is not None
        self.assertEqual(facts.expected_objects, 10)
        self.assertApproximates(facts.progress, 0.55, 0.1)

    def test_a_long_wait_is_no_silence(self) -> None:
        self.add(1)
        self.worker()
        self.go(LOOKED + PERIOD - 100)
        self.run_now(self.look.look())

    def test_who_is_silent_for_too_long_is_not_well(self) -> None:
        self.add(1)
        worker = self.worker()
        self.go(LOOKED + 10)
        worker.stopService()
        self.go(SILENCE - 20)
        self.run_now(self.look.look())
        self.go(100)
        error = self.assert_fails(ServiceUnavailable, self.look.look())
        self.assertIn("nothing has been examined for 1 hours", error.message)

    def test_who_never_begins_is_not_well_either(self) -> None:
        self.go(SILENCE + 10)
        self.assert_fails(ServiceUnavailable, self.look.look())

    def test_while_the_daemon_did_not_run_nobody_was_silent(self) -> None:
        self.add(1)
        worker = self.worker()
        self.go(LOOKED + 10)
        worker.stopService()
        self.go(2 * SILENCE)
        look = ScrubLook(self.journal, InlineBlocking(), self.wall_clock)
        self.run_now(look.look())
        self.assertIsNotNone(look.facts)
