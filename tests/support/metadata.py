"""Fake metadata services on the loopback interface: who runs in a cloud asks them.

``/creds`` is a container's (ECS, EKS Pod Identity), ``/latest/...`` an
instance's (EC2, IMDSv2), as AWS documents them.
"""

from __future__ import annotations

import datetime
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What opens the container's endpoint.
AUTHORIZATION = "a container's token"

#: What opens the instance's endpoints, once it was asked for.
SESSION = "an instance's session"

_ROLE = "/latest/meta-data/iam/security-credentials/"


class FakeMetadata:
    """A metadata service; a context manager.

    :ivar key: the access key id of the credentials that it gives out.
    :ivar lifetime: how many seconds they are good for.
    :ivar delay: how many seconds each answer takes.
    :ivar broken: whether it fails with 500.
    :ivar tokens: whether the credentials have a session token; without, a store
        that knows no sessions can be told of them.
    :ivar paths: what was asked for, in order.
    """

    def __init__(self) -> None:
        self.key = "ASIAFIRST"
        self.lifetime = 3600.0
        self.delay = 0.0
        self.broken = False
        self.tokens = True
        self.paths: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.paths.append(self.path)
                time.sleep(fake.delay)
                self.reply(*fake.answer(self.path, self.headers))

            def do_PUT(self) -> None:
                fake.paths.append(self.path)
                self.reply(200, SESSION)

            def reply(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> FakeMetadata:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, headers: Any) -> tuple[int, str]:
        """Answer a GET."""
        if self.broken:
            return 500, "broken"
        if path == "/creds":
            if headers["Authorization"] != AUTHORIZATION:
                return 401, "no"
            return 200, self.credentials()
        if headers["X-aws-ec2-metadata-token"] != SESSION:
            return 401, "no"
        if path == _ROLE:
            return 200, "lfs-role"
        if path == f"{_ROLE}lfs-role":
            return 200, self.credentials()
        return 404, "nothing"

    def credentials(self) -> str:
        """Return the credentials."""
        now = datetime.datetime.now(datetime.UTC)
        expiry = now + datetime.timedelta(seconds=self.lifetime)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "Type": "AWS-HMAC",
                "AccessKeyId": self.key,
                "SecretAccessKey": f"secret of {self.key}",
                "Token": f"token of {self.key}" if self.tokens else "",
                "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )

    def container(self) -> dict[str, str]:
        """Return the environment of a container."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/creds",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": AUTHORIZATION,
        }

    def instance(self) -> dict[str, str]:
        """Return the environment of an instance."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}
