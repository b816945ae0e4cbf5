"""Which requests count against the rate of a client, over the wire."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address

from giftless.base.pages import PageReply, PageRequest
from tests.support.tokens import basic
from tests.web.guarded import API, NEW, OPERATIONS, PRESENT, GuardedTestCase, Operation, entry
from tests.web.support import batch_body

WANDA = basic("wanda", "wandas password")
RAY = basic("ray", "rays password")

CREATE_LOCK = Operation("POST", f"{API}/locks", b"", json.dumps({"path": "a.psd"}).encode())
LIST_LOCKS = Operation("GET", f"{API}/locks", b"")
VERIFY_LOCKS = Operation("POST", f"{API}/locks/verify", b"", b"{}")
PAGE = Operation("GET", "/-/", b"")


async def no_page(request: PageRequest) -> PageReply:
    """Make an empty page, whatever is asked for."""
    return PageReply(200, {}, b"")


class RateTests(GuardedTestCase):
    """Clients that ask too often wait."""

    def start(self, **rates: int) -> None:
        """Serve people with passwords, and everybody who only reads."""
        self.guard(
            self.passwords(),
            {"type": "anonymous", "access": "read"},
            rates=rates,
            locks={"type": "sqlite", "path": f"{self.mktemp()}.sqlite"},
            admin={"public_pages": True},
            pages=no_page,
        )

    def assert_waits(self, operation: str | Operation, *shown: str, **options: Any) -> None:
        """Check that a request is refused for its client's rate."""
        response = self.ask_now(operation, *shown, **options)
        self.assertEqual(response.status, 429, response)
        self.assertEqual(response.headers["retry-after"], "20")
        if operation != OPERATIONS["head"]:
            self.assertIn("too many", response.json["message"])
            self.assertIn("3 a minute are allowed", response.json["message"])

    def test_batches_locks_and_requests_without_a_batch_count(self) -> None:
        for operation in (*OPERATIONS.values(), LIST_LOCKS, VERIFY_LOCKS, CREATE_LOCK):
            self.start(per_minute=3)
            for _ in range(3):
                self.assertLess(self.ask_now(operation, WANDA).status, 410, operation)
            self.assert_waits(operation, WANDA)

    def test_many_batches_do_not_stop_the_question_for_locks(self) -> None:
        """A push fails if that is refused; git-lfs waits only where a batch is."""
        self.start(per_minute=3)
        for _ in range(3):
            self.ask_now("download_batch", WANDA)
        self.assert_waits("download_batch", WANDA)
        self.assertEqual(self.ask_now(VERIFY_LOCKS, WANDA).status, 200)

    def test_people_do_not_wait_for_each_other(self) -> None:
        self.start(per_minute=3)
        for _ in range(3):
            self.ask_now("download_batch", WANDA)
        self.assert_waits("download_batch", WANDA)
        self.assertEqual(self.ask_now("download_batch", RAY).status, 200)
        self.assertEqual(self.ask_now("download_batch").status, 200)

    def test_addresses_that_name_nobody_do_not_wait_for_each_other(self) -> None:
        self.start(anonymous_per_minute=3)
        for _ in range(3):
            self.ask_now("download_batch")
        self.assert_waits("download_batch")
        other = IPv4Address("TCP", "198.51.100.8", 40000)
        self.assertEqual(self.ask_now("download_batch", peer=other).status, 200)
        self.assertEqual(self.ask_now("download_batch", WANDA).status, 200)

    def test_who_waits_goes_on_with_what_a_batch_has_given_out(self) -> None:
        self.start(per_minute=3)
        body = batch_body("upload", entry(NEW))
        batch = Operation("POST", f"{API}/objects/batch", NEW, body)
        actions = self.ask_now(batch, WANDA).json["objects"][0]["actions"]
        for _ in range(2):
            self.ask_now("download_batch", WANDA)
        self.assert_waits("download_batch", WANDA)
        for name, action in (("put", "upload"), ("verify", "verify")):
            operation = OPERATIONS[name]
            if name == "verify":
                operation = Operation(
                    "POST", operation.target, NEW, json.dumps(entry(NEW)).encode()
                )
            # A client may add a credential to an action.
            response = self.ask_now(operation, WANDA, headers=actions[action]["header"])
            self.assertEqual(response.status, 200)
        self.assert_objects(PRESENT, NEW)

    def test_bad_credentials_and_pages_count_elsewhere(self) -> None:
        self.start(per_minute=3, anonymous_per_minute=3)
        for _ in range(5):
            self.assertEqual(self.ask_now("get", basic("wanda", "wrong")).status, 401)
        olga = basic("olga", "olgas password")
        for _ in range(5):
            self.assertEqual(self.ask_now(PAGE, olga).status, 200)

    def test_time_lets_them_go_on(self) -> None:
        self.start(per_minute=3)
        for _ in range(3):
            self.ask_now("download_batch", WANDA)
        self.clock.advance(20)
        self.assertEqual(self.ask_now("download_batch", WANDA).status, 200)
        self.assert_waits("download_batch", WANDA)
