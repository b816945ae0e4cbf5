"""Uploads that are asked for in chunks, without a Content-Length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from giftless.auth.actions import ActionOptions
from giftless.web.limits import Limits
from tests.support.making import oid_of
from tests.web.support import GIT_LFS, FrontTestCase, Response, batch_body, chunked

API = "/acme/rocket.git/info/lfs"
AGENT = "giftless-transfer-agent/1.0.0"

#: From nothing to what spans several reads and, below, three parts.
SIZES = (0, 1, 100, 300_000)
PART = 100_000


class ChunkedTestCase(FrontTestCase):
    """A server that asks for chunks."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(
            actions=ActionOptions(chunked_uploads=True, verify="always"),
            part_size=PART,
            limits=Limits(object_size=400_000),
        )

    def actions(
        self, operation: str, data: bytes, client: str = GIT_LFS, *transfers: str
    ) -> Mapping[str, Any]:
        body = json.loads(batch_body(operation, {"oid": oid_of(data), "size": len(data)}))
        body["transfers"] = ["basic", *transfers]
        response = self.request(
            "POST", f"{API}/objects/batch", {"User-Agent": client}, json.dumps(body).encode()
        )
        actions: Mapping[str, Any] = response.json["objects"][0].get("actions", {})
        return actions

    def do(
        self, action: Mapping[str, Any], method: str, body: bytes = b"", raw: bytes | None = None
    ) -> Response:
        """Send an action with exactly its headers.

        :param body: sent in chunks if the action asks for that.
        :param raw: sent instead, as it is.
        """
        header = dict(action["header"])
        if raw is None:
            pieces = [body[i : i + 7000] for i in range(0, len(body), 7000)]
            raw = chunked(*pieces) if "Transfer-Encoding" in header else body
        target = action["href"].removeprefix("http://lfs.example")
        return self.request(method, target, header, raw)

    def data(self, size: int) -> bytes:
        """Return bytes that are no others'."""
        return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


