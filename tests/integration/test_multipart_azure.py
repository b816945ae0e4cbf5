"""Uploads in parts by giftless-client, as it is on PyPI, and objects in an Azurite."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.docs.pages import DOCS
from tests.integration.support import (
    LFS_JSON,
    REPO,
    Daemon,
    IntegrationTestCase,
    base_environ,
    file_digest,
    oid_of,
)
from tests.support.azurite import azurite
from tests.support.faulty import HANG, SLOW_DOWN, Fault, FaultyProxy
from tests.support.servers import shared

MIB = 1024 * 1024

#: The size of parts where it matters, in bytes.
PART = 5 * MIB


class MultipartTestCase(IntegrationTestCase):
    """Tests with a container each, and a proxy on the way to it; skipped without Azurite.

    :ivar store: what clients take for the store; it counts requests.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = shared(azurite)
        self.container = self.directory.name.replace("_", "0").lower()
        self.server.create(self.container)
        self.store = FaultyProxy(self.server.port)
        self.store.__enter__()
        self.addCleanup(self.store.__exit__)

    def start(self, **options: Any) -> Daemon:
        """Start a daemon that sends clients through the proxy."""
        public = {"public_endpoint_url": f"{self.store.url}/{self.server.ACCOUNT}"}
        storage = self.server.options(self.container, **{**public, **options})
        return self.start_daemon(config={"storage": storage, "log_format": "json"})

    def stored(self) -> dict[str, str]:
        """Return the SHA-256 of what is in the container, by oid."""
        objects = self.server.objects(self.container)
        return {name.removeprefix(f"{REPO}/"): oid_of(data) for name, data in objects.items()}

    def make_file(self, size: int) -> tuple[Path, str]:
        """Make a file of random bytes.

        :returns: it, and its oid.
        """
        path = self.directory / f"{size}.bin"
        with path.open("wb") as file:
            for start in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - start)))
        return path, file_digest(path)

    def client(self, daemon: Daemon, *arguments: str) -> subprocess.Popen[bytes]:
        """Start giftless-client."""
        process = subprocess.Popen(
            [sys.executable, "-m", "giftless_client.main", "-u", daemon.url, *arguments],
            cwd=self.directory,
            env=base_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def upload(self, daemon: Daemon, path: Path) -> subprocess.Popen[bytes]:
        """Start the upload of a file."""
        return self.client(daemon, "upload", str(path), *REPO.split("/"))

    def assert_well(self, process: subprocess.Popen[bytes]) -> None:
        """Check that a client ends well."""
        output, _ = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, output.decode())

    def assert_comes_down(self, daemon: Daemon, oid: str, size: int) -> None:
        """Check that a download is the object."""
        target = self.directory / "down.bin"
        arguments = (*REPO.split("/"), oid, str(size), str(target))
        self.assert_well(self.client(daemon, "download", *arguments))
        self.assertEqual(file_digest(target), oid)

    def puts(self) -> list[str]:
        """Return the uploads that the store was asked to take."""
        return [line for line in self.store.requests if line.startswith("PUT ")]


class ClientTests(MultipartTestCase):
    """What giftless-client does."""

    def test_direct(self) -> None:
        """200 MB go to the store in parts, and none of it through the daemon."""
        daemon = self.start()
        path, oid = self.make_file(200_000_000)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(self.stored(), {oid: oid})
        self.assertEqual(len(self.puts()), 6)
        self.assertEqual([line for line in self.puts() if "comp=block&" not in line], [])
        self.assertEqual(daemon.accesses("PUT"), [])
        self.assert_comes_down(daemon, oid, 200_000_000)
        # What is there is not sent again.
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(self.puts()), 6)

    def test_proxy(self) -> None:
        """The client knows the daemon alone."""
        daemon = self.start(mode="proxy", part_size=PART)
        path, oid = self.make_file(3 * PART + 1)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(self.stored(), {oid: oid})
        parts = daemon.accesses("PUT", f"/{oid}/parts/")
        self.assertEqual([entry["status"] for entry in parts], [200] * 4)
        self.assertEqual(self.store.requests, [])
        self.assert_comes_down(daemon, oid, 3 * PART + 1)

    def test_one_part(self) -> None:
        """A small object goes up as ever."""
        for mode in ("direct", "proxy"):
            daemon = self.start_daemon(
                mode, config={"storage": self.server.options(self.container, mode=mode)}
            )
            path, oid = self.make_file(1000)
            self.assert_well(self.upload(daemon, path))
            self.assertEqual(self.stored()[oid], oid)
            self.assert_comes_down(daemon, oid, 1000)


