"""``giftless doctor`` and servers of other makes, good ones and such that misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

from giftless.base.git_settings import settings_for
from giftless.base.http_client import client_over
from giftless.client.clone import Clone
from giftless.client.connecting import GitAgent
from giftless.client.credentials import Credentials
from giftless.commands.doctor import probe
from giftless.commands.doctor.command import examine
from giftless.commands.doctor.session import Session
from giftless.commands.findings import Finding, Report
from tests.agent.server import Answer, Asked, Server
from tests.client.support import ClientTestCase, SmallServer
from tests.support.blocking import InlineBlocking
from tests.support.reactor import reactor

DATA = b"rocket" * 1000
OID = hashlib.sha256(DATA).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(DATA)}\n"


class StoringElsewhere(SmallServer):
    """An LFS server whose objects are on another server.

    :ivar store: the URL of that.
    """

    store = ""

    def _batch(self, request: dict[str, Any]) -> Answer:
        answer = super()._batch(request)
        body = answer.body.decode().replace(f"{self.http.url}/data", f"{self.store}/data")
        return Answer(200, body.encode())


class Collected(Report):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""
        super().__init__(False, "user", self._take)
        self.found: list[Finding] = []

    def _take(self, text: str) -> None:
        self.text += text

    def add(self, finding: Finding) -> None:
        """Keep a finding."""
        self.found.append(finding)
        super().add(finding)

    def of(self, *verdicts: str) -> dict[str, Finding]:
        """Return the findings with some verdicts, by check."""
        return {each.check: each for each in self.found if each.verdict in verdicts}

    @property
    def alarms(self) -> dict[str, Finding]:
        """What is not as it should be."""
        return self.of("warning", "failed")


class DoctorTestCase(ClientTestCase):
    """A clone whose object the servers have."""

    def setUp(self) -> None:
        """Make the clone."""
        super().setUp()
        self.path = self.home / "work"
        self.git("init", "--quiet", str(self.path))
        self.git("config", "--global", "filter.lfs.process", "git-lfs filter-process")
        (self.path / "data.bin").write_text(POINTER)
        self.git("add", "data.bin", cwd=self.path)
        self.git("commit", "--quiet", "-m", "Add data", cwd=self.path)

    async def doctor(self, url: str, *, read_only: bool = False) -> Collected:
        """Make all checks of a server.

        :param url: what ``lfs.url`` is; empty for what ``.lfsconfig`` says.
        """
        if url:
            self.git("config", "lfs.url", url, cwd=self.path)
        blocking = InlineBlocking()
        clone = Clone(self.path)
        agent = GitAgent(reactor, blocking, settings_for)
        credentials = Credentials(blocking, self.path, environ=os.environ)
        session = Session(
            clone,
            None,
            client_over(agent),
            credentials,
            blocking,
            reactor,
            read_only=read_only,
        )
        report = Collected()
        try:
            await examine(session, report, quiet=True)
        finally:
            await agent.close()
        for finding in report.alarms.values():
            self.assertTrue(finding.user or finding.operator, finding)
        return report

    def store(self, user: str, password: str) -> None:
        """Let git's helpers know a credential."""
        helper = f"!f() {{ echo username={user}; echo password={password}; }}; f"
        self.git("config", "--global", "credential.helper", helper)


