"""Guesses are counted before they are looked at, and only guesses are."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from giftless.auth.access import AccessOptions
from giftless.auth.grants import READ, RepoGrants
from giftless.auth.guard import MAX_CREDENTIALS, Guard
from giftless.auth.throttle import GOOD_SECONDS, Guesses
from giftless.auth.turns import PATIENCE, PAUSE, PER_CLIENT
from giftless.base.shared_table import SharedTable
from giftless.errors import (
    BadRequest,
    Forbidden,
    LogInsBusy,
    ServiceUnavailable,
    TooManyFailures,
    Unauthorized,
    UnfitCredential,
)
from giftless.interfaces import (
    Bearer,
    Credential,
    Credentials,
    IAuthenticator,
    Identity,
    Password,
    Unreadable,
    Vouched,
)
from giftless.lfs.objects import Repo
from tests.support.making import SECRET, repo_of
from tests.support.run import CoroutineTestCase

HOME = "192.0.2.1"
AWAY = "192.0.2.2"
GOOD = Password("alice", "good")

#: What passwords of these names are answered with.
ERRORS = {
    "expired": UnfitCredential("the token has expired"),
    "unknowable": ServiceUnavailable("the forge does not answer", 30),
    "moved": Forbidden("the repository has moved"),
    "faulty": ZeroDivisionError(),
}


@implementer(IAuthenticator)
class Judge:
    """Judges passwords by what they are called.

    :ivar asked: what has been judged.
    :ivar good: what is good.
    :ivar answer: when to answer; at once, if ``None``.
    """

    def __init__(self) -> None:
        self.asked: list[Credential] = []
        self.good: set[Credential] = {GOOD}
        self.answer: Deferred[None] | None = None

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        if not credentials.given:
            return Identity("anonymous", RepoGrants(READ), anonymous=True)
        (shown,) = credentials.items
        self.asked.append(shown)
        if self.answer is not None:
            await self.answer
        if shown in self.good:
            return Identity("somebody", RepoGrants(READ))
        word = str(getattr(shown, "password", "")).partition(" ")[0]
        if word == "nobody's":
            return None
        raise ERRORS.get(word) or Unauthorized("wrong")


class ThrottleTestCase(CoroutineTestCase):
    """A guard that allows 3 guesses for an account and 8 for an address."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.judge = Judge()
        self.table = SharedTable()
        self.guard = self.make()

    def make(self, account: int = 3, address: int = 8) -> Guard:
        """Make a guard, as each worker does."""
        access = AccessOptions(max_failures=account, max_failures_per_address=address)
        return Guard(self.judge, Guesses(self.table, SECRET, access, self.clock))

    def ask(self, *shown: Credential, address: str = HOME, guard: Guard | None = None) -> Any:
        return (guard or self.guard).authenticate(Credentials(shown, address), repo_of())

    def outcome(self, *shown: Credential, address: str = HOME, guard: Guard | None = None) -> str:
        """Say how credentials are answered."""
        try:
            identity = self.run_now(self.ask(*shown, address=address, guard=guard))
        except TooManyFailures:
            return "wait"
        except Unauthorized:
            return "refused"
        except Exception as error:
            return type(error).__name__
        return str(identity.name)

    def guess(self, *accounts: str, count: int, address: str = HOME) -> list[str]:
        """Guess several passwords of each account."""
        return [
            self.outcome(Password(account, f"guess {number}"), address=address)
            for account in accounts
            for number in range(count)
        ]