class BasicTests(ChunkedTestCase):
    """Whole objects."""

    def test_objects_of_each_size_arrive(self) -> None:
        for size in SIZES:
            data = self.data(size)
            actions = self.actions("upload", data)
            self.assertEqual(actions["upload"]["header"]["Transfer-Encoding"], "chunked")
            self.assertNotIn("Transfer-Encoding", actions["verify"]["header"])
            self.assertEqual(self.do(actions["upload"], "PUT", data).status, 200)
            verification = json.dumps({"oid": oid_of(data), "size": size}).encode()
            self.assertEqual(self.do(actions["verify"], "POST", verification).status, 200)
            download = self.actions("download", data)["download"]
            self.assertNotIn("Transfer-Encoding", download["header"])
            self.assertEqual(self.do(download, "GET").body, data)

    def test_a_body_of_another_size_is_refused(self) -> None:
        """The batch has announced the size, and nothing else is taken."""
        for size in SIZES:
            data = self.data(size)
            for other in (data + b"x", data[:-1], data + bytes(200_000), b""):
                if other == data:
                    continue
                action = self.actions("upload", data)["upload"]
                self.assert_error(self.do(action, "PUT", other), 400)
        self.assertEqual(self.front.objects(), {})

    def test_other_bytes_of_the_size_are_refused(self) -> None:
        for size in SIZES[1:]:
            data = self.data(size)
            action = self.actions("upload", data)["upload"]
            self.assert_error(self.do(action, "PUT", bytes(size)), 400)
        self.assertEqual(self.front.objects(), {})

    def test_a_body_that_ends_in_the_middle_is_refused(self) -> None:
        for size in SIZES[1:]:
            data = self.data(size)
            action = self.actions("upload", data)["upload"]
            connection = self.connect()
            target = action["href"].removeprefix("http://lfs.example")
            lines = [f"PUT {target} HTTP/1.1", "Host: lfs.example"]
            lines += [f"{name}: {value}" for name, value in action["header"].items()]
            connection.send("\r\n".join([*lines, "", ""]).encode() + b"%x\r\n" % size + data)
            self.pass_time(1)
            self.assertEqual(connection.received, b"")
            connection.disconnect()
        self.assertEqual(self.front.objects(), {})

    def test_an_object_beyond_the_limit_is_refused(self) -> None:
        data = self.data(400_001)
        response = self.request(
            "POST",
            f"{API}/objects/batch",
            {"User-Agent": GIT_LFS},
            batch_body("upload", {"oid": oid_of(data), "size": len(data)}),
        )
        self.assertEqual(response.json["objects"][0]["error"]["code"], 413)
        # Without a batch, nothing has announced a size.
        target = f"{API}/objects/storage/{oid_of(data)}"
        response = self.request("PUT", target, {"Transfer-Encoding": "chunked"}, chunked(data))
        self.assert_error(response, 413)
        self.assertEqual(self.front.objects(), {})

    def test_a_length_beside_the_chunks_is_refused(self) -> None:
        """Two parties could read it differently."""
        data = self.data(100)
        action = self.actions("upload", data)["upload"]
        action["header"]["Content-Length"] = "100"
        self.assert_error(self.do(action, "PUT", data), 400)

    def test_clients_that_cannot_are_not_asked(self) -> None:
        """giftless-client would send a length as well."""
        data = self.data(100)
        for client, asked in (
            (GIT_LFS, True),
            ("git-lfs/1.5.6 (GitHub; linux amd64; go 1.7.4)", True),
            (AGENT, True),
            ("curl/8.0", True),
            ("", True),
            ("python-requests/2.32.5", False),
            ("Apache-HttpClient/5.4 (Java/21)", False),
        ):
            header = self.actions("upload", data, client)["upload"]["header"]
            self.assertEqual("Transfer-Encoding" in header, asked, client)
            action = {**self.actions("upload", data, client)["upload"]}
            self.assertEqual(self.do(action, "PUT", data).status, 200)
            self.serve(actions=ActionOptions(chunked_uploads=True))

    def test_nobody_is_asked_by_default(self) -> None:
        self.serve()
        data = self.data(100)
        for action in self.actions("upload", data).values():
            self.assertNotIn("Transfer-Encoding", action["header"])


class PartTests(ChunkedTestCase):
    """Parts of objects."""

    def test_parts_arrive_and_become_the_object(self) -> None:
        data = self.data(250_001)
        parts = self.actions("upload", data, AGENT, "multipart-basic")
        for part in parts["parts"]:
            self.assertEqual(part["header"]["Transfer-Encoding"], "chunked")
            piece = data[part["pos"] :][: part["size"]]
            for wrong in (piece[:-1], piece + b"x"):
                self.assert_error(self.do(part, "PUT", wrong), 400)
            self.assertEqual(self.do(part, "PUT", piece).status, 200)
        self.assertNotIn("Transfer-Encoding", parts["commit"]["header"])
        self.assertEqual(self.do(parts["commit"], "POST").status, 200)
        self.assertEqual(self.front.objects(), {f"acme/rocket/{oid_of(data)}": data})

    def test_the_agent_is_asked_when_it_asks(self) -> None:
        """git-lfs hands it the first action; what it is answered counts for the agent."""
        data = self.data(250_001)
        upload = self.actions("upload", data, GIT_LFS, "giftless")["upload"]
        self.assertNotIn("Transfer-Encoding", upload["header"])
        for client, asked in ((AGENT, True), ("python-requests/2.32.5", False)):
            upload["header"]["User-Agent"] = client
            plan = self.do(upload, "POST").json["actions"]
            for part in plan["parts"]:
                self.assertEqual("Transfer-Encoding" in part["header"], asked)

    def test_giftless_client_is_not_asked(self) -> None:
        data = self.data(250_001)
        parts = self.actions("upload", data, "python-requests/2.32.5", "multipart-basic")
        for part in parts["parts"]:
            self.assertNotIn("Transfer-Encoding", part["header"])