class OtherServerTests(DoctorTestCase):
    """Servers that are no giftless are served as well."""

    async def test_another_make_is_examined_without_an_alarm(self) -> None:
        server = SmallServer(self, [DATA])
        report = await self.doctor(server.url)
        self.assertEqual(report.alarms, {})
        checks = "server", "objects", "write", "urls", "upload", "download", "range", "body-limit"
        self.assertLessEqual(set(checks), set(report.of("ok")))
        self.assertIn("no file locks", report.of("skipped")["locks"].found)
        self.assertEqual(server.objects, {OID: DATA, probe.OID: probe.CONTENT})
        self.assertEqual(server.verified, [probe.OID])

    async def test_objects_on_another_server_raise_no_alarm(self) -> None:
        server = StoringElsewhere(self, [DATA])
        store = Server(self, server._transfer)
        server.store = store.url

        def take(asked: Asked) -> Answer:
            return server._transfer(asked) if "/data/" in asked.path else Answer(403, b"<Error/>")

        store.answer = take
        report = await self.doctor(server.url)
        self.assertEqual(report.alarms, {})
        told = [each.found for each in report.found if each.check == "urls"]
        self.assertTrue(any(f"another server, {store.url}" in each for each in told), told)
        self.assertEqual(len([a for a in store.asked if a.method == "PUT"]), 1)

    async def test_two_names_of_this_machine_raise_no_alarm(self) -> None:
        server = SmallServer(self, [DATA])
        server.extra = {"header": {"Giftless-Action": "token"}}
        report = await self.doctor(server.url.replace("127.0.0.1", "localhost"))
        self.assertEqual(report.alarms, {})

    async def test_a_server_that_calls_itself_another_port_of_this_machine_is_told(self) -> None:
        server, proxy = StoringElsewhere(self, [DATA]), SmallServer(self)
        server.extra = {"header": {"Giftless-Action": "token"}}
        server.store = proxy.http.url
        report = await self.doctor(server.url, read_only=True)
        self.assertEqual(set(report.alarms), {"urls"})
        self.assertIn(f"it calls itself {proxy.http.url}", report.alarms["urls"].found)

    async def test_a_store_that_cannot_be_reached_is_named(self) -> None:
        server = StoringElsewhere(self, [DATA])
        server.store = "http://bucket.s3.invalid"
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"urls"})
        self.assertIn("go to http://bucket.s3.invalid, which", report.alarms["urls"].found)
        self.assertIn("public_endpoint_url", report.alarms["urls"].operator)
        self.assertNotIn("upload", report.of("ok"))

    async def test_chunked_uploads_are_sent_in_chunks(self) -> None:
        server = SmallServer(self, [DATA])
        server.extra = {"header": {"Transfer-Encoding": "chunked"}}
        report = await self.doctor(server.url)
        self.assertEqual(report.alarms, {})
        (put,) = server.asked("PUT", probe.OID)
        self.assertEqual(put.headers["transfer-encoding"], "chunked")
        self.assertEqual(server.objects[probe.OID], probe.CONTENT)

    async def test_a_redirection_is_followed_and_told(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            if not asked.path.startswith("/old"):
                return None
            there = asked.path.replace("/old", server.url.removeprefix(server.http.url))
            return Answer(307, b"", {"Location": f"{server.http.url}{there}"})

        server.fault = fault
        report = await self.doctor(f"{server.http.url}/old")
        self.assertEqual(set(report.alarms), {"server"})
        self.assertIn(f"write lfs.url as {server.url}", report.alarms["server"].user)
        self.assertIn("upload", report.of("ok"))

    async def test_the_agent_would_help_with_large_files(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            if b'"giftless"' not in asked.body:
                return None
            answer = server._batch(json.loads(asked.body))
            return Answer(200, answer.body.replace(b'"basic"', b'"giftless"'))

        server.fault = fault
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"agent"})
        self.assertIn("giftless-transfer-agent install", report.alarms["agent"].user)


