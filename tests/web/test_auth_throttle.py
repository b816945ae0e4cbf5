"""What guessing costs a guesser, and what checking costs the daemon, over the wire."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

import bcrypt
from twisted.internet.address import IPv4Address

from giftless.auth.passwords.htpasswd import check
from tests.auth.forges.support import NOW
from tests.support.blocking import ManualBlocking
from tests.support.making import oid_of
from tests.support.tokens import basic
from tests.web.guarded import (
    API,
    OPERATIONS,
    PRESENT,
    REPO,
    GuardedTestCase,
    bearer,
    entry,
    jwt_section,
)
from tests.web.support import Connection, Response, batch_body, render_request, storage_url

#: The same wrong password is one guess, however often it is sent.
_numbers: Final = itertools.count()
RIGHT: Final = basic("wanda", "wandas password")


def wrong() -> str:
    """Return another wrong password each time."""
    return basic("wanda", f"guess {next(_numbers)}")


class ThrottleTests(GuardedTestCase):
    """Whoever fails repeatedly has to wait."""

    def client(self, host: str = "198.51.100.7") -> Any:
        """Return a client's address."""
        return IPv4Address("TCP", host, 40000)

    def start(self, **options: Any) -> None:
        """Serve with three guesses for each address."""
        access = {"max_failures": 3, "max_failures_per_address": 3, "failure_window": 60}
        self.guard(self.passwords(), jwt_section("HS256"), access=access, **options)

    def assert_too_many(self, response: Response, seconds: int) -> None:
        """Check that an answer asks to wait."""
        self.assert_error(response, 429)
        self.assertEqual(response.headers["retry-after"], str(seconds))

    def test_an_address_that_fails_repeatedly_waits_and_others_do_not(self) -> None:
        self.start()
        for _ in range(3):
            self.assert_error(self.ask_now("get", wrong()), 401)
        self.clock.advance(20)
        for name in OPERATIONS.keys() - {"head"}:
            for shown in (wrong(), RIGHT, bearer(f"obj:{REPO}:*", "HS256")):
                self.assert_too_many(self.ask_now(name, shown), 40)
        hashed = len(self.front.blocking.jobs)
        self.assert_too_many(self.ask_now("get", basic("wanda", "another guess")), 40)
        self.assertEqual(len(self.front.blocking.jobs), hashed, "a guess was looked at")
        other = self.client("198.51.100.8")
        self.assertEqual(self.ask_now("get", RIGHT, peer=other).status, 200)
        self.assert_error(self.ask_now("get", wrong(), peer=other), 401)
        self.clock.advance(40)
        self.assertEqual(self.ask_now("get", RIGHT).status, 200)

    def test_who_waits_may_go_on_with_actions_and_be_asked_for_a_credential(self) -> None:
        self.start()
        reply = self.ask_now("download_batch", RIGHT).json["objects"][0]
        action = reply["actions"]["download"]["header"]
        for _ in range(3):
            self.ask_now("get", wrong())
        self.assert_too_many(self.ask_now("get", basic("ray", "rays password")), 60)
        self.assertEqual(self.ask_now("get", headers=action).status, 200)
        self.assert_error(self.ask_now("get"), 401)

    def test_what_was_good_lately_goes_through(self) -> None:
        self.start()
        self.assertEqual(self.ask_now("get", RIGHT).status, 200)
        for _ in range(4):
            self.ask_now("get", wrong())
        self.assert_too_many(self.ask_now("get", wrong()), 60)
        for name in OPERATIONS:
            self.assertEqual(self.ask_now(name, RIGHT).status, 200)

    def test_an_office_is_not_locked_out_by_an_old_password(self) -> None:
        self.start()
        for _ in range(100):
            self.assert_error(self.ask_now("get", basic("ray", "an old password")), 401)
        hashed = len(self.front.blocking.jobs)
        self.assertEqual(self.ask_now("get", RIGHT).status, 200)
        self.assertLess(hashed, 10)

    def test_expired_genuine_tokens_lock_nobody_out(self) -> None:
        self.start()
        for number in range(20):
            expired = bearer(f"obj:{REPO}:*", "HS256", exp=NOW - 60 - number)
            self.assert_error(self.ask_now("get", expired), 401)
        self.assertEqual(self.ask_now("get", RIGHT).status, 200)

    def test_a_request_with_many_credentials_is_refused_unseen(self) -> None:
        self.start()
        many = [basic("wanda", f"many {number}") for number in range(100)]
        response = self.ask_now("get", *many)
        self.assert_error(response, 400)
        self.assertIn("at most 4 credentials", response.json["message"])
        self.assertNotIn(check, self.front.blocking.jobs)
        self.ask_now("get", *many[1:])
        self.ask_now("get", *many[2:])
        self.assert_too_many(self.ask_now("get", *many[3:]), 60)

    def test_the_passwords_of_who_has_left_are_not_hashed(self) -> None:
        self.start()
        blocking = ManualBlocking()
        self.patch(self.front.blocking, "run", blocking.run)
        connections = [
            self.send(OPERATIONS["get"], basic(f"user {n}", "x"), peer=self.client(f"192.0.2.{n}"))
            for n in range(20)
        ]
        for connection in connections:
            connection.disconnect()
        waiting = self.send(OPERATIONS["get"], RIGHT)
        done = 0
        while blocking.waiting:
            blocking.do_next()
            done += 1
        self.assertEqual(waiting.response().status, 200)
        # What had begun, the good one, and its object, which is looked for and opened.
        self.assertLess(done, 8)

    def test_behind_a_trusted_proxy_its_clients_are_told_apart(self) -> None:
        self.start(trusted_proxies=["10.0.0.0/8"])
        proxy = self.client("10.1.2.3")

        def ask(shown: str, forwarded: str) -> Response:
            headers = {"X-Forwarded-For": forwarded}
            return self.ask_now("get", shown, peer=proxy, headers=headers)

        for count in range(3):
            # What a client writes itself stands in front, and does not count.
            self.assert_error(ask(wrong(), f"192.0.2.{count}, 203.0.113.9"), 401)
        self.assert_too_many(ask(RIGHT, "192.0.2.99, 203.0.113.9"), 60)
        self.assert_too_many(ask(RIGHT, "203.0.113.9, 10.9.9.9"), 60)
        self.assertEqual(ask(RIGHT, "203.0.113.10").status, 200)
        self.assertEqual(ask(RIGHT, "203.0.113.9, 203.0.113.10").status, 200)
        self.assertEqual(self.ask_now("get", RIGHT, peer=proxy).status, 200)

    def test_nobody_else_can_pretend_to_be_somebody_else(self) -> None:
        self.start(trusted_proxies=["10.0.0.0/8"])
        for count in range(3):
            forwarded = {"X-Forwarded-For": f"192.0.2.{count}"}
            self.assert_error(self.ask_now("get", wrong(), headers=forwarded), 401)
        self.assert_too_many(self.ask_now("get", RIGHT, headers={"X-Forwarded-For": "8.8.8.8"}), 60)
        self.assertEqual(self.ask_now("get", RIGHT, peer=self.client("192.0.2.0")).status, 200)


