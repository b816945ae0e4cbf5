"""Couriers: the order of messages, pauses, and when a message is given up."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.errors import ServiceUnavailable
from giftless.observers.webhooks.courier import LONGEST, Courier, Limits, backoff
from giftless.observers.webhooks.factory import WebhooksFactory
from giftless.observers.webhooks.leases import Leases
from giftless.observers.webhooks.options import (
    Target,
    TargetOptions,
    WebhooksOptions,
    targets_of,
)
from giftless.observers.webhooks.outbox import Message, Outbox
from giftless.observers.webhooks.sending import Outcome, Verdict
from tests.observers.webhooks.test_signing import SECRET
from tests.support.logs import observe
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

DELIVERED = Outcome(Verdict.DELIVERED, "status 204")
REFUSED = Outcome(Verdict.REFUSED, "status 500")
AWAY = Outcome(Verdict.AWAY, "the connection failed")
GONE = Outcome(Verdict.GONE, "status 410")


class ScriptedSender:
    """Sends nothing, and says what became of it.

    :ivar outcomes: what comes of the next attempts; after them all is delivered.  One that
        is ``None`` is open until :meth:`finish`.
    :ivar sent: the ids of the messages, and when.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.outcomes: list[Outcome | None] = []
        self.sent: list[tuple[str, float]] = []
        self._open: Deferred[Outcome] | None = None

    async def send(self, target: Target, message_id: str, body: bytes) -> Outcome:
        """See :meth:`giftless.observers.webhooks.sending.Sender.send`."""
        self.sent.append((message_id, self._clock.seconds()))
        outcome = self.outcomes.pop(0) if self.outcomes else DELIVERED
        if outcome is None:
            self._open = Deferred()
            return await self._open
        return outcome

    def finish(self, outcome: Outcome) -> None:
        """Let the open attempt end."""
        assert self._open is not None
        self._open.callback(outcome)


class BackoffTests(CoroutineTestCase):
    def test_pauses_double_up_to_a_limit_and_vary_by_a_quarter(self) -> None:
        self.assertEqual([backoff(n, 0.5) for n in range(5)], [1, 2, 4, 8, 16])
        for tries in (9, 20, 10**6):
            self.assertEqual(backoff(tries, 0.5), LONGEST)
        self.assertEqual((backoff(2, 0), backoff(2, 1)), (3, 5))


class CourierTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        section = TargetOptions(name="ci", url="https://ci.example.com/", secrets=[SECRET])
        options = WebhooksOptions(targets=[section])
        webhooks = WebhooksFactory().build(options, environment(self.mktemp()))
        self.outbox: Outbox = webhooks.outbox
        self.target = targets_of(options)["ci"]
        self.sender = ScriptedSender(self.clock)
        self.leases = Leases(self.outbox, ["ci"], self.clock, self.clock.seconds)
        self.run_now(self.leases.beat())
        self.couriers: list[Courier] = []
        self.addCleanup(self.stop_all)
        self.logged: list[dict[str, Any]] = []
        observe(self, self.logged.append)

    def stop_all(self) -> None:
        """Stop the couriers that were started."""
        for courier in self.couriers:
            self.run_now(courier.stop())

    def start_one(self, tries: int = 3, age: int = 3600) -> Courier:
        """Start a courier."""
        sender: Any = self.sender
        courier = Courier(
            self.target,
            self.outbox,
            self.leases,
            sender,
            Limits(tries, age),
            self.clock,
            self.clock.seconds,
            lambda: 0.5,
        )
        self.couriers.append(courier)
        courier.start()
        return courier

    def add(self, *ids: str) -> None:
        """Put messages into the outbox."""
        now = int(self.clock.seconds())
        made = [Message(each, "ci", "lock.forced", "{}", now) for each in ids]
        self.run_now(self.outbox.add(lambda: made, {"ci": self.target.url_digest}))

    def states(self) -> dict[str, str]:
        """Return what is in the outbox: ``waiting`` or the problem, by id."""
        page = self.run_now(self.outbox.page(0, 100))
        return {each.id: "waiting" if each.dead_at is None else each.problem for each in page}

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second."""
        self.clock.pump([1] * seconds)

    def messages(self) -> list[str]:
        """Return what was logged."""
        return [
            event["log_format"].format(**event)
            for event in self.logged
            if event["log_namespace"] == "giftless.webhooks"
        ]

    def test_messages_are_delivered_in_their_order_and_forgotten(self) -> None:
        ids = [str(number) for number in range(50)]
        self.add(*ids)
        self.start_one()
        self.assertEqual([each for each, _ in self.sender.sent], ids)
        self.assertEqual(self.states(), {})

    def test_new_messages_are_found_by_looking_or_at_once_when_woken(self) -> None:
        courier = self.start_one()
        self.add("1")
        self.assertEqual(self.sender.sent, [])
        self.pass_time(1)
        self.assertEqual(len(self.sender.sent), 1)
        self.add("2")
        courier.wake()
        self.assertEqual(len(self.sender.sent), 2)

    def test_a_target_that_is_away_is_tried_less_and_less_often_and_in_order(self) -> None:
        self.sender.outcomes = [AWAY] * 5
        self.add("1", "2")
        courier = self.start_one(tries=3)
        self.add("3")
        courier.wake()
        self.pass_time(60)
        times = [moment - 1000 for _, moment in self.sender.sent]
        self.assertEqual([each for each, _ in self.sender.sent], ["1"] * 6 + ["2", "3"])
        self.assertEqual(times, [0, 1, 3, 7, 15, 31, 31, 31])
        self.assertEqual(self.states(), {})

    def test_what_a_target_refuses_again_and_again_is_given_up_and_the_next_follows(self) -> None:
        self.sender.outcomes = [REFUSED, AWAY, AWAY, REFUSED, REFUSED]
        self.add("1", "2")
        self.start_one(tries=3)
        self.pass_time(60)
        self.assertEqual([each for each, _ in self.sender.sent], ["1"] * 5 + ["2"])
        self.assertEqual(self.states(), {"1": "status 500"})
        self.assertTrue(any("ci has refused 1 3 times" in text for text in self.messages()))
        self.run_now(self.outbox.revive("ci", ["1"], 1060))
        self.pass_time(1)
        self.assertEqual(self.states(), {})

    def test_a_target_says_how_long_it_wants_to_be_left_alone(self) -> None:
        self.sender.outcomes = [Outcome(Verdict.AWAY, "status 429", 100)]
        self.add("1")
        self.start_one()
        self.pass_time(99)
        self.assertEqual(len(self.sender.sent), 1)
        self.pass_time(1)
        self.assertEqual(self.states(), {})

    def test_a_pause_outlasts_the_process(self) -> None:
        self.sender.outcomes = [Outcome(Verdict.AWAY, "status 503", 100)]
        self.add("1")
        self.run_now(self.start_one().stop())
        self.start_one()
        self.pass_time(99)
        self.assertEqual(len(self.sender.sent), 1)
        self.pass_time(1)
        self.assertEqual(len(self.sender.sent), 2)

    def test_somebody_who_wants_it_tried_again_need_not_wait(self) -> None:
        self.sender.outcomes = [Outcome(Verdict.AWAY, "status 503", 3000)]
        self.add("1")
        self.start_one()
        self.run_now(self.outbox.revive("ci", [], 1000))
        self.pass_time(10)
        self.assertEqual(self.states(), {})

    def test_a_clock_that_was_set_back_puts_nothing_off_for_years(self) -> None:
        self.add("1")
        message = self.run_now(self.outbox.waiting("ci", 1))[1][0]
        self.run_now(self.outbox.failed(message, False, "", 10**9))
        self.start_one(age=10**6)
        self.pass_time(3700)
        self.assertEqual(self.states(), {})

    def test_a_target_that_is_gone_is_left_alone(self) -> None:
        self.sender.outcomes = [DELIVERED, GONE]
        self.add("1", "2", "3")
        self.start_one()
        self.add("4")
        self.pass_time(100)
        self.assertEqual([each for each, _ in self.sender.sent], ["1", "2"])
        self.assertEqual(self.states(), {"2": "the target is gone", "3": "the target is gone"})
        self.assertIn(
            "ci has answered 410 and gets no more messages; 2 were given up", self.messages()
        )
        self.run_now(self.outbox.revive("ci", [], 1100))
        self.pass_time(2)
        self.assertEqual(self.states(), {})

    def test_what_waits_too_long_is_given_up(self) -> None:
        self.add("old")
        self.clock.advance(3601)
        self.add("new")
        self.start_one(age=3600)
        self.assertEqual([each for each, _ in self.sender.sent], ["new"])
        self.assertEqual(self.states(), {"old": "it waited too long"})

    def test_who_does_not_hold_the_target_delivers_nothing(self) -> None:
        self.add("1")
        self.run_now(self.leases.release())
        self.start_one()
        self.pass_time(5)
        self.assertEqual(self.sender.sent, [])
        self.run_now(self.leases.beat())
        self.pass_time(1)
        self.assertEqual(len(self.sender.sent), 1)

    def test_who_has_lost_the_target_without_knowing_delivers_nothing(self) -> None:
        self.add("1")
        other = Leases(self.outbox, ["ci"], self.clock, lambda: 2000.0)
        self.run_now(other.beat())
        self.assertTrue(self.leases.holds("ci"))
        self.start_one()
        self.pass_time(2)
        self.assertEqual(self.sender.sent, [])

    def test_what_is_under_way_at_the_end_comes_again(self) -> None:
        self.sender.outcomes = [DELIVERED, None]
        self.add("1", "2", "3")
        courier = self.start_one()
        self.run_now(courier.stop())
        self.assertEqual(self.states(), {"2": "waiting", "3": "waiting"})
        self.pass_time(60)
        self.assertEqual([each for each, _ in self.sender.sent], ["1", "2"])

    def test_a_database_that_fails_stops_nobody_for_good(self) -> None:
        self.add("1")
        waiting = self.outbox.waiting

        async def failing(name: str, limit: int) -> Any:
            raise ServiceUnavailable("the database is away", 5)

        self.patch(self.outbox, "waiting", failing)
        self.start_one()
        self.pass_time(4)
        self.patch(self.outbox, "waiting", waiting)
        self.pass_time(1)
        self.assertEqual(len(self.sender.sent), 1)