class BoundTests(ThrottleTestCase):
    def test_an_account_is_guessed_so_often(self) -> None:
        self.assertEqual(self.guess("alice", count=5), ["refused"] * 3 + ["wait"] * 2)
        self.assertEqual(len(self.judge.asked), 3)

    def test_an_address_guesses_so_often(self) -> None:
        accounts = [f"user {number}" for number in range(10)]
        self.assertEqual(self.guess(*accounts, count=1), ["refused"] * 8 + ["wait"] * 2)

    def test_an_account_is_one_however_its_name_is_written(self) -> None:
        """As directories have it: they ignore case, width and spaces."""
        names = ("alice b", "ALICE B", "\uff41lice  b", " Alice\u00a0b")
        self.assertEqual(self.guess(*names, count=1), ["refused"] * 3 + ["wait"])

    def test_other_accounts_and_addresses_are_not_concerned(self) -> None:
        self.guess("alice", count=4)
        self.assertEqual(self.guess("bob", count=1), ["refused"])
        self.assertEqual(self.guess("alice", count=4, address=AWAY), ["refused"] * 3 + ["wait"])

    def test_a_client_is_told_how_long_to_wait(self) -> None:
        self.guess("alice", count=1)
        self.clock.advance(10.5)
        self.guess("alice", count=3)
        error = self.assert_fails(TooManyFailures, self.ask(Password("alice", "another")))
        self.assertEqual(error.headers, {"Retry-After": "50"})
        self.clock.advance(49.5)
        self.assertEqual(self.guess("alice", count=1), ["refused"])

    def test_guesses_at_the_same_time_are_counted_before_they_are_looked_at(self) -> None:
        self.judge.answer = Deferred()
        running = [self.start(self.ask(Password("alice", str(n)))) for n in range(300)]
        self.assertEqual(len(self.judge.asked), 3)
        for refused in running[3 + PER_CLIENT :]:
            self.failureResultOf(refused, LogInsBusy)
        self.judge.answer.callback(None)
        for judged in running[:3]:
            self.failureResultOf(judged, Unauthorized)
        self.clock.advance(PAUSE)
        for refused in running[3 : 3 + PER_CLIENT]:
            self.failureResultOf(refused, TooManyFailures)
        self.assertEqual(len(self.judge.asked), 3)

    def test_who_leaves_before_the_answer_has_made_a_guess(self) -> None:
        for number in range(3):
            self.judge.answer = Deferred()
            running = self.start(self.ask(Password("alice", str(number))))
            running.addErrback(lambda _: None)
            running.cancel()
        self.judge.answer = None
        self.assertEqual(self.guess("alice", count=1), ["wait"])

    def office(self, count: int, guard: Guard | None = None) -> list[Any]:
        """Let people log in at the same time, with good passwords, and nobody answer yet."""
        self.judge.answer = Deferred()
        people = [Password(f"user {number}", "good") for number in range(count)]
        self.judge.good.update(people)
        return [self.start(self.ask(person, guard=guard)) for person in people]

    def answer(self) -> None:
        """Answer all that have been asked, and later ones at once."""
        answer, self.judge.answer = self.judge.answer, None
        assert answer is not None
        answer.callback(None)

    def test_an_office_logs_in_at_the_same_time(self) -> None:
        """Also beside a guesser, who has as many guesses as ever."""
        self.guess("alice", count=2)
        self.judge.asked.clear()
        running = self.office(200)
        self.assertEqual(len(self.judge.asked), 6)
        self.answer()
        self.clock.advance(PAUSE)
        for identified in running:
            self.assertEqual(self.successResultOf(identified).name, "somebody")
        self.assertEqual(self.guess("alice", count=5)[2:], ["refused"] + ["wait"] * 2)

    def test_people_of_one_user_name_log_in_at_the_same_time(self) -> None:
        """As with forges, where the user is the same for all."""
        self.judge.answer = Deferred()
        tokens = [Password("git", f"token {number}") for number in range(20)]
        self.judge.good.update(tokens)
        running = [self.start(self.ask(token)) for token in tokens]
        self.assertEqual(len(self.judge.asked), 3)
        self.answer()
        self.clock.advance(PAUSE)
        for identified in running:
            self.successResultOf(identified)

    def test_those_who_wait_for_another_worker_go_on_as_well(self) -> None:
        running = self.office(8, self.make())
        self.judge.answer, others = None, self.judge.answer
        waiting = self.start(self.ask(GOOD))
        self.assertNoResult(waiting)
        assert others is not None
        others.callback(None)
        self.clock.advance(PAUSE)
        self.assertEqual(self.successResultOf(waiting).name, "somebody")
        for identified in running:
            self.successResultOf(identified)

    def test_who_waits_in_vain_is_told_to_come_again(self) -> None:
        self.office(8)
        waiting = self.start(self.ask(GOOD))
        for _ in range(round(PATIENCE / PAUSE)):
            self.assertNoResult(waiting)
            self.clock.advance(PAUSE)
        error = self.failureResultOf(waiting, LogInsBusy).value
        self.assertEqual((error.code, error.headers), (429, {"Retry-After": "5"}))

    def test_log_ins_go_on_in_the_order_in_which_they_came(self) -> None:
        """Those that come when there is room again wait behind those that wait already."""
        running = self.office(8)
        first, self.judge.answer = self.judge.answer, Deferred()
        assert first is not None
        self.judge.asked.clear()
        people = [Password(f"later {number}", "good") for number in range(10)]
        self.judge.good.update(people)
        running += [self.start(self.ask(person)) for person in people[:9]]
        first.callback(None)
        running.append(self.start(self.ask(people[9])))
        self.assertEqual(self.judge.asked, [])
        self.clock.advance(PAUSE)
        self.assertEqual(self.judge.asked, people[:8])
        self.answer()
        self.clock.advance(PAUSE)
        self.assertEqual(self.judge.asked, people)
        for identified in running:
            self.successResultOf(identified)

    def test_who_is_known_waits_behind_nobody(self) -> None:
        self.outcome(GOOD)
        self.office(8)
        self.start(self.ask(Password("late", "good"))).addErrback(lambda _: None)
        self.answer()
        self.successResultOf(self.start(self.ask(GOOD)))

    def test_who_leaves_while_waiting_has_guessed_nothing(self) -> None:
        self.office(8)
        waiting = self.start(self.ask(Password("alice", "wrong")))
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.answer()
        self.assertEqual(self.guess("alice", count=4), ["refused"] * 3 + ["wait"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_answered_in_the_next_window_is_not_taken_from_its_counts(self) -> None:
        """Whoever has good tokens would make room for guesses with them."""
        self.outcome(Password("early", "wrong"))
        self.clock.advance(59)
        earlier = self.office(7)
        late = self.judge.answer
        assert late is not None
        self.clock.advance(1)
        self.judge.answer = Deferred()
        self.judge.asked.clear()
        running = [self.start(self.ask(Password(str(n), "wrong"))) for n in range(8)]
        late.callback(None)
        for identified in earlier:
            self.successResultOf(identified)
        running += [self.start(self.ask(Password(str(n), "more"))) for n in range(8)]
        self.answer()
        self.clock.advance(PAUSE)
        for answered in running:
            self.failureResultOf(answered, Unauthorized, TooManyFailures)
        self.assertEqual(len(self.judge.asked), 8)

    def test_log_ins_that_have_been_answered_hold_up_nobody(self) -> None:
        """Whenever the counts of their accounts began."""
        self.guess("early", count=1)
        self.clock.advance(50)
        self.guess(*(f"user {number}" for number in range(7)), count=1)
        self.clock.advance(11)
        self.guess("early", count=1)
        self.clock.advance(44)
        self.office(7)
        self.clock.advance(6)
        self.answer()
        self.assertEqual(self.guess("dora", count=1), ["refused"])

    def test_a_guess_is_counted_as_long_as_any_request_shows_it(self) -> None:
        """Also if the first of them cannot be answered, or its client leaves."""
        shown = Password("alice", "wrong")
        for is_gone in (True, False):
            self.setUp()
            first = self.judge.answer = Deferred()
            one = self.start(self.ask(shown))
            one.addErrback(lambda _: None)
            self.judge.answer = Deferred()
            running = [self.start(self.ask(shown))]
            running += [self.start(self.ask(Password("alice", str(n)))) for n in range(2)]
            if is_gone:
                one.cancel()
            else:
                first.errback(ServiceUnavailable("the forge does not answer", 30))
            running.append(self.start(self.ask(Password("alice", "a third"))))
            self.answer()
            self.clock.advance(PAUSE)
            for answered in running:
                self.failureResultOf(answered, Unauthorized, TooManyFailures)
            self.assertEqual(len(set(self.judge.asked)), 3)

    def test_who_leaves_takes_nothing_from_others_who_show_the_same(self) -> None:
        (running,) = self.office(1)
        answer, person = self.judge.answer, Password("user 0", "good")
        for _ in range(3):
            self.judge.answer = Deferred()
            leaving = self.start(self.ask(person))
            leaving.addErrback(lambda _: None)
            leaving.cancel()
        self.judge.answer = answer
        self.answer()
        self.successResultOf(running)
        self.assertEqual(self.guess("user 0", count=4), ["refused"] * 3 + ["wait"])

    def test_each_credential_of_a_request_is_a_guess(self) -> None:
        guesses = [Password("alice", f"guess {number}") for number in range(MAX_CREDENTIALS)]
        self.assertEqual(self.outcome(*guesses), "refused")
        self.assertEqual(len(self.judge.asked), 3)
        self.assertEqual(self.outcome(Password("alice", "another")), "wait")

    def test_a_request_with_too_many_credentials_is_counted(self) -> None:
        for number in range(3):
            many = tuple(Password("alice", f"{number} {n}") for n in range(MAX_CREDENTIALS + 1))
            self.assert_fails(BadRequest, self.ask(*many))
        many = tuple(Password("alice", f"x {n}") for n in range(MAX_CREDENTIALS + 1))
        self.assertEqual(self.outcome(*many), "wait")
        self.assertEqual(self.judge.asked, [])

    def test_tokens_are_counted_together_and_vouched_users_are_not(self) -> None:
        shown = (Bearer("a"), Bearer("b", in_url=True), Vouched("c", "basic"), Bearer("d"))
        self.assertEqual([self.outcome(item) for item in shown], ["refused"] * 4)
        self.assertEqual(self.outcome(Bearer("e")), "wait")

    def test_a_network_of_ipv6_is_one_address(self) -> None:
        for number in range(1, 6):
            found = self.outcome(Password("alice", str(number)), address=f"2001:db8::{number}")
            self.assertEqual(found, "refused" if number < 4 else "wait")
        self.assertEqual(self.guess("alice", count=1, address="2001:db8:0:1::1"), ["refused"])
        for address in ("::ffff:192.0.2.1", "fe80::1%eth0", "unknown", "1.2.3.4:5678", ""):
            self.assertEqual(self.guess("alice", count=1, address=address), ["refused"], address)
        self.assertEqual(self.guess("alice", count=4)[2:], ["refused", "wait"])

    def test_the_bound_of_an_address_is_never_less_than_that_of_an_account(self) -> None:
        guard = self.make(10, 5)
        found = [self.outcome(Password("a", str(n)), guard=guard) for n in range(11)]
        self.assertEqual(found, ["refused"] * 10 + ["wait"])

    def test_an_address_may_be_unbounded(self) -> None:
        guard = self.make(3, 0)
        for number in range(50):
            self.assertEqual(self.outcome(Password(str(number), "x"), guard=guard), "refused")


class NoGuessTests(ThrottleTestCase):
    def test_the_same_wrong_password_is_one_guess(self) -> None:
        """An office is not locked out by one machine's old password."""
        for _ in range(1000):
            self.assertEqual(self.outcome(Password("alice", "old")), "refused")
        self.assertEqual(self.outcome(GOOD), "somebody")
        self.assertEqual(self.guess("alice", count=3), ["refused"] * 2 + ["wait"])

    def test_requests_without_credentials_are_not_concerned(self) -> None:
        self.guess("alice", count=4)
        self.assertEqual(self.outcome(), "anonymous")

    def test_a_header_that_cannot_be_read_is_no_guess(self) -> None:
        for number in range(20):
            self.assertEqual(self.outcome(Unreadable(f"scheme-{number}")), "refused")
        self.assertEqual(self.guess("alice", count=1), ["refused"])

    def test_what_is_genuine_or_cannot_be_judged_is_no_guess(self) -> None:
        for kind, wanted in (
            ("expired", "refused"),
            ("unknowable", "ServiceUnavailable"),
            ("moved", "Forbidden"),
            ("faulty", "ZeroDivisionError"),
        ):
            for number in range(20):
                self.assertEqual(self.outcome(Password("alice", f"{kind} {number}")), wanted)
        self.assertEqual(self.guess("alice", count=4), ["refused"] * 3 + ["wait"])

    def test_a_credential_that_nobody_takes_is_a_guess(self) -> None:
        shown = [Password("alice", f"nobody's {number}") for number in range(4)]
        self.assertEqual([self.outcome(item) for item in shown], ["refused"] * 3 + ["wait"])

    def test_a_good_credential_is_no_guess(self) -> None:
        good = [Password("alice", str(number)) for number in range(20)]
        self.judge.good.update(good)
        self.assertEqual([self.outcome(item) for item in good], ["somebody"] * 20)
        self.assertEqual(self.guess("alice", count=4)[2:], ["refused", "wait"])

    def test_a_good_credential_does_not_make_up_for_guesses(self) -> None:
        """Whoever has an account could otherwise guess others' passwords for ever."""
        self.guess("alice", count=2)
        self.assertEqual(self.outcome(GOOD), "somebody")
        self.judge.asked.clear()
        for number in range(9):
            self.outcome(Password("alice", f"another {number}"))
        self.assertEqual(len(self.judge.asked), 1)


class GoodLatelyTests(ThrottleTestCase):
    def test_what_was_good_lately_goes_through(self) -> None:
        self.assertEqual(self.outcome(GOOD, address=AWAY), "somebody")
        self.guess("alice", "bob", "carol", count=3)
        self.assertEqual(self.outcome(Password("dora", "new")), "wait")
        self.assertEqual(self.outcome(GOOD), "somebody")

    def test_what_was_good_long_ago_waits(self) -> None:
        self.outcome(GOOD)
        self.clock.advance(GOOD_SECONDS)
        self.guess("alice", count=3)
        self.assertEqual(self.outcome(GOOD), "wait")

    def test_it_stays_good_as_long_as_it_is_used(self) -> None:
        for _ in range(5):
            self.outcome(GOOD)
            self.clock.advance(GOOD_SECONDS * 0.6)
            self.guess("alice", count=3)
            self.assertEqual(self.outcome(GOOD), "somebody")

    def test_what_is_not_good_any_more_is_a_guess(self) -> None:
        self.outcome(GOOD)
        self.judge.good.clear()
        self.assertEqual(self.outcome(GOOD), "refused")
        self.assertEqual(self.guess("alice", count=4), ["refused"] * 2 + ["wait"] * 2)
        self.clock.advance(60)
        self.guess("alice", count=4)
        self.assertEqual(self.outcome(GOOD), "wait")

    def test_a_guess_that_turns_out_good_is_none(self) -> None:
        self.judge.good.clear()
        self.assertEqual(self.outcome(GOOD), "refused")
        self.judge.good.add(GOOD)
        self.assertEqual(self.outcome(GOOD), "somebody")
        self.assertEqual(self.guess("alice", count=4), ["refused"] * 3 + ["wait"])


class TableTests(ThrottleTestCase):
    def test_workers_count_together(self) -> None:
        workers = [self.make() for _ in range(4)]
        found = [
            self.outcome(Password("alice", str(number)), guard=workers[number % 4])
            for number in range(8)
        ]
        self.assertEqual(found, ["refused"] * 3 + ["wait"] * 5)
        self.assertEqual(self.outcome(GOOD, guard=workers[0], address=AWAY), "somebody")
        self.assertEqual(self.outcome(GOOD, guard=workers[1]), "somebody")

    def test_no_credential_is_in_the_table(self) -> None:
        self.outcome(GOOD)
        self.guess("alice", count=3)
        content = bytes(self.table._memory)
        for word in (b"alice", b"good", b"guess", HOME.encode()):
            self.assertNotIn(word, content)
