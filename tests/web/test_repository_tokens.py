"""Repository tokens over the wire: everywhere, on a server that gives them out over SSH.

The front is the daemon's own composition (:mod:`tests.web.guarded`).
"""

from __future__ import annotations

import json
from typing import Any, Final, Never

from giftless.auth.repository_tokens import RepositoryTokens
from giftless.interfaces import Vouched
from giftless.lfs import objects as lfs
from giftless.web.administration.endpoints import FOLDER, OWN_FOLDER
from giftless.web.administration.names import NAMES
from tests.auth.forges.support import NOW
from tests.support.making import SECRET, repo_of
from tests.support.tokens import basic
from tests.web.guarded import (
    API,
    GRANTS,
    NEW,
    OPERATIONS,
    PRESENT,
    REPO,
    GuardedTestCase,
    Operation,
    entry,
    jwt_section,
)
from tests.web.support import Response, batch_body

#: Every endpoint that takes the token of an action, and those of owners and operators.
ELSEWHERE: Final = {
    **{name: OPERATIONS[name] for name in ("get", "head", "put", "verify")},
    **{
        f"{method} {root}/{name}": Operation(method, f"{root}/{name}", b"")
        for root in (f"{API}/{FOLDER}", f"/{OWN_FOLDER}")
        for name, methods in NAMES.items()
        for method in methods
    },
    "pages": Operation("GET", "/-/", b""),
}


async def _no_page(*_: object) -> Never:
    raise AssertionError("nobody who sees a page has asked for one")


class TokensTestCase(GuardedTestCase):
    """A server with passwords, which also serves SSH."""

    def setUp(self) -> None:
        super().setUp()
        self.tokens = RepositoryTokens(SECRET, 3600, self.clock.seconds)
        self.section = self.passwords()
        self.configure()

    def configure(self, *more: dict[str, Any], **options: Any) -> None:
        """Make the front."""
        self.guard(
            self.section,
            *more,
            ssh={"trusted": ["0"]},
            locks={"type": "sqlite", "path": f"{self.mktemp()}.db"},
            admin={"public_pages": True},
            pages=_no_page,
            **options,
        )

    def token(self, operation: str = "upload", user: str = "wanda", path: str = REPO) -> str:
        """Make a token."""
        repo = lfs.OPERATION if path == lfs.OWN_PAGES else repo_of(path)
        made = self.tokens.make(Vouched(user, "basic"), repo, lfs.Operation(operation))
        self._shown.add(made)
        return made

    def batch(self, operation: str, token: str, path: str = REPO) -> Response:
        """Send a batch for an object."""
        data = PRESENT if operation == "download" else NEW
        target = f"/{path}.git/info/lfs/objects/batch"
        body = batch_body(operation, entry(data))
        return self.ask_now(Operation("POST", target, data, body), f"Bearer {token}")


class BatchTests(TokensTestCase):
    def test_it_opens_batches_of_its_repository(self) -> None:
        for operation in ("download", "upload"):
            for user in ("wanda", "ray"):
                reply = self.batch(operation, self.token(operation, user))
                allowed = operation == "download" or user == "wanda"
                self.assertEqual(reply.status, 200 if allowed else 403, reply.body)

    def test_the_actions_of_a_batch_need_no_more(self) -> None:
        (item,) = self.batch("upload", self.token()).json["objects"]
        action = item["actions"]["upload"]
        path = action["href"].partition("/acme")[2]
        stored = self.ask_now(
            Operation("PUT", f"/acme{path}", NEW, NEW),
            headers={"Giftless-Action": action["header"]["Giftless-Action"]},
        )
        self.assertEqual(stored.status, 200)
        self.assert_objects(NEW, PRESENT)

    def test_one_for_downloads_opens_no_upload(self) -> None:
        self.assertEqual(self.batch("upload", self.token("download")).status, 403)
        self.assertEqual(self.batch("download", self.token("upload")).status, 200)

    def test_it_opens_no_other_repository(self) -> None:
        """Not even one where its user may do everything."""
        for token in (self.token(user="sam"), self.token(user="wanda")):
            self.assertEqual(self.batch("upload", token, "acme/other").status, 401)
        self.assertEqual(self.batch("upload", self.token(user="sam")).status, 403)

    def test_whoever_loses_access_loses_it_at_once(self) -> None:
        token = self.token()
        self.assertEqual(self.batch("upload", token).status, 200)
        for grants, status in ((GRANTS.replace("write", "read"), 200), ("sam: {}\n", 403)):
            with open(self.section["access"], "w", encoding="utf-8") as file:
                file.write(grants)
            self.clock.advance(60)
            self.assertEqual(self.batch("upload", token).status, 403)
            self.assertEqual(self.batch("download", token).status, status)

    def test_one_that_has_expired_is_refused(self) -> None:
        token = self.token()
        self.clock.advance(3600 + 11)
        reply = self.batch("upload", token)
        self.assertEqual((reply.status, "expired" in reply.json["message"]), (401, True))

    def test_many_that_are_refused_lock_nobody_out(self) -> None:
        """A build whose token has expired tries again and again, as each of its jobs."""
        for number in range(200):
            self.assertEqual(self.batch("upload", self.token(path=f"x/{number}")).status, 401)
        self.assertEqual(self.batch("upload", self.token()).status, 200)

    def test_guesses_are_slowed_down(self) -> None:
        token = self.token()
        statuses = {self.batch("upload", f"{token}{number}").status for number in range(40)}
        self.assertEqual(statuses, {401, 429})

    def test_it_is_good_beside_what_a_proxy_adds(self) -> None:
        operation, token = OPERATIONS["upload_batch"], self.token()
        reply = self.ask_now(operation, f"Bearer {token}", "Negotiate abc")
        self.assertEqual(reply.status, 200)


