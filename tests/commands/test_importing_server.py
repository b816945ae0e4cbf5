"""``giftless import server``, as a process, from a small server and from a real one."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.agent.server import Answer, Asked
from tests.client.support import SmallServer
from tests.commands.test_importing import ImportTestCase
from tests.support.bodies import altered
from tests.support.making import oid_of

DATA = [b"object %d" % number * 1000 for number in range(4)]

ENVIRON = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


class ServerTests(ImportTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = SmallServer(self, DATA)

    def list_of(self, *objects: bytes) -> str:
        """List objects with their sizes."""
        return "".join(f"{oid_of(data)} {len(data)}\n" for data in objects)

    def run_server(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        """Import by a list on stdin."""
        command = ("server", "--list", "-", *arguments, self.server.url, "acme/rocket")
        return self.run_import(*command, status=status, stdin=stdin or self.list_of(*DATA))

    def results(self, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
        """Import, and return what is printed as JSON."""
        printed = self.run_server("--json", *arguments, status=status)
        return [json.loads(line) for line in printed.splitlines()]

    def test_what_a_list_names_is_imported_and_recorded(self) -> None:
        self.assertIn("4 objects stored", self.run_server())
        for data in DATA:
            self.assertTrue(self.is_there(data, "acme/rocket"))
        self.assertEqual(self.recorded(), {oid_of(data) for data in DATA})

    def test_a_second_run_asks_for_nothing(self) -> None:
        self.run_server()
        before = len(self.server.http.asked)
        self.assertIn("4 objects here already", self.run_server())
        self.assertEqual(len(self.server.http.asked), before)

    def test_a_dry_run_stores_nothing(self) -> None:
        self.assertIn("4 objects to be stored", self.run_server("--dry-run"))
        self.assertFalse(self.is_there(DATA[0], "acme/rocket"))
        self.assertEqual(self.server.http.asked, [])

    def test_wrong_bytes_are_not_stored(self) -> None:
        self.server.objects[oid_of(DATA[0])] = altered(DATA[0])
        *findings, last = self.results(status=2)
        self.assertEqual([(e["oid"], e["result"]) for e in findings], [(oid_of(DATA[0]), "wrong")])
        self.assertEqual(last["summary"]["objects"], {"stored": 3, "wrong": 1})
        self.assertFalse(self.is_there(DATA[0], "acme/rocket"))

    def test_what_the_server_lacks_is_told(self) -> None:
        del self.server.objects[oid_of(DATA[1])]
        *findings, last = self.results(status=2)
        self.assertEqual([each["result"] for each in findings], ["missing"])
        self.assertEqual(last["summary"]["objects"], {"missing": 1, "stored": 3})

    def test_a_server_that_limits_requests_is_waited_for(self) -> None:
        limited: list[Asked] = []

        def fault(asked: Asked) -> Answer | None:
            if asked.method == "GET" and len(limited) < 2:
                limited.append(asked)
                return Answer(429, headers={"Retry-After": "1"})
            return None

        self.server.fault = fault
        self.assertIn("4 objects stored", self.run_server())

    def test_actions_into_the_network_are_refused(self) -> None:
        self.server.extra = {"href": "http://169.254.169.254/latest/meta-data"}
        findings = self.results(status=2)[:-1]
        self.assertEqual({each["result"] for each in findings}, {"unreadable"})
        self.assertIn("169.254.169.254 has no address that this server", findings[0]["problem"])

    def test_a_server_of_html_is_told_in_one_line(self) -> None:
        self.server.fault = lambda asked: Answer(200, b"<html>Welcome!</html>")
        self.assertIn("the reply is no JSON", self.run_server(status=1))

    def test_the_urls_credential_is_used_and_not_shown(self) -> None:
        self.server.user = "tess:secret"
        url = self.server.url.replace("://", "://tess:secret@")
        command = ("server", "--list", "-", url, "acme/rocket")
        self.assertIn("stored", self.run_import(*command, stdin=self.list_of(*DATA)))
        self.server.user = "tess:other"
        self.server.objects[oid_of(b"new")] = b"new"
        said = self.run_import(*command, stdin=self.list_of(b"new"), status=1)
        self.assertIn("401", said)
        self.assertNotIn("secret", said)

    def test_a_clone_tells_what_to_import(self) -> None:
        repo = self.directory / "repo"
        environ = {**os.environ, **ENVIRON, "HOME": str(self.directory)}

        def git(*arguments: str) -> None:
            command = ["git", "-c", "user.name=T", "-c", "user.email=t@e", *arguments]
            subprocess.run(command, cwd=repo, env=environ, check=True, capture_output=True)

        repo.mkdir()
        git("init", "--quiet")
        for data in DATA[:2]:
            (repo / oid_of(data)).write_text(
                "version https://git-lfs.github.com/spec/v1\n"
                f"oid sha256:{oid_of(data)}\nsize {len(data)}\n"
            )
        git("add", ".")
        git("commit", "--quiet", "-m", "Add pointers")
        printed = self.run_import("server", "--from", str(repo), self.server.url, "acme/rocket")
        self.assertIn("2 objects stored", printed)
        self.assertFalse(self.is_there(DATA[2], "acme/rocket"))

    def test_command_lines_that_make_no_sense(self) -> None:
        for arguments, words in (
            (["ftp://h/r", "a/b"], "is no server"),
            (["http://h/r", "a/b"], "names no git repository"),
            (["http://h/r.git"], "say which server"),
            (["--network", "x", "http://h/r.git", "a/b"], "is no network"),
            (["--jobs", "0", "http://h/r.git", "a/b"], "--jobs"),
        ):
            self.assertIn(words, self.run_import("server", *arguments, status=1))
