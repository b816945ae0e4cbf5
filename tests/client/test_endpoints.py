"""SSH tells where the server is."""

from __future__ import annotations

import json
from pathlib import Path

from giftless.client.endpoints import SSHRemote, authenticate, endpoint_of_remote
from giftless.client.errors import ServerError
from giftless.lfs.objects import Operation
from tests.client.support import ClientTestCase, SmallServer, oid_of

REMOTE = SSHRemote("git@h.example", 2222, "/acme/it's.git")


class SSHTests(ClientTestCase):
    def ssh(self, printed: object, status: int = 0) -> Path:
        """Let SSH print something; returns the file that has its arguments, one a line."""
        path = self.home / "ssh"
        text = printed if isinstance(printed, str) else json.dumps(printed)
        (self.home / "printed").write_text(text)
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >> {self.home}/arguments\n'
            f"cat {self.home}/printed\necho no such repository >&2\nexit {status}\n"
        )
        path.chmod(0o755)
        self.patch_environ("GIT_SSH_COMMAND", str(path))
        return self.home / "arguments"

    def test_ssh_is_asked_as_git_lfs_asks(self) -> None:
        arguments = self.ssh({"href": "https://lfs.example/x/", "header": {"A": "b"}})
        found = authenticate(REMOTE, "upload", ask=False)
        self.assertEqual(found, ("https://lfs.example/x", {"A": "b"}))
        *options, host, command = arguments.read_text().splitlines()
        self.assertEqual(options, ["-oBatchMode=yes", "-p", "2222", "--"])
        self.assertEqual(host, "git@h.example")
        self.assertEqual(command, "git-lfs-authenticate '/acme/it'\"'\"'s.git' upload")

    def test_what_fails_is_told(self) -> None:
        self.ssh("", status=1)
        error = self.assertRaises(ServerError, authenticate, REMOTE, "upload", ask=False)
        self.assertIn("no such repository", error.problem)
        answers: list[object] = ["Welcome!", [], {"header": 7}, {"href": "file:///etc/passwd"}]
        for printed in answers:
            self.ssh(printed)
            self.assertRaises(ServerError, authenticate, REMOTE, "upload", ask=False)

    async def test_a_server_behind_ssh_is_spoken_to(self) -> None:
        data = b"rocket"
        server = SmallServer(self, [data])
        server.user = "tess:secret"
        arguments = self.ssh(
            {"href": server.url, "header": {"Authorization": "Basic dGVzczpzZWNyZXQ="}}
        )
        client = self.connections().server(endpoint_of_remote("git@h.example:acme/rocket.git"))
        for _ in range(2):
            reply = await client.batch(Operation.DOWNLOAD, {oid_of(data): 6})
        self.assertIn("download", reply.objects[0].actions)
        self.assertEqual(arguments.read_text().count("git-lfs-authenticate"), 1)
