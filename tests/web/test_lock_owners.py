"""Whose a lock is, with chains of authenticators as configurations describe them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from giftless.errors import ConfigError
from tests.support.tokens import basic
from tests.web.guarded import API, GuardedTestCase, Operation, bearer, jwt_section
from tests.web.support import Response

SCOPE = "obj:acme/rocket/*:*"

#: A name whose first 128 characters another one shares.
LONG = "x" * 128


class OwnerTests(GuardedTestCase):
    """What one has locked, no other unlocks without force, whatever they are called."""

    def serve_people(self, *auth: dict[str, Any]) -> None:
        """Serve with a chain, and locks in a file."""
        path = os.path.join(os.path.abspath(self.mktemp()), "locks.sqlite")
        os.makedirs(os.path.dirname(path))
        self.guard(*auth, locks={"type": "sqlite", "path": path}, present=False)

    def post(self, who: str, endpoint: str, **body: Any) -> Response:
        """Send a request of the locking API."""
        operation = Operation("POST", f"{API}/locks{endpoint}", b"", json.dumps(body).encode())
        return self.ask_now(operation, who)

    def assert_two_owners(self, one: str, other: str, about: str = "") -> None:
        """Check that neither unlocks what the other has locked, and that each can its own."""
        for holder, foreigner in ((one, other), (other, one)):
            response = self.post(holder, "", path="a.psd")
            self.assertEqual(response.status, 201, response)
            lock = response.json["lock"]
            self.assertEqual(self.post(foreigner, "", path="a.psd").status, 409, about)
            verified = self.post(foreigner, "/verify").json
            self.assertEqual((verified["ours"], verified["theirs"]), ([], [lock]), about)
            self.assertEqual(self.post(holder, "/verify").json["ours"], [lock], about)
            refused = self.post(foreigner, f"/{lock['id']}/unlock")
            self.assertEqual(refused.status, 403, f"{about}: {refused}")
            self.assertEqual(self.post(holder, f"/{lock['id']}/unlock").status, 200, about)

    def jwt(self, subject: str | None, which: str = "HS256", **claims: Any) -> str:
        """Return the header of somebody with a token."""
        return bearer(SCOPE, which, sub=subject, **claims)

    def test_subjects_of_one_issuer(self) -> None:
        self.serve_people(jwt_section("HS256"))
        for one, other in (
            ("a b", "a_b"),
            ("a\tb", "a b"),
            (LONG + "1", LONG + "2"),
            (LONG, LONG + "1"),
            ("Alice", "alice"),
            ("\u00e9", "e\u0301"),
            ("a", "\u0430"),
        ):
            self.assert_two_owners(self.jwt(one), self.jwt(other), f"{one!r} and {other!r}")

    def test_one_subject_of_two_issuers(self) -> None:
        """Whether each has a section of its own, with an issuer or without, or both one."""
        one, two = "https://one.example", "https://two.example"
        first = self.jwt("alice", "HS256", iss=one)
        second = self.jwt("alice", "HS384", iss=two)
        for sections in (
            (jwt_section("HS256", issuer=one), jwt_section("HS384", issuer=two)),
            (jwt_section("HS256"), jwt_section("HS384")),
        ):
            self.serve_people(*sections)
            self.assert_two_owners(first, second)
        self.serve_people(jwt_section("HS256"))
        self.assert_two_owners(first, self.jwt("alice", "HS256", iss=two))

    def test_an_issuer_cannot_speak_for_another(self) -> None:
        """A token that claims to be from another issuer is still of who has signed it."""
        issuer = "https://one.example"
        self.serve_people(jwt_section("HS256", issuer=issuer), jwt_section("HS384"))
        real, claimed = (
            self.jwt("alice", "HS256", iss=issuer),
            self.jwt("alice", "HS384", iss=issuer),
        )
        self.assert_two_owners(real, claimed)

    def test_a_user_with_a_password_and_a_subject(self) -> None:
        self.serve_people(self.passwords(), jwt_section("HS256"))
        wanda = basic("wanda", "wandas password")
        for subject in ("wanda", "sub:wanda", "basic#wanda"):
            self.assert_two_owners(wanda, self.jwt(subject), subject)

    def test_one_name_in_two_files_of_users(self) -> None:
        """A realm makes them two; without one the server does not start."""
        first, second = self.passwords(), self.passwords()
        with open(first["htpasswd"], encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file.read().splitlines())
        with open(second["htpasswd"], "w", encoding="utf-8") as file:
            # Each file has a Wanda; the second one's has Ray's password.
            file.write(f"wanda:{lines['ray']}\n")
        error = self.assertRaises(ConfigError, self.serve_people, first, second)
        self.assertEqual(error.path, "auth.1.realm")
        self.serve_people(first, {**second, "realm": "guests"})

    def test_tokens_that_do_not_say_whose_they_are(self) -> None:
        self.serve_people(jwt_section("HS256"))
        one, other = self.jwt(None), self.jwt(None, exp=2**31)
        self.assert_two_owners(one, other)

    def test_one_issuer_with_two_keys_is_one(self) -> None:
        """A key is replaced, and everybody remains who they were."""
        sections = [jwt_section(name, issuer="https://one.example") for name in ("HS256", "HS384")]
        self.serve_people(*sections)
        old, new = (
            self.jwt("alice", name, iss="https://one.example") for name in ("HS256", "HS384")
        )
        lock = self.post(old, "", path="a.psd").json["lock"]
        self.assertEqual(self.post(new, f"/{lock['id']}/unlock").status, 200)

    def test_a_name_is_shown_to_people(self) -> None:
        self.serve_people(jwt_section("HS256"))
        for subject, shown in self.shown():
            lock = self.post(self.jwt(subject), "", path=f"{len(subject)}.psd").json["lock"]
            self.assertEqual(lock["owner"], {"name": shown})

    def shown(self) -> Iterator[tuple[str, str]]:
        """Yield names and what is shown of them."""
        yield "a b", "a b"
        yield "\u00d6lga <o@example.com>", "\u00d6lga <o@example.com>"
        yield LONG + "1", LONG[:-1] + "\u2026"
        yield "a\x1b[2Jb", "a\ufffd[2Jb"
