"""A small HTTP server that takes one object by tus, and fails as a test tells it."""

from __future__ import annotations

import hashlib
import json
from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from tests.agent.server import Answer, Asked, Cut, Fault, Server

#: Where its upload is.
UPLOAD = "/tus"


class ResumingServer:
    """Takes one object, as giftless does: resumed if the agent can, else by one PUT.

    :param data: the object.
    :ivar received: what has come of the upload.
    :ivar stored: the object, once it is there.
    :ivar breaks: after how many bytes the next uploads break off; what has come is kept.
    :ivar fault: what goes wrong.
    """

    def __init__(self, case: SynchronousTestCase, data: bytes) -> None:
        self.oid = hashlib.sha256(data).hexdigest()
        self.size = len(data)
        self.received = b""
        self.stored: bytes | None = None
        self.breaks: deque[int] = deque()
        self.fault: Fault = lambda asked: None
        self.http = Server(case, self._answer)
        self.http.enough = self._enough

    @property
    def sent(self) -> list[tuple[int, int]]:
        """Where each upload went on, and how many bytes of it came."""
        return [
            (int(asked.headers["upload-offset"]), len(asked.body))
            for asked in self.http.asked
            if asked.method == "PATCH"
        ]

    def _enough(self, asked: Asked) -> int | None:
        return self.breaks[0] if asked.method == "PATCH" and self.breaks else None

    def _answer(self, asked: Asked) -> Answer:
        if (answer := self.fault(asked)) is not None:
            return answer
        if asked.headers.get("authorization") != "Bearer token":
            return Answer(403, b'{"message": "no token"}')
        if asked.method == "POST":
            return self._plan("tus-resumable" in asked.headers)
        if asked.method == "PUT":
            self.stored = asked.body
            return Answer(200, b"{}")
        assert asked.headers["tus-resumable"] == "1.0.0"
        return self._told() if asked.method == "HEAD" else self._take(asked)

    def _plan(self, resumes: bool) -> Answer:
        plan: dict[str, object] = {"oid": self.oid, "size": self.size}
        header = {"Authorization": "Bearer token"}
        if self.stored is None:
            upload = {"href": f"{self.http.url}{UPLOAD}", "header": header}
            part = {"href": f"{self.http.url}/put", "header": header, "pos": 0, "size": self.size}
            plan["actions"] = {"resume": upload} if resumes else {"parts": [part]}
        return Answer(200, json.dumps(plan).encode())

    def _take(self, asked: Asked) -> Answer:
        if int(asked.headers["upload-offset"]) != len(self.received):
            return Answer(409, b'{"message": "it does not go on there"}')
        self.received += asked.body
        if self.breaks:
            self.breaks.popleft()
            raise Cut
        if len(self.received) == self.size:
            if hashlib.sha256(self.received).hexdigest() != self.oid:
                self.received = b""
                return Answer(400, b'{"message": "the SHA-256 is another"}')
            self.stored = self.received
        return self._told(204)

    def _told(self, status: int = 200) -> Answer:
        offset = len(self.received) if self.stored is None else self.size
        return Answer(status, headers={"Upload-Offset": str(offset)})