class AccessTests(DoctorTestCase):
    """Credentials, and what they permit."""

    async def test_a_credential_of_a_helper_is_used(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "ada:secret"
        self.store("ada", "secret")
        report = await self.doctor(server.url)
        self.assertEqual(report.alarms, {})
        self.assertIn("of ada from git's", report.of("ok")["credential"].found)
        self.assertNotIn("secret", report.text)

    async def test_a_wrong_password_is_told(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "ada:secret"
        self.store("ada", "guess")
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"credential"})
        alarm = report.alarms["credential"]
        self.assertIn("refuses the credential of ada", alarm.found)
        self.assertIn("git credential reject", alarm.user)
        self.assertNotIn("guess", report.text)
        # Not again and again: guesses are counted.
        tried = [a for a in server.http.asked if "authorization" in a.headers]
        self.assertEqual(len(tried), 1)

    async def test_a_token_needs_the_right_user_name(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "ada:secret"
        claims = base64.urlsafe_b64encode(b'{"exp": 9999999999}').decode().rstrip("=")
        self.store("ada", f"e30.{claims}.c2ln")
        report = await self.doctor(server.url)
        self.assertIn("the password of the user _jwt", report.alarms["credential"].user)

    async def test_a_repository_that_is_hidden_from_strangers_is_shown_to_users(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            shown = "authorization" in asked.headers or "/data/" in asked.path
            return None if shown else Answer(404, b'{"message": "not found"}')

        server.fault = fault
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"credential"})
        self.assertIn("shows nothing there to strangers", report.alarms["credential"].found)
        self.store("ada", "secret")
        report = await self.doctor(server.url)
        self.assertEqual({k for k in report.alarms if k != "locks"}, set())
        self.assertIn("upload", report.of("ok"))

    async def test_a_credential_without_rights_is_told(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            known = "authorization" in asked.headers
            words = b'{"message": "ada may not read this"}' if known else b'{"message": "who?"}'
            return Answer(403 if known else 401, words)

        server.fault = fault
        self.store("ada", "secret")
        report = await self.doctor(server.url)
        self.assertIn("ada may not read this", report.alarms["credential"].found)
        self.assertIn("the right to the repository", report.alarms["credential"].operator)


class MisbehavingTests(DoctorTestCase):
    """Servers and proxies that do something else than they should."""

    async def test_a_download_that_is_changed_on_its_way_is_told(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            return (
                Answer(200, probe.CONTENT.upper())
                if asked.method == "GET" and ("/data/" in asked.path)
                else None
            )

        server.fault = fault
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"download"})
        self.assertIn("are not the object's", report.alarms["download"].found)

    async def test_a_lock_that_cannot_be_released_is_told(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            if asked.path.endswith("/unlock"):
                return Answer(405, b"<html>")
            if asked.path.endswith("/locks"):
                return Answer(201, b'{"lock": {"id": "7"}}')
            return Answer(200, b'{"locks": []}') if "/locks?" in asked.path else None

        server.fault = fault
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"locks"})
        self.assertIn("git lfs unlock --force --id=7", report.alarms["locks"].user)

    async def test_an_upload_that_a_proxy_refuses_for_its_size_is_told(self) -> None:
        server = SmallServer(self, [DATA])
        server.fault = lambda asked: Answer(413, b"<html>") if len(asked.body) > 900_000 else None
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"body-limit"})
        self.assertIn("client_max_body_size", report.alarms["body-limit"].operator)

    async def test_a_server_that_fails_is_told_with_its_words(self) -> None:
        server = SmallServer(self, [DATA])
        server.fault = lambda _: Answer(500, b'{"message": "oh \\u001b[2Jno"}')
        report = await self.doctor(server.url)
        self.assertEqual(set(report.alarms), {"server"})
        self.assertIn("500: oh", report.text)
        self.assertNotIn("\x1b", report.text)

    async def test_whatever_a_server_replies_the_checks_end(self) -> None:
        action = {"href": "http://h.invalid/"}
        upload = {"oid": probe.OID, "size": probe.SIZE}
        for objects in (
            None,
            [],
            [7],
            [{**upload, "actions": 7}],
            [{**upload, "actions": {"upload": {"href": "/relative"}}}],
            [{**upload, "actions": {"upload": {"href": "http://[::1/"}}}],
            [{**upload, "actions": {"upload": {"href": "http://h:99999/"}}}],
            [{**upload, "actions": {"upload": {**action, "header": {"a\r\nb": "c"}}}}],
            [{**upload, "actions": {"upload": {**action, "expires_at": "x"}}}],
            [{**upload, "error": {"code": "x", "message": 7}}],
        ):
            server = SmallServer(self, [DATA])
            body = json.dumps({"objects": objects}).encode()
            server.fault = lambda asked, body=body: Answer(200, body)  # type: ignore[misc]
            report = await self.doctor(server.url)
            self.assertTrue(report.alarms, objects)

    async def test_git_that_does_not_call_git_lfs_is_told(self) -> None:
        self.git("config", "--global", "--unset", "filter.lfs.process")
        report = await self.doctor(SmallServer(self, [DATA]).url)
        self.assertEqual(report.alarms["git-lfs"].user, "run: git lfs install")

    async def test_a_password_that_is_committed_is_told(self) -> None:
        server = SmallServer(self, [DATA])
        url = server.url.replace("http://", "http://ada:secret@")
        self.git("config", "-f", ".lfsconfig", "lfs.url", url, cwd=self.path)
        report = await self.doctor("")
        self.assertIn("everybody who can clone reads it", report.alarms["lfs.url"].found)
        self.assertNotIn("secret", report.text)