class CostTests(GuardedTestCase):
    def test_a_push_of_500_objects_costs_one_bcrypt(self) -> None:
        """Even if each upload shows the password again, and not its action's token."""
        self.guard(self.passwords())
        hashed = []
        checkpw = bcrypt.checkpw

        def count(password: bytes, stored: bytes) -> bool:
            hashed.append(stored)
            return checkpw(password, stored)

        self.patch(bcrypt, "checkpw", count)
        objects = [b"object %d" % number for number in range(500)]
        connection = Connection(self.front.site, self.clock)
        shown = {"Authorization": RIGHT}
        body = batch_body("upload", *map(entry, objects))
        connection.send(render_request("POST", f"{API}/objects/batch", shown, body))
        self.assertEqual(len(connection.response().json["objects"]), 500)
        for data in objects:
            target = storage_url(oid_of(data), API)
            self.assertEqual(connection.request("PUT", target, shown, data).status, 200)
            verification = json.dumps(entry(data)).encode()
            target = f"{API}/objects/storage/verify"
            self.assertEqual(connection.request("POST", target, shown, verification).status, 200)
        self.assert_objects(PRESENT, *objects)
        self.assertEqual(len(hashed), 1)
        self.assert_error(self.ask_now("get", wrong()), 401)
        self.assertEqual(len(hashed), 2, "another password was not looked at")