class ResumptionTests(MultipartTestCase):
    """Uploads that do not end at once."""

    def test_killed_after_half_of_its_parts(self) -> None:
        """The client is killed, the daemon too: only the rest is sent again."""
        daemon = self.start(part_size=PART)
        path, oid = self.make_file(8 * PART)
        process = self.upload(daemon, path)

        def kill(head: bytes) -> Fault | None:
            if len(self.puts()) == 5:
                os.kill(process.pid, signal.SIGKILL)
                return HANG
            return None

        self.store.fault = kill
        self.assertEqual(process.wait(300), -signal.SIGKILL)
        self.assertEqual(len(self.puts()), 5)
        self.assertEqual(self.stored(), {})
        self.store.always(None)
        self.store.requests.clear()
        daemon.kill()
        daemon.start()
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(self.puts()), 4)
        self.assertEqual(self.stored(), {oid: oid})

    def test_through_the_daemon(self) -> None:
        daemon = self.start(mode="proxy", part_size=PART)
        path, oid = self.make_file(4 * PART)
        entry = Batch(self, daemon, oid, 4 * PART).entry
        data = path.read_bytes()
        for part in entry["actions"]["parts"][:2]:
            piece = data[part["pos"] : part["pos"] + part["size"]]
            self.assertEqual(daemon.request("PUT", part["href"], piece, part["header"]).status, 200)
        daemon.kill()
        before = len(daemon.accesses("PUT"))
        daemon.start()
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(daemon.accesses("PUT")) - before, 2)
        self.assertEqual(self.stored(), {oid: oid})

    def test_two_clients_at_once(self) -> None:
        """Both end well, in either mode."""
        for mode in ("direct", "proxy"):
            daemon = self.start_daemon(
                mode,
                config={"storage": self.server.options(self.container, mode=mode, part_size=MIB)},
            )
            path, oid = self.make_file(20 * MIB)
            for process in [self.upload(daemon, path) for _ in range(2)]:
                self.assert_well(process)
            self.assertEqual(self.stored()[oid], oid)
            daemon.stop()


class Batch:
    """One object's entry in the reply to an upload batch.

    :ivar entry: the entry.
    """

    def __init__(self, test: MultipartTestCase, daemon: Daemon, oid: str, size: int) -> None:
        body = {
            "operation": "upload",
            "transfers": ["multipart-basic", "basic"],
            "objects": [{"oid": oid, "size": size}],
        }
        reply = daemon.request(
            "POST",
            f"/{REPO}.git/info/lfs/objects/batch",
            json.dumps(body).encode(),
            {"Content-Type": LFS_JSON, "Accept": LFS_JSON},
        )
        test.assertEqual(reply.status, 200, reply.body)
        test.assertEqual(reply.json["transfer"], "multipart-basic")
        (self.entry,) = reply.json["objects"]


