"""A small LFS server that does what a test tells it, and clients of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from giftless.client.connections import Connections
from giftless.client.endpoints import endpoint_of
from giftless.client.errors import ServerError
from giftless.client.server import LFSServerClient
from tests.agent.server import Answer, Asked, Server
from tests.support.blocking import InlineBlocking
from tests.support.processes import PATIENCE
from tests.support.reactor import reactor


def oid_of(data: bytes) -> str:
    """Return the oid of an object."""
    return hashlib.sha256(data).hexdigest()


class SmallServer:
    """An LFS server in memory.

    :ivar objects: what it has, by oid.
    :ivar fault: answers requests before it does; ``None`` leaves them to it.
    :ivar user: ``user:password`` that it wants; empty for none.
    :ivar extra: members of each action.
    :ivar verified: the oids that were verified.
    """

    def __init__(self, case: SynchronousTestCase, objects: Iterable[bytes] = ()) -> None:
        self.objects = {oid_of(data): data for data in objects}
        self.fault: Callable[[Asked], Answer | None] = lambda asked: None
        self.user = ""
        self.extra: dict[str, Any] = {}
        self.verified: list[str] = []
        self.http = Server(case, self._answer)

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"{self.http.url}/acme/rocket.git/info/lfs"

    def asked(self, method: str, end: str) -> list[Asked]:
        """Return the requests of a method to paths with a certain end."""
        return [a for a in self.http.asked if a.method == method and a.path.endswith(end)]

    def _answer(self, asked: Asked) -> Answer:
        if (answer := self.fault(asked)) is not None:
            return answer
        if "/data/" in asked.path:
            return self._transfer(asked)
        pair = base64.b64encode(self.user.encode()).decode()
        if self.user and asked.headers.get("authorization") != f"Basic {pair}":
            return Answer(401, b'{"message": "who are you?"}')
        if asked.path.endswith("/objects/batch"):
            return self._batch(json.loads(asked.body))
        if asked.path.endswith("/verify"):
            self.verified.append(json.loads(asked.body)["oid"])
            return Answer(200, b"{}")
        return Answer(404, b'{"message": "there is no such endpoint"}')

    def _transfer(self, asked: Asked) -> Answer:
        oid = asked.path.rpartition("/")[2]
        if asked.method == "PUT":
            self.objects[oid] = asked.body
            return Answer(200)
        data = self.objects[oid]
        if (wanted := asked.headers.get("range")) is not None:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            given = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Answer(206, data[start:], given)
        return Answer(200, data)

    def _batch(self, request: dict[str, Any]) -> Answer:
        upload = request["operation"] == "upload"
        replies = []
        for item in request["objects"]:
            oid = item["oid"]
            reply: dict[str, Any] = {"oid": oid, "size": item["size"]}
            action = {"href": f"{self.http.url}/data/{oid}", **self.extra}
            if oid in self.objects and not upload:
                reply["size"] = len(self.objects[oid])
                reply["actions"] = {"download": action}
            elif oid not in self.objects and upload:
                verify = {"href": f"{self.url}/verify", **self.extra}
                reply["actions"] = {"upload": action, "verify": verify}
            elif not upload:
                reply["error"] = {"code": 404, "message": "there is no such object"}
            replies.append(reply)
        return Answer(200, json.dumps({"transfer": "basic", "objects": replies}).encode())


class ClientTestCase(TestCase):
    """Tests with a client, a server, and git's configuration of a user of their own.

    :ivar home: the user's home.
    """

    timeout = PATIENCE

    def setUp(self) -> None:
        """Make the user."""
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name.startswith("GIT_"):
                self.patch_environ(name, None)
        for name, value in {
            "HOME": str(self.home),
            "GIT_CEILING_DIRECTORIES": str(self.home.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "XDG_CONFIG_HOME": str(self.home / "config"),
        }.items():
            self.patch_environ(name, value)
        (self.home / ".gitconfig").write_text(
            "[user]\nname = Tess Ter\nemail = tess@example.com\n[init]\ndefaultBranch = main\n"
        )

    def patch_environ(self, name: str, value: str | None) -> None:
        """Set a variable until the test ends; ``None`` removes it."""
        before = os.environ.get(name)
        self.addCleanup(self._set, name, before)
        self._set(name, value)

    def _set(self, name: str, value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git."""
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.home, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    async def failing(self, work: Coroutine[Any, Any, Any]) -> ServerError:
        """Return the error that some work ends in."""
        error: ServerError = await self.assertFailure(Deferred.fromCoroutine(work), ServerError)
        return error

    def connections(self, **options: Any) -> Connections:
        """Make connections, which are closed when the test ends."""
        options = {"attempts": 3, "timeout": 30.0, **options}
        made = Connections(reactor, InlineBlocking(), **options)
        self.addCleanup(lambda: made._agent.close())
        return made

    def client(self, url: str, **options: Any) -> LFSServerClient:
        """Make the client of a server."""
        return self.connections(**options).server(endpoint_of(url))
