"""The observer: what is put into the outbox, and that nobody waits for it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.app import plugins
from giftless.errors import ServiceUnavailable
from giftless.interfaces import (
    Environment,
    Event,
    ICheckable,
    IObserver,
    IObserverFactory,
    LockForced,
    ObjectServed,
    TokenMinted,
)
from giftless.observers.webhooks.observer import MAX_PENDING, Webhooks
from giftless.observers.webhooks.options import TargetOptions, WebhooksOptions
from giftless.observers.webhooks.outbox import Message
from tests.observers.samples import MOMENT, SAMPLES
from tests.observers.webhooks.test_signing import SECRET
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

(FORCED,) = (event for event in SAMPLES if isinstance(event, LockForced))


def target(name: str, **options: Any) -> TargetOptions:
    """Return the options of a target that gets forced locks."""
    given = {"events": ["lock.forced"], **options}
    return TargetOptions(name=name, url="https://ci.example.com/", secrets=[SECRET], **given)


class ObserverTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(MOMENT)
        self.blocking = InlineBlocking()
        self.logged: list[dict[str, Any]] = []
        observe(self, self.logged.append)

    def build(self, *targets: TargetOptions) -> Webhooks:
        """Build webhooks as a configuration would; they do not deliver."""
        lent: Environment = environment(self.mktemp(), self.clock, self.blocking)
        factory: Any = plugins.choose(IObserverFactory, "webhooks", "observers.0.type")
        webhooks: Webhooks = factory.build(WebhooksOptions(targets=list(targets)), lent)
        self.addCleanup(lambda: self.run_now(webhooks.stopService()))
        return webhooks

    def tell(self, webhooks: Webhooks, *events: Event) -> None:
        """Tell it of events, and let it write."""
        for event in events:
            webhooks.observe(event)
        self.clock.advance(0.02)

    def kept(self, webhooks: Webhooks) -> list[Message]:
        """Return what is in the outbox."""
        return list(self.run_now(webhooks.outbox.page(0, 20_000)))

    def errors(self) -> list[str]:
        """Return what was logged as an error."""
        return [
            event["log_format"].format(**event)
            for event in self.logged
            if event["log_level"].name == "error"
        ]

    def fail_once(self, webhooks: Webhooks, error: Exception) -> None:
        """Let the next write to the database fail."""
        add = webhooks.outbox.add

        async def failing(*args: Any) -> Any:
            self.patch(webhooks.outbox, "add", add)
            raise error

        self.patch(webhooks.outbox, "add", failing)

    def test_it_is_an_observer_that_can_be_checked(self) -> None:
        webhooks = self.build(target("ci"))
        verifyObject(IObserver, webhooks)
        verifyObject(ICheckable, webhooks)
        self.run_now(webhooks.check())

    def test_a_message_says_what_when_and_by_whom(self) -> None:
        webhooks = self.build(target("ci"))
        self.tell(webhooks, FORCED)
        (message,) = self.kept(webhooks)
        self.assertEqual((message.event, message.queued_at), ("lock.forced", int(MOMENT)))
        self.assertRegex(message.id, r"\Amsg_[0-9a-f]{32}\Z")
        said = json.loads(message.body)
        self.assertEqual(list(said), ["type", "timestamp", "data"])
        self.assertEqual(said["type"], "lock.forced")
        self.assertEqual(said["timestamp"], "2026-11-28T17:00:00.250Z")
        self.assertEqual(said["data"]["who"], "bob")

    def test_each_target_gets_what_it_wants_and_each_event_has_its_own_id(self) -> None:
        webhooks = self.build(
            target("all", events=["*"]),
            target("other", repositories=["other/*"]),
            target("acme", events=["lock.*", "token.minted"], repositories=["acme/*"]),
        )
        self.tell(webhooks, *SAMPLES)
        kept = self.kept(webhooks)
        self.assertEqual(len({message.id for message in kept}), len(SAMPLES))
        events = {
            name: [message.event for message in kept if message.target == name]
            for name in ("all", "other", "acme")
        }
        self.assertEqual(len(events["all"]), len(SAMPLES))
        self.assertEqual(events["other"], [])
        self.assertEqual(events["acme"], ["lock.created", "lock.released", "lock.forced"])

    def test_the_events_of_one_turn_are_one_transaction(self) -> None:
        webhooks = self.build(target("ci"))
        before = len(self.blocking.jobs)
        self.tell(webhooks, *[FORCED] * 100)
        # One for the outbox, one for the journal.
        self.assertEqual(len(self.blocking.jobs) - before, 2)
        self.assertEqual(len(self.kept(webhooks)), 100)

    def test_what_nobody_wants_costs_no_job(self) -> None:
        webhooks = self.build(target("ci"))
        before = len(self.blocking.jobs)
        self.tell(webhooks, *(event for event in SAMPLES if isinstance(event, ObjectServed)))
        self.assertEqual((len(self.blocking.jobs), self.clock.getDelayedCalls()), (before, []))

    def test_names_of_any_kind_reach_the_outbox(self) -> None:
        webhooks = self.build(target("ci", events=["token.minted"]))
        who = "\ud800\x00\u2028\U0001f600"
        self.tell(webhooks, TokenMinted(who, (), 0, who))
        (message,) = self.kept(webhooks)
        self.assertEqual(json.loads(message.body)["data"]["who"], who)

    def test_while_the_database_is_away_events_wait_in_their_order(self) -> None:
        webhooks = self.build(target("ci", events=["token.minted"]))
        webhooks.running = True
        self.fail_once(webhooks, ServiceUnavailable("the database is away", 5))
        self.tell(webhooks, TokenMinted("1", (), 0, ""))
        self.tell(webhooks, TokenMinted("2", (), 0, ""))
        self.assertEqual(self.kept(webhooks), [])
        self.clock.advance(2)
        subjects = [json.loads(message.body)["data"]["subject"] for message in self.kept(webhooks)]
        self.assertEqual(subjects, ["1", "2"])
        webhooks.running = False

    def test_a_failure_that_nobody_expects_loses_no_event(self) -> None:
        webhooks = self.build(target("ci", events=["token.minted"]))
        webhooks.running = True
        self.fail_once(webhooks, TypeError("a mistake"))
        self.tell(webhooks, TokenMinted("1", (), 0, ""))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.clock.advance(2)
        self.assertEqual(len(self.kept(webhooks)), 1)
        webhooks.running = False

    def test_more_than_the_memory_may_hold_is_lost_and_counted(self) -> None:
        webhooks = self.build(target("ci"))
        for _ in range(MAX_PENDING + 3):
            webhooks.observe(FORCED)
        self.clock.advance(0)
        self.assertEqual(len(self.kept(webhooks)), MAX_PENDING)
        self.assertIn("3 events are lost for webhooks", self.errors())

    def test_the_end_keeps_what_was_observed(self) -> None:
        webhooks = self.build(target("ci"))
        webhooks.observe(FORCED)
        self.run_now(webhooks.stopService())
        self.assertEqual(len(self.kept(webhooks)), 1)

    def test_the_end_says_what_it_cannot_keep(self) -> None:
        webhooks = self.build(target("ci"))
        webhooks.observe(FORCED)
        self.fail_once(webhooks, ServiceUnavailable("the database is away", 5))
        self.run_now(webhooks.stopService())
        self.assertIn("1 events could not be kept for webhooks", self.errors())
        webhooks._pending.clear()