class ByHandTests(MultipartTestCase):
    """What no client of ours does."""

    DATA = bytes(range(256)) * 10

    def setUp(self) -> None:
        super().setUp()
        self.oid = oid_of(self.DATA)

    def batch(self, daemon: Daemon) -> dict[str, Any]:
        """Ask for the actions of an upload."""
        actions: dict[str, Any] = Batch(self, daemon, self.oid, len(self.DATA)).entry["actions"]
        return actions

    def send(self, part: Mapping[str, Any], data: bytes, digest: bool = True) -> int:
        """Send a part of ``data`` to the store.

        :returns: the status.
        """
        url = urlsplit(part["href"])
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        headers = dict(part.get("header") or {})
        self.assertEqual(part["want_digest"], "contentMD5")
        right = self.DATA[part["pos"] : part["pos"] + part["size"]]
        if digest:
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(right).digest()).decode()
        piece = data[part["pos"] : part["pos"] + part["size"]]
        try:
            connection.request("PUT", f"{url.path}?{url.query}", piece, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def step(self, daemon: Daemon, actions: Mapping[str, Any], name: str) -> tuple[int, str]:
        """Commit or abort.

        :returns: the status and the message.
        """
        action = actions[name]
        reply = daemon.request("POST", action["href"], b"", action.get("header") or {})
        return reply.status, reply.json.get("message", "")

    def test_a_commit_too_early(self) -> None:
        """It names what is missing, and harms nothing; so with a part that was altered."""
        daemon = self.start(part_size=1000)
        actions = self.batch(daemon)
        first, second, third = actions["parts"]
        self.assertEqual([self.send(part, self.DATA) for part in (first, third)], [201, 201])
        self.assertEqual(self.send(second, b"x" * len(self.DATA)), 400)
        status, message = self.step(daemon, actions, "commit")
        self.assertEqual(status, 409)
        self.assertIn("part 2 is missing", message)
        self.assertEqual(self.stored(), {})
        self.assertEqual([part["pos"] for part in self.batch(daemon)["parts"]], [1000])
        self.assertEqual(self.send(second, self.DATA), 201)
        for _ in range(2):
            self.assertEqual(self.step(daemon, actions, "commit")[0], 200)
        self.assertEqual(self.step(daemon, actions, "abort")[0], 200)
        self.assertEqual(self.stored(), {self.oid: self.oid})

    def test_abort(self) -> None:
        """All is sent again."""
        daemon = self.start(part_size=1000)
        actions = self.batch(daemon)
        for part in actions["parts"]:
            self.send(part, self.DATA)
        for _ in range(2):
            self.assertEqual(self.step(daemon, actions, "abort")[0], 200)
        self.assertEqual(self.step(daemon, actions, "commit")[0], 409)
        self.assertEqual(len(self.batch(daemon)["parts"]), 3)
        self.assertEqual(self.stored(), {})

    def test_an_altered_part(self) -> None:
        """Azure cannot tell without Content-MD5; ``verify_checksum`` can."""
        daemon = self.start(part_size=1000, verify_checksum=True)
        actions = self.batch(daemon)
        for part in actions["parts"]:
            self.assertEqual(self.send(part, b"x" * len(self.DATA), digest=False), 201)
        status, message = self.step(daemon, actions, "commit")
        self.assertEqual(status, 409)
        self.assertIn("the parts are not the object", message)
        self.assertEqual(self.stored(), {})

    def test_the_store_is_down(self) -> None:
        """503 with Retry-After, and nothing secret in the log."""
        daemon = self.start(
            part_size=1000, timeout=1, endpoint_url=f"{self.store.url}/{self.server.ACCOUNT}"
        )
        actions = self.batch(daemon)
        for fault in (SLOW_DOWN, HANG):
            self.store.always(fault)
            for name in ("commit", "abort"):
                self.assertEqual(self.step(daemon, actions, name)[0], 503)
        self.assertNotIn("sig=", daemon.stdout + daemon.stderr)
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)


class BrowserTests(MultipartTestCase):
    """What the documentation has browsers let do."""

    def test_the_rule_of_the_page(self) -> None:
        """Parts may be sent with Content-MD5, from the page's origin and no other."""
        from azure.storage.blob import BlobServiceClient, CorsRule

        page = (DOCS / "storage" / "azure.rst").read_text()
        command = re.search(r"\$ az storage cors add (.*?)\n\n", page, re.DOTALL)
        assert command is not None
        words = re.sub(r"\\\n", " ", command[1])
        flags = dict(re.findall(r"--([a-z-]+) +('[^']*'|\S+(?: [A-Z]+)*)", words))
        values = {name: value.strip("'") for name, value in flags.items()}
        service = BlobServiceClient.from_connection_string(self.server.connection_string)
        rule = CorsRule(
            [values["origins"]],
            values["methods"].split(),
            allowed_headers=values["allowed-headers"].split(","),
            exposed_headers=values["exposed-headers"].split(","),
            max_age_in_seconds=int(values["max-age"]),
        )
        service.set_service_properties(cors=[rule])
        self.addCleanup(service.set_service_properties, cors=[])
        data = bytes(2500)
        (part, *_) = Batch(self, self.start(part_size=1000), oid_of(data), 2500).entry["actions"][
            "parts"
        ]
        self.assertEqual(self.preflight(part["href"], values["origins"]), 200)
        self.assertEqual(self.preflight(part["href"], "https://evil.example"), 403)

    def preflight(self, href: str, origin: str) -> int:
        """Ask as a browser does whether a part may be sent.

        :returns: the status.
        """
        url = urlsplit(href)
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-md5,content-type",
        }
        try:
            connection.request("OPTIONS", f"{url.path}?{url.query}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()
