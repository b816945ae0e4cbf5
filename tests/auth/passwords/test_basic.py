"""Users with passwords: who they are, what they may do, what that costs."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import bcrypt
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain
from giftless.auth.passwords import basic as module
from giftless.auth.passwords import htpasswd
from giftless.auth.passwords.basic import BasicAuthenticator, BasicFactory
from giftless.auth.passwords.htpasswd import check, verify
from giftless.auth.rates import Rated, RateOptions, Rates
from giftless.base.schema import convert
from giftless.base.shared_table import SharedTable
from giftless.errors import ConfigError, TooManyRequests, Unauthorized
from giftless.interfaces import Bearer, Credentials, Identity, Password, Vouched
from tests.auth.forges.support import level
from tests.auth.passwords.test_htpasswd import VECTORS
from tests.contracts.authenticators import ChainedContract
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.making import environment, repo_of
from tests.support.passwords import quick_hash
from tests.support.run import CoroutineTestCase

ALICE = quick_hash("secret")
BOB = quick_hash("pass:w\u00f6rd", b"2a")

ACCESS = """
alice:
  org/*: write
bob:
  org/repo: read
"""


class BasicCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.users = self.directory / "htpasswd"
        self.access = self.directory / "access.yaml"
        self.users.write_text(f"alice:{ALICE}\nbob:{BOB}\ncarol:{VECTORS[-1][1]}\n")
        self.access.write_text(ACCESS)
        self.clock = Clock()
        self.blocking = InlineBlocking()
        self.lookups: Counter[tuple[str, str]] = Counter()

    def count(self, *lookup: str) -> None:
        """Count a look into a cache."""
        self.lookups[lookup[0], lookup[1]] += 1

    def build(
        self, blocking: Any = None, realm: str = "", passwords: bool = True
    ) -> BasicAuthenticator:
        factory = BasicFactory()
        section = {"access": str(self.access), "realm": realm}
        if passwords:
            section["htpasswd"] = str(self.users)
        options = convert(section, factory.Options, "auth.0")
        blocking = blocking or self.blocking
        lent = environment(reactor=self.clock, blocking=blocking, count_lookup=self.count)
        return factory.build(options, lent)

    def hashes(self) -> int:
        """How many passwords have been hashed."""
        return self.blocking.jobs.count(check)

    def ask(
        self, authenticator: Any, user: str, password: str, path: str = "org/repo"
    ) -> Identity | None:
        identity: Identity | None = self.run_now(
            authenticator.authenticate(Credentials((Password(user, password),)), repo_of(path))
        )
        return identity

    def refused(self, authenticator: Any, user: str, password: str) -> Unauthorized:
        credentials = Credentials((Password(user, password),))
        error: Unauthorized = self.assert_fails(
            Unauthorized, authenticator.authenticate(credentials, repo_of())
        )
        return error


class ContractTests(ChainedContract, BasicCase):
    def setUp(self) -> None:
        BasicCase.setUp(self)
        ChainedContract.setUp(self)

    def make_authenticator(self) -> BasicAuthenticator:
        return self.build()

    def accepted(self) -> list[Credentials]:
        return [
            Credentials((Password("alice", "secret"),)),
            Credentials((Password("bob", "pass:w\u00f6rd"),)),
            Credentials((Password("carol", "password"),)),
            Credentials((Password("alice", "wrong"), Password("bob", "pass:w\u00f6rd"))),
            Credentials((Vouched("alice", "basic"),)),
            Credentials((Password("alice", "wrong"), Vouched("bob", "basic"))),
        ]


class WhoTests(BasicCase):
    def setUp(self) -> None:
        super().setUp()
        self.basic = self.build()

    def test_users_may_do_what_their_grants_say(self) -> None:
        for user, password, path, expected in (
            ("alice", "secret", "org/repo", "write"),
            ("alice", "secret", "other/repo", "nothing"),
            ("bob", "pass:w\u00f6rd", "org/repo", "read"),
            ("bob", "pass:w\u00f6rd", "org/other", "nothing"),
            ("carol", "password", "org/repo", "nothing"),
        ):
            identity = self.ask(self.basic, user, password, path)
            assert identity is not None
            self.assertEqual((identity.name, level(identity)), (user, expected))
            self.assertFalse(identity.anonymous)

    def test_a_wrong_password_is_refused(self) -> None:
        for user in ("alice", "bob", "carol"):
            for password in ("", "wrong", "secret ", "Secret"):
                self.refused(self.basic, user, password)

    def test_a_user_who_is_not_in_the_file_is_passed_on(self) -> None:
        for user in ("mallory", "Alice", "alice ", "", "_jwt", "x-access-token"):
            for password in ("secret", "x", ""):
                self.assertIsNone(self.ask(self.basic, user, password))

    def test_nobody_can_tell_who_has_a_password(self) -> None:
        """At the end of a chain, by the words; how long it takes is tested below."""
        chain = AuthChain([self.basic])
        self.assertEqual(
            self.refused(chain, "alice", "x").message, self.refused(chain, "mallory", "x").message
        )

    def test_a_wrong_password_does_not_fall_back_to_anonymous(self) -> None:
        """Git's credential helper must learn that it is wrong."""
        chain = AuthChain([self.basic, AnonymousAuthenticator("read")])
        self.refused(chain, "alice", "x")
        identity = self.run_now(chain.authenticate(Credentials(), repo_of()))
        self.assertTrue(identity.anonymous)

    def test_of_two_credentials_each_is_tried(self) -> None:
        for items in (
            (Password("mallory", "x"), Password("alice", "secret")),
            (Password("alice", "secret"), Password("alice", "wrong")),
            (Password("alice", "wrong"), Password("alice", "secret")),
            (Bearer("token"), Password("alice", "secret")),
        ):
            identity = self.run_now(self.basic.authenticate(Credentials(items), repo_of()))
            assert identity is not None
            self.assertEqual(identity.name, "alice")

    def test_an_empty_file_knows_nobody(self) -> None:
        self.users.write_text("")
        basic_auth = self.build()
        self.assertIsNone(self.ask(basic_auth, "alice", "secret"))
        self.assertEqual(self.hashes(), 0)


class ChangeTests(BasicCase):
    def setUp(self) -> None:
        super().setUp()
        self.basic = self.build()
        self.ask(self.basic, "alice", "secret")

    def change(self, path: Path, text: str) -> None:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)
        self.clock.advance(1)

    def test_a_new_password_counts_and_the_old_no_longer(self) -> None:
        self.change(self.users, f"alice:{quick_hash('changed')}\n")
        self.refused(self.basic, "alice", "secret")
        self.assertIsNotNone(self.ask(self.basic, "alice", "changed"))

    def test_a_user_who_is_removed_is_passed_on(self) -> None:
        self.change(self.users, f"bob:{BOB}\n")
        self.assertIsNone(self.ask(self.basic, "alice", "secret"))

    def test_a_user_who_is_added_is_known(self) -> None:
        self.assertIsNone(self.ask(self.basic, "dave", "x"))
        self.change(self.users, f"alice:{ALICE}\ndave:{quick_hash('x')}\n")
        self.assertIsNotNone(self.ask(self.basic, "dave", "x"))

    def test_a_broken_file_changes_nothing(self) -> None:
        self.change(self.users, "alice:plain\n")
        self.assertIsNotNone(self.ask(self.basic, "alice", "secret"))
        self.refused(self.basic, "alice", "plain")

    def test_nested_brackets_in_the_grants_change_nothing(self) -> None:
        """They were a RecursionError for whoever asked next."""
        self.change(self.access, "[" * 3000 + "]" * 3000)
        identity = self.ask(self.basic, "alice", "secret")
        assert identity is not None
        self.assertEqual(level(identity), "write")

    def test_changed_grants_count(self) -> None:
        self.change(self.access, "alice:\n  org/*: read\n")
        identity = self.ask(self.basic, "alice", "secret")
        assert identity is not None
        self.assertEqual(level(identity), "read")
        self.change(self.access, "alice: everything\n")
        identity = self.ask(self.basic, "alice", "secret")
        assert identity is not None
        self.assertEqual(level(identity), "read")


class CostTests(BasicCase):
    def test_a_push_of_500_objects_costs_one_hash(self) -> None:
        basic_auth = self.build()
        for _ in range(500):
            self.ask(basic_auth, "alice", "secret")
        self.assertEqual(self.hashes(), 1)

    def test_requests_at_the_same_time_cost_one_hash(self) -> None:
        blocking = ManualBlocking()
        basic_auth = self.build(blocking)
        credentials = Credentials((Password("alice", "secret"),))
        running = [self.start(basic_auth.authenticate(credentials, repo_of())) for _ in range(8)]
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        identities = self.successResultOf(gatherResults(running))
        self.assertEqual([identity and identity.name for identity in identities], ["alice"] * 8)

    def test_what_is_remembered_of_passwords_is_counted(self) -> None:
        basic_auth = self.build()
        for _ in range(3):
            self.ask(basic_auth, "alice", "secret")
            self.refused(basic_auth, "alice", "wrong")
        self.assertEqual(self.lookups, {("basic", "miss"): 2, ("basic", "hit"): 4})

    def test_requests_that_share_a_hash_are_counted_apart(self) -> None:
        blocking = ManualBlocking()
        basic_auth = self.build(blocking)
        credentials = Credentials((Password("alice", "secret"),))
        for _ in range(8):
            self.start(basic_auth.authenticate(credentials, repo_of()))
        blocking.do_next()
        self.assertEqual(self.lookups, {("basic", "miss"): 1, ("basic", "shared"): 7})

    def test_a_stranger_costs_as_much_as_a_wrong_password(self) -> None:
        """The first time and the second, or the time would tell who is here."""
        basic_auth = self.build()
        for user, act in (("mallory", self.ask), ("alice", self.refused)):
            before = self.hashes()
            act(basic_auth, user, "wrong")
            self.assertEqual(self.hashes(), before + 1, user)
            act(basic_auth, user, "wrong")
            self.assertEqual(self.hashes(), before + 1, user)

    def test_all_that_is_wrong_costs_the_same_where_hashes_cost_differently(self) -> None:
        """Whoever it is: a stranger, and a user whose hash is cheap, or dear, or Argon2."""
        dear = bcrypt.hashpw(b"secret", bcrypt.gensalt(5)).decode()
        self.users.write_text(f"alice:{ALICE}\nbob:{dear}\ncarol:{VECTORS[-1][1]}\nzoe:{ALICE}\n")
        costs: list[str] = []

        def noting(stored: str, password: str) -> bool:
            costs.append(htpasswd.cost(stored))
            return verify(stored, password)

        self.patch(htpasswd, "verify", noting)
        chain = AuthChain([self.build()])
        seen = set()
        for user in ("mallory", "alice", "bob", "carol", "zoe"):
            costs.clear()
            self.refused(chain, user, "wrong")
            seen.add(tuple(sorted(costs)))
        self.assertEqual(seen, {("04", "05", htpasswd.cost(VECTORS[-1][1]))})

    def test_who_has_left_costs_nothing(self) -> None:
        """What has begun is finished, and remembered."""
        self.patch(os, "cpu_count", lambda: 2)
        blocking = ManualBlocking()
        basic_auth = self.build(blocking)
        shown = [Credentials((Password("bob", str(n)),)) for n in range(30)]
        running = [self.start(basic_auth.authenticate(one, repo_of())) for one in shown]
        for one in running:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertEqual(blocking.waiting, 1)
        good = Credentials((Password("alice", "secret"),))
        waiting = self.start(basic_auth.authenticate(good, repo_of()))
        blocking.do_next()
        blocking.do_next()
        self.assertIsNotNone(self.successResultOf(waiting))
        self.assertEqual(blocking.waiting, 0)
        again = self.start(basic_auth.authenticate(shown[0], repo_of()))
        self.assertEqual(blocking.waiting, 0, "what was computed is known")
        self.failureResultOf(again, Unauthorized)

    def test_a_client_that_sends_many_passwords_holds_up_no_other(self) -> None:
        self.patch(os, "cpu_count", lambda: 2)
        blocking = ManualBlocking()
        basic_auth = self.build(blocking)
        for number in range(20):
            guess = Credentials((Password("bob", str(number)),), "192.0.2.1")
            self.start(basic_auth.authenticate(guess, repo_of())).addErrback(lambda _: None)
        good = Credentials((Password("alice", "secret"),), "192.0.2.2")
        waiting = self.start(basic_auth.authenticate(good, repo_of()))
        blocking.do_next()
        self.assertNoResult(waiting)
        blocking.do_next()
        self.assertIsNotNone(self.successResultOf(waiting))

    def test_each_password_is_hashed(self) -> None:
        basic_auth = self.build()
        self.ask(basic_auth, "alice", "secret")
        self.refused(basic_auth, "alice", "wrong")
        self.ask(basic_auth, "bob", "pass:w\u00f6rd")
        self.refused(basic_auth, "bob", "secret")
        self.assertEqual(self.hashes(), 4)

    def test_what_is_remembered_cannot_be_confused(self) -> None:
        """However user and password are cut: a guess must not spoil the truth."""
        basic_auth = self.build()
        for user, password in (("alices", "ecret"), ("alic", "esecret"), ("", "alicesecret")):
            self.assertIsNone(self.ask(basic_auth, user, password))
        self.assertIsNotNone(self.ask(basic_auth, "alice", "secret"))

    def test_an_outcome_is_forgotten_in_time(self) -> None:
        basic_auth = self.build()
        self.ask(basic_auth, "alice", "secret")
        self.clock.advance(599)
        self.ask(basic_auth, "alice", "secret")
        self.assertEqual(self.hashes(), 1)
        self.clock.advance(1)
        self.ask(basic_auth, "alice", "secret")
        self.assertEqual(self.hashes(), 2)

    def test_guessers_do_not_crowd_out_those_who_know(self) -> None:
        self.patch(module, "_WRONG", 3)
        basic_auth = self.build()
        self.ask(basic_auth, "alice", "secret")
        for number in range(10):
            self.refused(basic_auth, "alice", f"guess {number}")
        before = self.hashes()
        self.ask(basic_auth, "alice", "secret")
        self.assertEqual(self.hashes(), before)

    def test_hashing_takes_half_of_the_cores(self) -> None:
        for cores, expected in ((8, 4), (2, 1), (1, 1), (None, 1)):
            self.patch(os, "cpu_count", lambda cores=cores: cores)
            blocking = ManualBlocking()
            basic_auth = self.build(blocking)
            guesses = [Credentials((Password("bob", str(n)),)) for n in range(10)]
            running = [self.start(basic_auth.authenticate(guess, repo_of())) for guess in guesses]
            self.assertEqual(blocking.waiting, expected)
            while blocking.waiting:
                blocking.do_next()
            for one in running:
                self.failureResultOf(one, Unauthorized)

    def test_an_error_does_not_stop_those_who_come_after(self) -> None:
        blocking = ManualBlocking()
        basic_auth = self.build(blocking)
        credentials = Credentials((Password("alice", "secret"),))
        first = self.start(basic_auth.authenticate(credentials, repo_of()))
        blocking.fail_next(MemoryError())
        self.failureResultOf(first, MemoryError)
        second = self.start(basic_auth.authenticate(credentials, repo_of()))
        blocking.do_next()
        self.assertIsNotNone(self.successResultOf(second))

    def test_no_password_is_kept(self) -> None:
        basic_auth = self.build()
        self.ask(basic_auth, "alice", "secret")
        verdicts = basic_auth._verdicts
        parts = (basic_auth, verdicts, verdicts._right, verdicts._wrong)
        kept = [repr(vars(part)) for part in parts]
        self.assertNotIn("secret", "".join(kept).replace("secrets", ""))


class OptionsTests(BasicCase):
    def test_files_must_be_good_at_the_start(self) -> None:
        for path, option, text in (
            (self.users, "htpasswd", "alice:plain\n"),
            (self.access, "access", "alice: everything\n"),
            (self.access, "access", "[" * 3000),
        ):
            good = path.read_text()
            path.write_text(text)
            error = self.assertRaises(ConfigError, self.build)
            self.assertEqual(error.path, option)
            self.assertIn(str(path), error.problem)
            path.unlink()
            error = self.assertRaises(ConfigError, self.build)
            self.assertEqual(error.path, option)
            path.write_text(good)

    def test_the_file_of_grants_must_be_named(self) -> None:
        for options in ({"htpasswd": "x"}, {}):
            error = self.assertRaises(ConfigError, convert, options, BasicFactory.Options, "auth.0")
            self.assertIn("is missing", error.problem)


class PrincipalTests(BasicCase):
    def test_users_are_compared_as_they_are(self) -> None:
        """Case, spaces and forms in Unicode matter: each is a user, with a password."""
        users = ["a b", "a_b", "A b", "\u00e9", "e\u0301", "\u0430 b", "a\x1bb", "anonymous", "-"]
        self.users.write_text("".join(f"{user}:{quick_hash(user)}\n" for user in users))
        authenticator = self.build()
        found = {}
        for user in users:
            identity = self.ask(authenticator, user, user)
            assert identity is not None
            found[user] = identity.principal
            self.assertTrue(identity.name.isprintable())
        self.assertEqual(len(set(found.values())), len(users))
        self.assertEqual(found["a b"], "basic#a b")
        for user, other in (("\u00e9", "e\u0301"), ("a b", "A b"), ("a b", "a_b")):
            self.refused(authenticator, user, other)

    def test_a_realm_tells_the_users_of_two_files_apart(self) -> None:
        identity = self.ask(self.build(realm="staff"), "alice", "secret")
        assert identity is not None
        self.assertEqual(identity.principal, "basic:staff#alice")
        self.assertEqual(identity.name, "alice")


class VouchedTests(BasicCase):
    """Users whom somebody else has identified: by a key of SSH."""

    def of(
        self, authenticator: Any, user: str, realm: str = "basic", path: str = "org/repo"
    ) -> Identity | None:
        """Return what becomes of a vouched user."""
        credentials = Credentials((Vouched(user, realm),), "192.0.2.1")
        identity: Identity | None = self.run_now(
            authenticator.authenticate(credentials, repo_of(path))
        )
        return identity

    def test_a_vouched_user_is_the_one_with_the_password(self) -> None:
        """So locks that were made in one way can be removed in the other."""
        for name, realm in (("", "basic"), ("staff", "basic:staff")):
            basic = self.build(realm=name)
            shown, vouched = self.ask(basic, "alice", "secret"), self.of(basic, "alice", realm)
            assert shown is not None and vouched is not None
            self.assertEqual(
                (vouched.name, vouched.principal, level(vouched), vouched.anonymous),
                (shown.name, shown.principal, level(shown), False),
            )

    def test_a_vouched_user_of_another_realm_is_another_person(self) -> None:
        basic = self.build(realm="staff")
        for realm in ("", "basic", "basic:", "basic:Staff", "staff", "github:github.com", "#"):
            self.assertIsNone(self.of(basic, "alice", realm), realm)

    def test_no_password_is_hashed_for_a_vouched_user(self) -> None:
        basic = self.build()
        for user in ("alice", "nobody"):
            self.of(basic, user)
        self.assertEqual(self.hashes(), 0)

    def test_a_server_may_have_no_passwords(self) -> None:
        basic = self.build(passwords=False)
        identity = self.of(basic, "alice")
        assert identity is not None
        self.assertEqual((identity.principal, level(identity)), ("basic#alice", "write"))
        for user, password in (("alice", "secret"), ("alice", ""), ("", "")):
            self.assertIsNone(self.ask(basic, user, password))
        self.assertEqual(self.hashes(), 0)

    def test_a_vouched_user_without_a_password_has_the_grants_of_everybody(self) -> None:
        self.access.write_text('"*":\n  public/*: read\nalice:\n  org/*: write\n')
        basic = self.build()
        for user, path, expected in (
            ("erin", "public/site", "read"),
            ("erin", "org/repo", "nothing"),
            ("*", "org/repo", "nothing"),
            ("Alice", "org/repo", "nothing"),
            ("alice ", "org/repo", "nothing"),
        ):
            identity = self.of(basic, user, path=path)
            assert identity is not None
            self.assertEqual(level(identity), expected, user)
            self.assertFalse(identity.anonymous)

    def test_limits_hold_for_a_user_whichever_way_they_come(self) -> None:
        rates = Rates(SharedTable(), b"s" * 32, RateOptions(per_minute=1), self.clock)
        rated = Rated(self.build(), rates, "objects")
        self.assertIsNotNone(self.ask(rated, "alice", "secret"))
        self.assertRaises(TooManyRequests, self.of, rated, "alice")
        self.assertIsNotNone(self.of(rated, "bob"))
        self.assertRaises(TooManyRequests, self.ask, rated, "bob", "pass:w\u00f6rd")

    def test_nobody_is_vouched_for_without_a_name(self) -> None:
        self.assertIsNone(self.of(self.build(), ""))

    def test_a_changed_grant_counts_at_the_next_question(self) -> None:
        basic = self.build()
        self.of(basic, "alice")
        self.access.write_text("bob:\n  org/repo: read\n")
        self.clock.advance(1)
        identity = self.of(basic, "alice")
        assert identity is not None
        self.assertEqual(level(identity), "nothing")
