"""What the daemon writes down, and what it never does."""

import base64
import json
import os

from tests.integration.sharing import SharingTestCase
from tests.integration.support import (
    REPO,
    Daemon,
    IntegrationTestCase,
    object_path,
    oid_of,
    stored_objects,
    upload_head,
)
from tests.support.processes import ENDED, wait_until

MIB = 1024 * 1024


#: Gives each upload a verification.
VERIFIED = {"actions": {"verify": "always"}}


def run_requests(daemon: Daemon) -> list[str]:
    """Send one request of each kind, with credentials in every place for one.

    :param daemon: gives each upload a verification.
    :returns: secrets that were sent or received.
    """
    password = "correct-horse-battery"
    basic = base64.b64encode(f"user:{password}".encode()).decode()
    reply = daemon.batch(
        "upload", (oid_of(b"logged"), 6), headers={"Authorization": f"Basic {basic}"}
    )
    actions = reply.json["objects"][0]["actions"]
    token = actions["upload"]["header"]["Giftless-Action"]
    path = object_path(oid_of(b"logged"))
    assert daemon.request("PUT", f"{path}?jwt={token}", b"logged").status == 200
    body = json.dumps({"oid": oid_of(b"logged"), "size": 6}).encode()
    verify = actions["verify"]["href"].removeprefix(daemon.url)
    assert daemon.request("POST", verify, body, actions["verify"]["header"]).status == 200
    assert daemon.request("GET", f"{path}?filename=a.txt&jwt={token}").status == 403
    forged = f"{token[:-3]}AAA"
    assert daemon.request("GET", path, None, {"Authorization": f"Bearer {forged}"}).status == 403
    shown = {"Giftless-Action": forged, "Authorization": f"Basic {basic}"}
    assert daemon.request("GET", path, None, shown).status == 403
    assert daemon.get(oid_of(b"logged")).status == 200
    assert daemon.request("HEAD", path).status == 200
    assert daemon.request("GET", "/nowhere").status == 404
    return [token, forged, token.split(".")[1], basic, password, "jwt=", "Bearer"]


class JsonTests(SharingTestCase):
    """``log_format: json``."""

    def setUp(self) -> None:
        """Share a daemon that logs JSON, and has no objects yet."""
        super().setUp()
        self.daemon = self.share_daemon(log_format="json", **VERIFIED)
        for path in stored_objects(self.daemon.store):
            path.unlink()

    def test_each_line_is_one_json_object(self) -> None:
        """Each line of a daemon's life is one JSON object."""
        daemon = self.start_daemon(config={"log_format": "json", **VERIFIED})
        run_requests(daemon)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual(daemon.stderr, "")
        for line in daemon.stdout.splitlines():
            event = json.loads(line)
            self.assertIsInstance(event, dict)
            self.assertEqual(
                set(event) & {"time", "level", "source", "message"},
                {"time", "level", "source", "message"},
            )

    def test_each_request_has_one_access_line(self) -> None:
        """There is one access line per request, with everything about it."""
        run_requests(self.daemon)
        self.daemon.settle()
        *lines, _ = [event for event in self.daemon.events if event["source"] == "giftless.access"]
        path = object_path(oid_of(b"logged"))
        self.assertEqual(
            [(line["method"], line["path"], line["status"]) for line in lines],
            [
                ("POST", f"/{REPO}.git/info/lfs/objects/batch", 200),
                ("PUT", path, 200),
                ("POST", f"/{REPO}.git/info/lfs/objects/storage/verify", 200),
                ("GET", path, 403),
                ("GET", path, 403),
                ("GET", path, 403),
                ("GET", path, 200),
                ("HEAD", path, 200),
                ("GET", "/nowhere", 404),
            ],
        )
        for line in lines:
            self.assertIsInstance(line["bytes"], int)
            self.assertGreaterEqual(line["seconds"], 0)
            self.assertRegex(line["request_id"], r"\A[0-9a-f]{16}\Z")
        self.assertEqual(len({line["request_id"] for line in lines}), len(lines))
        self.assertEqual(lines[6]["bytes"], len(b"logged"))
        self.assertEqual(lines[7]["bytes"], 0)
        # The token of an action stands for whoever asked for the batch.
        self.assertEqual([line["identity"] for line in lines[:3]], ["anonymous"] * 3)

    def test_the_log_has_the_request_id_of_the_answer(self) -> None:
        """The id in the log is the one that the client was told."""
        reply = self.daemon.request("GET", "/nowhere")
        (line,) = self.daemon.accesses("GET")
        self.assertEqual(line["request_id"], reply.json["request_id"])
        self.assertEqual(line["request_id"], reply.headers["x-request-id"])

    def test_an_aborted_upload_has_an_access_line(self) -> None:
        """A client that leaves in the middle of an upload gets its line as well."""
        data = os.urandom(4 * MIB)
        with self.daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
        wait_until(lambda: self.daemon.accesses("PUT"), "the access line")
        (line,) = self.daemon.accesses("PUT")
        self.assertEqual((line["status"], line["bytes"]), (499, 0))

    def test_a_malformed_request_has_an_access_line(self) -> None:
        """So does a request that cannot be parsed."""
        with self.daemon.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n")
            self.assertIn(b" 400 ", connection.recv(1024))
        (line,) = self.daemon.accesses("-")
        self.assertEqual(line["status"], 400)

    def test_no_credential_is_in_the_log(self) -> None:
        """No credential appears, whoever made it and wherever it was sent."""
        secrets = run_requests(self.daemon)
        self.daemon.settle()
        for secret in secrets:
            self.assertNotIn(secret, self.daemon.stdout + self.daemon.stderr)


class TextTests(IntegrationTestCase):
    """``log_format: text``, the default."""

    def test_tokens_and_lines(self) -> None:
        """One line per request says what happened, without its credentials."""
        daemon = self.start_daemon(config=VERIFIED)
        secrets = run_requests(daemon)
        self.assertEqual(daemon.stop(), ENDED)
        for secret in secrets:
            self.assertNotIn(secret, daemon.stdout + daemon.stderr)
        lines = [line for line in daemon.stdout.splitlines() if "[giftless.access#info]" in line]
        self.assertEqual(len(lines), 9)
        path = object_path(oid_of(b"logged"))
        self.assertRegex(
            lines[1], rf"127\.0\.0\.1 anonymous PUT {path} 200 \d+ [\d.e-]+ [0-9a-f]{{16}}\Z"
        )
