"""``git-lfs-authenticate``: what it tells whom."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock

from giftless.auth.repository_tokens import RepositoryTokens
from giftless.errors import Forbidden, LFSError, Unauthorized
from giftless.interfaces import Credentials, Refused, Vouched
from giftless.lfs.objects import Operation
from giftless.lfs.ssh.commands import Command, Program
from giftless.ssh.authenticate import RepositoryAuthentication
from giftless.ssh.caller import Caller
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from tests.ssh.client import REALM, Line
from tests.ssh.support import People, SSHTestCase
from tests.support.events import Recorder
from tests.support.making import SECRET, repo_of
from tests.support.run import CoroutineTestCase

LIFETIME = 3600


def authentication(
    public_url: str = "https://lfs.example", recorder: Recorder | None = None
) -> RepositoryAuthentication:
    """Make what answers.

    :param recorder: is told of refusals.
    """
    tokens = RepositoryTokens(SECRET, LIFETIME, Clock().seconds)
    events = Events({} if recorder is None else {"recorder": recorder})
    return RepositoryAuthentication(tokens, People(), Gate(), events, public_url)


class AnswerTests(CoroutineTestCase):
    def answer(self, user: str, operation: str, path: str = "org/repo", **options: Any) -> Any:
        """Return the answer, decoded."""
        shown = Credentials((Vouched(user, REALM),))
        command = Command(Program.AUTHENTICATE, repo_of(path), Operation(operation))
        text = self.run_now(authentication(**options).answer(Caller(shown, command)))
        self.assertEqual((text[-2:], text.count("\n")), ("}\n", 1))
        return json.loads(text)

    def test_it_tells_where_the_api_is_and_a_token_for_it(self) -> None:
        told = self.answer("will", "upload")
        self.assertEqual(set(told), {"href", "header", "expires_in"})
        self.assertEqual(told["href"], "https://lfs.example/org/repo.git/info/lfs")
        self.assertEqual(told["expires_in"], LIFETIME)
        self.assertEqual(set(told["header"]), {"Authorization"})
        kind, token = told["header"]["Authorization"].split(" ")
        self.assertEqual(kind, "Bearer")
        tokens = RepositoryTokens(SECRET, 1, Clock().seconds)
        self.assertEqual(tokens.read(token, repo_of()), (Vouched("will", REALM), Operation.UPLOAD))

    def test_without_a_public_url_the_client_knows_best(self) -> None:
        self.assertEqual(
            set(self.answer("will", "download", public_url="")), {"header", "expires_in"}
        )

    def test_a_path_is_written_as_urls_have_it(self) -> None:
        for path, url in (
            ("équipe A/fusée", "%C3%A9quipe%20A/fus%C3%A9e.git"),
            ("a/b.git.git", "a/b.git.git"),
            ("a/%2e#?", "a/%252e%23%3F.git"),
        ):
            for root in ("https://lfs.example/", "https://lfs.example/lfs"):
                told = self.answer("will", "download", path, public_url=root)
                href = f"{root.rstrip('/')}/{url}/info/lfs"
                self.assertEqual(told["href"], href)

    def test_whoever_may_not_do_it_gets_no_token(self) -> None:
        for user, operation, error in (
            ("rita", "upload", Forbidden),
            ("nobody", "download", Forbidden),
            ("nobody", "upload", Forbidden),
            ("unknown", "download", Unauthorized),
        ):
            raised: LFSError = self.assertRaises(error, self.answer, user, operation)
            self.assertTrue(raised.message)
        self.answer("rita", "download")

    def test_a_refusal_is_published_with_the_name_of_who_asked(self) -> None:
        recorder = Recorder()
        self.assertRaises(Forbidden, self.answer, "rita", "upload", recorder=recorder)
        (event,) = recorder.of(Refused)
        self.assertEqual((event.who, event.repo, event.status), ("rita", repo_of(), 403))
        self.assertRaises(Unauthorized, self.answer, "unknown", "upload", recorder=recorder)
        self.assertEqual([each.status for each in recorder.of(Refused)], [403, 401])


class FrontTests(SSHTestCase):
    """Over the Unix socket."""

    async def test_the_answer_is_all_that_is_on_stdout(self) -> None:
        await self.serve(authentication=authentication())

        def client(line: Line) -> None:
            told = line.admit("git-lfs-authenticate org/repo.git upload")
            self.assertEqual((told.open, told.status, told.stderr), (False, 0, ""))
            self.assertIn("Authorization", json.loads(told.stdout)["header"])
            self.assertEqual(line.rest(), b"")

        await self.session(client)
        await self.settled()

    async def test_the_access_log_says_who_was_given_a_token_and_who_was_not(self) -> None:
        await self.serve(authentication=authentication())
        for user in ("will", "rita"):

            def client(line: Line, user: str = user) -> Any:
                return line.admit("git-lfs-authenticate org/repo upload", user)

            await self.session(client)
        await self.settled()
        for line, name, status in zip(self.lines, ("will", "rita"), (200, 403), strict=True):
            words = f" {name} SSH /org/repo/git-lfs-authenticate/upload {status} 0 "
            self.assertIn(words, line)
            self.assertNotIn("eyJ", line)

    async def test_a_refusal_is_words_and_a_status(self) -> None:
        """At once, or git-lfs hangs."""
        await self.serve(authentication=authentication())
        for user, command, words in (
            ("rita", "git-lfs-authenticate org/repo upload", "rita does not have write access"),
            ("unknown", "git-lfs-authenticate org/repo download", "nobody knows"),
            ("will", "git-lfs-authenticate org/../x download", "must not have empty"),
            ("will", "git-lfs-authenticate org/repo", "needs a path and an operation"),
            ("will", "git-upload-pack org/repo", "only git-lfs-transfer and git-lfs-auth"),
            ("will", "", "only git-lfs-transfer and git-lfs-auth"),
        ):

            def client(line: Line, user: str = user, command: str = command) -> Any:
                return line.admit(command, user)

            told = await self.session(client)
            self.assertEqual((told.open, told.status, told.stdout), (False, 1, ""))
            self.assertRegex(told.stderr, f"\\Agiftless: .*{words}.*\n\\Z")
        await self.settled()
