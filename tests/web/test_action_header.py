"""The header that carries the tokens of actions, beside whatever a client adds itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.support.making import oid_of
from tests.support.tokens import basic
from tests.web.guarded import (
    NEW,
    OPERATIONS,
    PRESENT,
    REPO,
    GuardedTestCase,
    Operation,
    bearer,
    jwt_section,
)
from tests.web.support import GIT_LFS, Response, storage_url

RIGHT = basic("wanda", "wandas password")
WRONG = basic("wanda", "rays password")

#: What clients and CI runners add of their own.
BESIDE = (
    (),
    (RIGHT,),
    (WRONG,),
    (WRONG, "Bearer theirs"),
    ("Negotiate YIIZ0123456789",),
    ("Basic !0123456789",),
    (f"{WRONG}, Bearer ghs_0123456789",),
    ("",),
)

#: Which action leads to each operation.
ACTIONS = {"get": "download", "head": "download", "put": "upload", "verify": "verify"}


class ActionHeaderTestCase(GuardedTestCase):
    """A server that knows users, and gives the tenth wrong password a minute to wait."""

    def setUp(self) -> None:
        super().setUp()
        self.serve_guarded()

    def serve_guarded(self, *more: Mapping[str, Any]) -> None:
        access = {"max_failures": 3, "failure_window": 60}
        self.guard(
            self.passwords(),
            jwt_section("HS256"),
            *more,
            access=access,
        )

    def headers(self) -> dict[str, dict[str, str]]:
        """Return the headers of each action."""
        found: dict[str, dict[str, str]] = {}
        for name in ("upload_batch", "download_batch"):
            (item,) = self.ask_now(name, RIGHT).json["objects"]
            found |= {action: of["header"] for action, of in item["actions"].items()}
        upload = self.ask_now("upload_batch", RIGHT).json["objects"][0]["actions"]
        # The verification of an object that is there needs a token of its own.
        found["verify"] = upload["verify"]["header"]
        return found


class CredentialTests(ActionHeaderTestCase):
    """A token in the header decides alone."""

    def test_whatever_stands_beside_a_good_token_is_not_looked_at(self) -> None:
        """Neither hashed nor counted: none of many guesses makes anybody wait."""
        headers = self.headers()
        for name in ("get", "head"):
            jobs = set()
            for beside in BESIDE * 3:
                before = len(self.front.blocking.jobs)
                response = self.ask_now(name, *beside, headers=headers["download"])
                self.assertEqual(response.status, 200, beside)
                jobs.add(len(self.front.blocking.jobs) - before)
            self.assertEqual(len(jobs), 1, "something was hashed")
        response = self.ask_now("put", WRONG, headers=headers["upload"])
        self.assertEqual(response.status, 200)
        self.assertEqual(self.ask_now("get", RIGHT).status, 200)
        self.assertEqual({line["identity"] for line in self.access}, {"wanda"})

    def test_nothing_beside_a_token_widens_what_it_opens(self) -> None:
        """The user might put the object there; the token of its download does not."""
        headers = self.headers()
        self.assert_error(self.ask_now("put", RIGHT, headers=headers["download"]), 403)
        self.assert_error(self.ask_now("get", RIGHT, headers=headers["upload"]), 403)
        other = Operation("GET", storage_url(oid_of(NEW), f"/{REPO}.git/info/lfs"), NEW)
        self.front.put(NEW, REPO)
        self.assert_error(self.ask_now(other, RIGHT, headers=headers["download"]), 403)

    def test_nothing_beside_a_bad_token_makes_up_for_it(self) -> None:
        """403 asks git-lfs for a new batch, with or without a credential of its own."""
        headers = self.headers()
        good = headers["download"]["Giftless-Action"]
        upload = headers["upload"]["Giftless-Action"]
        jwt = bearer(f"obj:{REPO}:*", "HS256").removeprefix("Bearer ")
        for token in (good + "x", good[:-4] + "AAAA", "", "x", "a.b.c", "\xff", jwt, upload):
            for beside in BESIDE:
                shown = {"Giftless-Action": token}
                self.assert_error(self.ask_now("get", *beside, headers=shown), 403)
        self.clock.advance(86400 + 60)
        for name, action in ACTIONS.items():
            response = self.ask_now(name, RIGHT, headers=headers[action])
            self.assert_challenged(response)
            self.assertEqual(response.status, 403, name)

    def test_two_tokens_are_none(self) -> None:
        token = self.headers()["download"]["Giftless-Action"]
        for value in (f"{token}, {token}", f"{token}\r\nGiftless-Action: {token}"):
            shown = {"Giftless-Action": value}
            self.assert_error(self.ask_now("get", headers=shown), 403)

    def test_a_token_opens_no_batch_and_hides_no_credential_there(self) -> None:
        headers = self.headers()["download"]
        for name in ("download_batch", "upload_batch"):
            self.assert_error(self.ask_now(name, headers=headers), 401)
            self.assertEqual(self.ask_now(name, RIGHT, headers=headers).status, 200)

    def test_a_token_in_authorization_is_still_good(self) -> None:
        """Tokens of batches before an upgrade are there; and joined with others, too."""
        token = self.headers()["download"]["Giftless-Action"]
        for value in (
            f"Bearer {token}",
            f"Bearer {token}, {WRONG}",
            f"{WRONG}, Bearer {token}",
            f"{WRONG},Bearer {token}",
        ):
            self.assertEqual(self.ask_now("get", value).status, 200, value)

    def test_joined_credentials_are_told_apart(self) -> None:
        """Apache joins the headers of one name with commas."""
        good = (RIGHT, bearer(f"obj:{REPO}:*", "HS256"))
        for mine in good:
            for theirs in (basic("x", "y"), "Bearer opaque", "Negotiate YII=", 'Digest a="b", c=d'):
                for value in (f"{mine}, {theirs}", f"{theirs}, {mine}", f"{theirs},{mine}"):
                    for name in ("get", "download_batch"):
                        self.assertEqual(self.ask_now(name, value).status, 200, value)

    def test_it_is_not_in_the_log(self) -> None:
        headers = self.headers()["download"]
        self.ask_now("get", RIGHT, headers=headers)
        self.ask_now("put", RIGHT, headers=headers)
        text = repr(self.events)
        for part in headers["Giftless-Action"].split("."):
            self.assertNotIn(part, text)


class MissingTests(ActionHeaderTestCase):
    """A proxy drops the header."""

    def ask_without(self, name: str, *authorization: str, agent: str = GIT_LFS) -> Response:
        return self.ask_now(name, *authorization, headers={"User-Agent": agent})

    def test_git_lfs_is_not_asked_for_a_credential(self) -> None:
        """It would send the same again, at once and for ever."""
        for more in ([], [{"type": "anonymous", "access": "read"}]):
            self.serve_guarded(*more)
            for name in ACTIONS:
                for beside in ((), (WRONG,), ("Basic !0123456789",)):
                    if more and not beside and name != "put":
                        continue
                    response = self.ask_without(name, *beside)
                    self.assertEqual(response.status, 403, (name, beside, more))
                    self.assert_challenged(response)
                    if name != "head":
                        self.assertIn("Giftless-Action", response.json["message"])
                    self.clock.advance(61)

    def test_a_good_credential_of_git_lfs_is_enough(self) -> None:
        self.assertEqual(self.ask_without("get", RIGHT).status, 200)
        self.assertEqual(self.ask_without("put", RIGHT).status, 200)

    def test_others_are_asked_for_a_credential(self) -> None:
        for name in ACTIONS:
            response = self.ask_without(name, agent="curl/8.0")
            self.assertEqual(response.status, 401)
            self.assert_challenged(response)

    def test_batches_of_git_lfs_are_asked_for_a_credential(self) -> None:
        self.assertEqual(self.ask_without("download_batch").status, 401)


class CacheTests(ActionHeaderTestCase):
    """No shared cache may keep what a token opens, though there is no Authorization."""

    def cache_control(self, name: str | Operation, **headers: str) -> tuple[int, str]:
        operation = OPERATIONS[name] if isinstance(name, str) else name
        response = self.ask_now(operation, headers=headers)
        return response.status, response.headers["cache-control"]

    def test_downloads_are_private(self) -> None:
        token = self.headers()["download"]
        etag = f'"{oid_of(PRESENT)}"'
        for status, more in (
            (200, {}),
            (206, {"Range": "bytes=1-3"}),
            (304, {"If-None-Match": etag}),
        ):
            self.assertEqual(self.cache_control("get", **token, **more), (status, "private"))
        self.assertEqual(self.cache_control("head", **token), (200, "private"))

    def test_all_else_is_not_stored(self) -> None:
        """Errors are told from memory by some caches, 404 above all."""
        headers = self.headers()
        token = headers["download"]
        gone = Operation("GET", storage_url("0" * 64, f"/{REPO}.git/info/lfs"), b"")
        for name, more, status in (
            ("get", {**token, "Range": "bytes=999-"}, 416),
            ("get", {"Giftless-Action": "x"}, 403),
            ("get", {}, 401),
            (gone, {"Authorization": RIGHT}, 404),
            (Operation("GET", "/nowhere", b""), {}, 404),
            (Operation("DELETE", OPERATIONS["get"].target, b""), {}, 405),
            ("download_batch", {"Authorization": RIGHT}, 200),
            ("put", headers["upload"], 200),
            ("put", {"Authorization": "Basic !"}, 401),
            ("get", {"Host": "a, b"}, 400),
        ):
            self.assertEqual(self.cache_control(name, **more), (status, "no-store"), (name, more))

    def test_refusals_before_the_request_is_parsed_are_not_stored(self) -> None:
        connection = self.connect()
        connection.send(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 2**17 + b"\r\n")
        response = connection.response()
        self.assertEqual((response.status, response.headers["cache-control"]), (431, "no-store"))


class PageTests(GuardedTestCase):
    """Pages of other origins may send the header."""

    def test_a_preflight_allows_it(self) -> None:
        self.guard(self.passwords(), cors={"origins": ["https://page.example"]})
        asked = {
            "Origin": "https://page.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,giftless-action",
        }
        response = self.ask_now(Operation("OPTIONS", OPERATIONS["put"].target, b""), headers=asked)
        self.assertEqual(response.status, 204)
        self.assertIn("giftless-action", response.headers["access-control-allow-headers"])


class PasswordTests(ActionHeaderTestCase):
    def test_as_the_password_of_jwt_it_is_still_good(self) -> None:
        token = self.headers()["download"]["Giftless-Action"]
        value = base64.b64encode(f"_jwt:{token}".encode()).decode()
        self.assertEqual(self.ask_now("get", f"Basic {value}").status, 200)
