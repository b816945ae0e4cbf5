"""The outbox, over SQLite and over PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from giftless.observers.webhooks.factory import WebhooksFactory
from giftless.observers.webhooks.leases import PATIENCE, Leases
from giftless.observers.webhooks.options import TargetOptions, WebhooksOptions
from giftless.observers.webhooks.outbox import Message, Outbox, TargetState
from tests.locks.support import PostgreSQLTestCase
from tests.observers.webhooks.test_signing import SECRET
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

URL = "https://ci.example.com/"

#: The targets' digests; their URLs have not answered 410.
DIGESTS = {"ci": "digest of ci", "chat": "digest of chat"}


def messages(*numbers: int, target: str = "ci", queued_at: int = 100) -> Sequence[Message]:
    """Make messages."""
    return [Message(f"msg_{number}", target, "lock.forced", "{}", queued_at) for number in numbers]


class OutboxContract(CoroutineTestCase):
    """What holds over every database."""

    def options(self) -> dict[str, Any]:
        """Return the options that name the database."""
        raise NotImplementedError

    def open(self, capacity: int = 1000) -> Outbox:
        """Open the outbox, as one more process."""
        target = TargetOptions(name="ci", url=URL, secrets=[SECRET])
        options = WebhooksOptions(targets=[target], max_backlog=capacity, **self.options())
        webhooks = WebhooksFactory().build(options, environment(self.directory))
        self.addCleanup(lambda: self.run_now(webhooks.stopService()))
        return webhooks.outbox

    def setUp(self) -> None:
        self.directory = self.mktemp()
        super().setUp()
        self.outbox = self.open()

    def add(self, made: Sequence[Message], outbox: Outbox | None = None) -> Any:
        """Put messages into the outbox."""
        return self.run_now((outbox or self.outbox).add(lambda: made, DIGESTS))

    def ids(self, target: str = "ci", outbox: Outbox | None = None) -> list[str]:
        """Return what waits."""
        _, waiting = self.run_now((outbox or self.outbox).waiting(target, 100))
        return [message.id for message in waiting]

    def dead(self) -> list[str]:
        """Return what was given up."""
        page = self.run_now(self.outbox.page(0, 100))
        return [message.id for message in page if message.dead_at is not None]

    def first(self) -> Message:
        """Return what waits longest."""
        _, (message,) = self.run_now(self.outbox.waiting("ci", 1))
        return message

    def test_messages_wait_in_their_order_each_for_its_target(self) -> None:
        self.assertEqual(self.add(messages(3, 1)), {})
        self.add([*messages(2), *messages(3, target="chat")])
        self.assertEqual(self.ids(), ["msg_3", "msg_1", "msg_2"])
        self.assertEqual(self.ids("chat"), ["msg_3"])
        self.assertEqual(self.ids(outbox=self.open()), ["msg_3", "msg_1", "msg_2"])

    def test_a_message_that_is_added_again_is_there_once(self) -> None:
        """The first attempt may have done its work before its connection broke."""
        self.add(messages(1))
        self.add(messages(1, 2))
        self.assertEqual(self.ids(), ["msg_1", "msg_2"])

    def test_what_was_delivered_is_forgotten(self) -> None:
        self.add(messages(1, 2, 3))
        _, waiting = self.run_now(self.outbox.waiting("ci", 2))
        self.run_now(self.outbox.delivered([message.number for message in waiting]))
        self.assertEqual(self.ids(), ["msg_3"])

    def test_attempts_in_vain_are_counted(self) -> None:
        self.add(messages(1))
        self.run_now(self.outbox.failed(self.first(), False, "refused", 7))
        self.run_now(self.outbox.failed(self.first(), True, "status 500", 8))
        message = self.first()
        self.assertEqual((message.tries, message.refused, message.problem), (2, 1, "status 500"))
        self.assertEqual(self.run_now(self.outbox.state("ci")), TargetState())

    def test_a_target_is_put_off(self) -> None:
        self.add(messages(1))
        self.run_now(self.outbox.beat(["ci"], lambda name, state: True, "me"))
        self.run_now(self.outbox.failed(self.first(), False, "", 123))
        self.assertEqual(self.run_now(self.outbox.state("ci")), TargetState("me", 1, 123))

    def test_what_is_given_up_waits_again_when_somebody_wants_it(self) -> None:
        self.add(messages(1, 2, 3))
        self.run_now(self.outbox.give_up(self.first(), "status 400", 200))
        self.run_now(self.outbox.give_up(self.first(), "status 400", 200))
        self.assertEqual((self.ids(), self.dead()), (["msg_3"], ["msg_1", "msg_2"]))
        self.assertEqual(self.run_now(self.outbox.revive("ci", ["msg_2", "none"], 300)), 1)
        self.assertEqual(self.ids(), ["msg_2", "msg_3"])
        self.assertEqual(self.first().queued_at, 300)
        self.assertEqual(self.run_now(self.outbox.revive("ci", [], 400)), 1)
        self.assertEqual((self.ids(), self.dead()), (["msg_1", "msg_2", "msg_3"], []))

    def test_the_refusal_for_which_a_message_is_given_up_counts(self) -> None:
        self.add(messages(1))
        self.run_now(self.outbox.failed(self.first(), True, "status 400", 100))
        self.run_now(self.outbox.give_up(self.first(), "status 500", 200))
        (message,) = self.run_now(self.outbox.page(0, 10))
        self.assertEqual((message.tries, message.refused), (2, 2))
        self.assertEqual(message.problem, "status 500")

    def test_what_waits_too_long_is_given_up(self) -> None:
        self.add(messages(1, queued_at=100))
        self.add(messages(2, queued_at=200))
        self.assertEqual(self.run_now(self.outbox.expire("ci", 150, "too old", 500)), 1)
        self.assertEqual((self.ids(), self.dead()), (["msg_2"], ["msg_1"]))

    def test_a_target_that_is_gone_gets_nothing_until_its_url_changes(self) -> None:
        self.add([*messages(1, 2), *messages(1, target="chat")])
        self.run_now(self.outbox.beat(["ci"], lambda name, state: True, "me"))
        self.assertEqual(self.run_now(self.outbox.disable("ci", DIGESTS["ci"], "gone", 5)), 2)
        self.assertEqual(self.add(messages(3)), {})
        self.assertEqual((self.ids(), self.ids("chat")), ([], ["msg_1"]))
        other = {**DIGESTS, "ci": "digest of another URL"}
        self.run_now(self.outbox.add(lambda: messages(4), other))
        self.assertEqual(self.ids(), ["msg_4"])
        self.run_now(self.outbox.revive("ci", ["msg_1"], 9))
        self.add(messages(5))
        self.assertEqual(self.ids(), ["msg_1", "msg_4", "msg_5"])

    def test_a_full_outbox_says_what_it_does_not_take(self) -> None:
        small = self.open(capacity=3)
        self.assertEqual(self.add(messages(1, 2), small), {})
        self.assertEqual(
            self.add([*messages(3, 4, 5), *messages(3, target="chat")], small), {"ci": 2}
        )
        self.assertEqual(self.ids(), ["msg_1", "msg_2", "msg_3"])
        self.assertEqual(self.ids("chat"), ["msg_3"])

    def test_of_what_was_given_up_the_newest_are_kept(self) -> None:
        small = self.open(capacity=2)
        self.add(messages(1, 2, 3, 4))
        for _ in range(4):
            self.run_now(small.give_up(self.first(), "status 400", 1))
        self.assertEqual(self.dead(), ["msg_3", "msg_4"])

    def test_the_check_leaves_nothing_behind(self) -> None:
        self.run_now(self.outbox.check())
        self.assertEqual(self.run_now(self.outbox.page(0, 10)), [])


class LeaseContract(OutboxContract):
    """One process at a time holds a target."""

    def leases(self, started: float) -> Leases:
        """Return the leases of a process, as of when it was started."""
        return Leases(self.open(), ["ci", "chat"], self.clock, lambda: started)

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def beat(self, leases: Leases) -> bool:
        """Let a process give a sign of life.

        :returns: whether it holds both targets.
        """
        self.run_now(leases.beat())
        self.assertEqual(leases.holds("ci"), leases.holds("chat"))
        return leases.holds("ci")

    def test_the_process_that_was_started_last_holds_the_targets(self) -> None:
        old, new = self.leases(1), self.leases(2)
        self.assertTrue(self.beat(old))
        self.assertTrue(self.beat(old))
        self.assertTrue(self.beat(new))
        self.assertFalse(self.beat(old))
        self.assertTrue(self.beat(new))

    def test_a_holder_that_lives_keeps_them(self) -> None:
        holder, other = self.leases(2), self.leases(1)
        for _ in range(10):
            self.assertTrue(self.beat(holder))
            self.assertFalse(self.beat(other))
            self.clock.advance(PATIENCE)

    def test_a_holder_that_is_dead_loses_them(self) -> None:
        dead, other = self.leases(2), self.leases(1)
        self.beat(dead)
        self.assertFalse(self.beat(other))
        self.clock.advance(PATIENCE - 1)
        self.assertFalse(self.beat(other))
        self.clock.advance(1)
        self.assertTrue(self.beat(other))
        self.assertTrue(self.beat(other))

    def test_of_several_that_see_a_dead_holder_one_takes_them(self) -> None:
        dead, first, second = self.leases(3), self.leases(2), self.leases(2)
        self.beat(dead)
        for leases in (first, second):
            self.beat(leases)
        self.clock.advance(PATIENCE)
        self.assertEqual([self.beat(first), self.beat(second)], [True, False])

    def test_what_is_released_is_taken_at_once(self) -> None:
        holder, other = self.leases(2), self.leases(1)
        self.beat(holder)
        self.run_now(holder.release())
        self.assertFalse(holder.holds("ci"))
        self.assertTrue(self.beat(other))


class SQLiteOutboxTests(LeaseContract):
    def options(self) -> dict[str, Any]:
        return {}


class PostgreSQLOutboxTests(LeaseContract, PostgreSQLTestCase):
    def options(self) -> dict[str, Any]:
        return {"conninfo": self.conninfo}

    def test_a_message_is_delivered_while_another_is_added(self) -> None:
        """Statements of one transaction see what others commit between them."""
        self.add(messages(1))
        database = self.outbox._database
        execute = database.execute

        def deliver_after_the_first(
            connection: Any, statement: str, values: Sequence[object] = ()
        ) -> Any:
            answer = execute(connection, statement, values)
            if statement.startswith("SELECT min"):
                other = database.connect()
                execute(other, "DELETE FROM giftless_webhooks")
                other.close()
            return answer

        self.patch(database, "execute", deliver_after_the_first)
        self.add(messages(2))
        self.assertEqual(self.ids(), ["msg_2"])


del OutboxContract, LeaseContract