class LockTests(TokensTestCase):
    def lock(self, path: str, authorization: str) -> Response:
        """Lock a path."""
        body = json.dumps({"path": path}).encode()
        return self.ask_now(Operation("POST", f"{API}/locks", b"", body), authorization)

    def test_the_locks_of_its_user_are_the_same_as_by_password(self) -> None:
        by_token, by_password = f"Bearer {self.token()}", basic("wanda", "wandas password")
        self.assertEqual(self.lock("a.psd", by_token).status, 201)
        self.assertEqual(self.lock("b.psd", by_password).status, 201)
        for shown in (by_token, by_password, f"Bearer {self.token('download')}"):
            verify = Operation("POST", f"{API}/locks/verify", b"", b"{}")
            reply = self.ask_now(verify, shown)
            if shown.endswith(self.token("download")):
                self.assertEqual(reply.status, 403)
                continue
            self.assertEqual({each["path"] for each in reply.json["ours"]}, {"a.psd", "b.psd"})
            self.assertEqual(reply.json["theirs"], [])

    def test_one_for_downloads_shows_locks_and_changes_none(self) -> None:
        made = self.lock("a.psd", f"Bearer {self.token()}").json["lock"]["id"]
        shown = f"Bearer {self.token('download')}"
        self.assertEqual(self.lock("c.psd", shown).status, 403)
        unlock = Operation("POST", f"{API}/locks/{made}/unlock", b"", b"{}")
        self.assertEqual(self.ask_now(unlock, shown).status, 403)
        listed = self.ask_now(Operation("GET", f"{API}/locks", b""), shown)
        self.assertEqual([each["path"] for each in listed.json["locks"]], ["a.psd"])

    def test_an_admin_may_unlock_by_force(self) -> None:
        with open(self.section["access"], "w", encoding="utf-8") as file:
            file.write("wanda: {acme/rocket: write}\nolga: {acme/rocket: admin}\n")
        self.clock.advance(60)
        made = self.lock("a.psd", f"Bearer {self.token()}").json["lock"]["id"]
        unlock = Operation("POST", f"{API}/locks/{made}/unlock", b"", b'{"force": true}')
        for operation, status in (("download", 403), ("upload", 200)):
            token = self.token(operation, "olga")
            self.assertEqual(self.ask_now(unlock, f"Bearer {token}").status, status)


class ElsewhereTests(TokensTestCase):
    def test_it_opens_nothing_else(self) -> None:
        """However it is sent: neither bytes of objects nor what owners and operators see."""
        tokens = [self.token(user="olga"), self.token(user="olga", path="-")]
        tokens += [self.token(), self.token("download")]
        for name, operation in ELSEWHERE.items():
            for token in tokens:
                for shown in (f"Bearer {token}", basic("_jwt", token), basic(token, "")):
                    reply = self.ask_now(operation, shown)
                    self.assertEqual(reply.status, 401, (name, reply.body))
                reply = self.ask_now(operation, token=token)
                self.assertEqual(reply.status, 401, (name, reply.body))
                reply = self.ask_now(operation, headers={"Giftless-Action": token})
                self.assertIn(reply.status, (401, 403), (name, reply.body))
        self.assert_objects(PRESENT)

    def test_batches_and_locks_take_it_in_one_form_only(self) -> None:
        token = self.token()
        for name in ("upload_batch", "download_batch"):
            for shown in (basic("_jwt", token), basic("wanda", token), basic(token, "")):
                self.assertEqual(self.ask_now(name, shown).status, 401)
            self.assertEqual(self.ask_now(name, token=token).status, 401)
            reply = self.ask_now(name, headers={"Giftless-Action": token})
            self.assertEqual(reply.status, 401)

    def test_a_token_of_an_action_is_none(self) -> None:
        (item,) = self.batch("upload", self.token()).json["objects"]
        action = item["actions"]["upload"]["header"]["Giftless-Action"]
        self.assertEqual(self.batch("upload", action).status, 401)

    def test_no_other_authenticator_and_no_anonymous_access_stands_in(self) -> None:
        """Not one of the same secret, which could not tell it from its own."""
        jwt = jwt_section("HS256") | {"key": SECRET.decode(), "key_id": None}
        self.configure(jwt, {"type": "anonymous", "access": "read-write"})
        token = self.token(path="acme/other")
        self.assertEqual(self.ask_now("upload_batch", f"Bearer {token}").status, 401)
        self.assertEqual(self.ask_now("put", f"Bearer {self.token()}").status, 401)
        self.assertEqual(self.ask_now("put", f"Bearer {self.token(user='nobody')}").status, 401)
        self.assertEqual(self.batch("upload", self.token(user="nobody")).status, 403)
        self.assert_objects(PRESENT)

    def test_a_server_without_ssh_takes_none(self) -> None:
        self.guard(self.section)
        self.assertEqual(self.batch("upload", self.token()).status, 401)


class RateTests(TokensTestCase):
    def test_its_requests_are_counted_as_those_by_password(self) -> None:
        self.configure(rates={"per_minute": 2})
        statuses = [
            self.ask_now("download_batch", shown).status
            for shown in (f"Bearer {self.token()}", basic("wanda", "wandas password")) * 2
        ]
        self.assertEqual(statuses, [200, 200, 429, 429])


class ClockTests(TokensTestCase):
    def test_the_clock_of_these_tests_is_the_servers(self) -> None:
        self.assertEqual(self.clock.seconds(), NOW)
