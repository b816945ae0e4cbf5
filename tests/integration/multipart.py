"""Uploads in parts, the same cases for every store.

What uploads and downloads is giftless-client, as it is on PyPI.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.integration.locking import at_once
from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import LFS_JSON, Daemon, file_digest, oid_of
from tests.support.commands import Forked, forking
from tests.support.faulty import HANG, SLOW_DOWN, Fault, FaultyProxy
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, base_environ
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: The size of parts where it matters, in bytes: the least that some stores take.
PART = 5 * MIB

if TYPE_CHECKING:
    _Mixin = SharingTestCase
else:
    _Mixin = object


def ask(
    method: str, href: str, headers: Mapping[str, str], body: bytes | None = None
) -> http.client.HTTPResponse:
    """Do what a client does with an action.

    :returns: the answer, whose body has been read.
    """
    url = urlsplit(href)
    connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
    try:
        target = f"{url.path}?{url.query}" if url.query else url.path
        connection.request(method, target, body, dict(headers))
        reply = connection.getresponse()
        reply.read()
        return reply
    finally:
        connection.close()


@dataclass
class Client:
    """A giftless-client that runs.

    :ivar output: what it prints, in a file.
    """

    process: Forked
    output: IO[bytes]


class _Cases(_Mixin):
    """What the cases have in common; a test case says which store it is.

    :cvar direct: whether parts go to the store itself, past the daemon.
    :cvar part: the size of parts, in bytes.
    :cvar checked: whether altered parts are found out without being asked to.
    :ivar way: what parts pass through; it counts them.
    """

    direct = True
    part = PART
    checked = False

    def port(self) -> int:
        """Return where the store listens."""
        raise NotImplementedError

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        """Return a ``storage`` section with these options.

        :param directory: for a store on the disk.
        """
        raise NotImplementedError

    def names(self) -> set[str]:
        """Return the names of the objects that the store has."""
        raise NotImplementedError

    def digest(self, name: str) -> str:
        """Return the SHA-256 of an object in the store."""
        raise NotImplementedError

    # -- the parts of a test

    def stored(self) -> dict[str, str]:
        """Return the SHA-256 of what has come to the store in this test, by oid."""
        found = self.names() - self._before
        return {name.removeprefix(f"{self.repo}/"): self.digest(name) for name in found}

    def serve(self, transfers: list[str] | None = None, **options: Any) -> Daemon:
        """Share a daemon; parts pass through a proxy, on the way to it or to the store."""
        name = f"{type(self).__name__} {transfers} {options}"
        self.daemon, self.way = self.share(name, lambda it: self._serving(it, transfers, options))
        self.way.always(None)
        self.daemon.forget()
        self.way.requests.clear()
        self._before = self.names()
        return self.daemon

    def serve_alone(self, **options: Any) -> Daemon:
        """Start a daemon like :meth:`serve`, which the test may stop."""
        self.daemon, self.way = self.enterContext(self._serving(self.directory, None, options))
        self._before = self.names()
        return self.daemon

    @contextmanager
    def _serving(
        self, directory: Path, transfers: list[str] | None, options: dict[str, Any]
    ) -> Iterator[tuple[Daemon, FaultyProxy]]:
        port = free_port()
        with FaultyProxy(self.port() if self.direct else port) as way:
            config: dict[str, Any] = {"log_format": "json"}
            if self.direct:
                options = {"public_endpoint_url": way.url, **options}
            else:
                config["public_url"] = way.url
            config["storage"] = self.storage(directory, **options)
            if transfers is not None:
                config["transfers"] = transfers
            with running(Daemon(directory, config=config, port=port)) as daemon:
                yield daemon, way

    def puts(self) -> list[str]:
        """Return the uploads that have been sent."""
        return [line for line in self.way.requests if line.startswith("PUT ")]

    def make_file(self, size: int) -> tuple[Path, str]:
        """Make a file that no other test has, and no two parts of which are the same.

        :returns: it, and its oid.
        """
        path = self.directory / f"{size}.bin"
        noise = os.urandom(MIB)
        with path.open("wb") as file:
            for start in range(0, size, MIB):
                block = start.to_bytes(8) + noise
                file.write(block[: min(MIB, size - start)])
        return path, file_digest(path)

    def client(self, daemon: Daemon, *arguments: str) -> Client:
        """Start giftless-client."""
        # Its program itself is imported when it runs.
        command = ["-m", "giftless_client.main", "-u", daemon.url, *arguments]
        output = self.enterContext(tempfile.TemporaryFile())
        with open(os.devnull, "rb") as stdin:
            files = (stdin.fileno(), output.fileno(), output.fileno())
            process = forking("giftless_client.client", "click.core").start(
                command, self.directory, base_environ(), files
            )
        self.addCleanup(process.kill)
        return Client(process, output)

    def upload(self, daemon: Daemon, path: Path) -> Client:
        """Start the upload of a file."""
        return self.client(daemon, "upload", str(path), *self.repo.split("/"))

    def assert_well(self, client: Client) -> None:
        """Check that a client ends well."""
        status = client.process.wait(PATIENCE)
        client.output.seek(0)
        self.assertEqual(status, 0, client.output.read().decode())

    def assert_comes_down(self, daemon: Daemon, oid: str, size: int) -> None:
        """Check that a download is the object."""
        target = self.directory / "down.bin"
        arguments = (*self.repo.split("/"), oid, str(size), str(target))
        self.assert_well(self.client(daemon, "download", *arguments))
        self.assertEqual(file_digest(target), oid)

    def batch(self, daemon: Daemon, oid: str, size: int) -> dict[str, Any]:
        """Ask for the actions of an upload in parts."""
        body = {
            "operation": "upload",
            "transfers": ["multipart-basic", "basic"],
            "objects": [{"oid": oid, "size": size}],
        }
        reply = daemon.request(
            "POST",
            f"/{self.repo}.git/info/lfs/objects/batch",
            json.dumps(body).encode(),
            {"Content-Type": LFS_JSON, "Accept": LFS_JSON},
        )
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.json["transfer"], "multipart-basic")
        actions: dict[str, Any] = reply.json["objects"][0]["actions"]
        return actions

    def send(self, part: Mapping[str, Any], data: bytes, digest: bytes | None = None) -> int:
        """Send a part of ``data``.

        :param digest: the MD5 that is told.
        :returns: the status.
        """
        headers = dict(part.get("header") or {})
        self.assertEqual(part["want_digest"], "contentMD5")
        if digest is not None:
            headers["Content-MD5"] = base64.b64encode(digest).decode()
        piece = data[part["pos"] : part["pos"] + part["size"]]
        return ask("PUT", part["href"], headers, piece).status

    def step(self, daemon: Daemon, action: Mapping[str, Any]) -> tuple[int, str]:
        """Commit or abort.

        :returns: the status and the message.
        """
        path = urlsplit(action["href"]).path
        reply = daemon.request("POST", path, b"", action.get("header") or {})
        return reply.status, reply.json.get("message", "")


class ClientCases(_Cases):
    """What giftless-client does."""

    def test_a_large_object(self) -> None:
        """It goes up in parts, comes down again, and is not sent a second time."""
        # In short rounds the parts are not of the usual size.
        options: dict[str, Any] = rounds({"part_size": self.part}, {})
        size = rounds(2 * self.part + 1, 200 * MIB)
        daemon = self.serve(**options)
        path, oid = self.make_file(size)
        count = -(-size // options.get("part_size", 32 * MIB))
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(self.stored(), {oid: oid})
        self.assertEqual(len(self.puts()), count)
        self.assertEqual(len(daemon.accesses("PUT")), 0 if self.direct else count)
        self.assertEqual(len(daemon.accesses("POST", "/parts/commit")), 1)
        verifications = 1 if self.direct else 0
        self.assertEqual(len(daemon.accesses("POST", "/storage/verify")), verifications)
        self.assert_comes_down(daemon, oid, size)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(self.puts()), count)

    def test_a_server_without_parts(self) -> None:
        """The same client sends the object as ever."""
        daemon = self.serve(["basic"], part_size=self.part)
        path, oid = self.make_file(3 * self.part)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(self.stored(), {oid: oid})
        self.assertEqual(len(self.puts()), 1)
        self.assert_comes_down(daemon, oid, 3 * self.part)

    def test_a_small_object(self) -> None:
        """Its only part is its upload, and there is nothing to commit."""
        daemon = self.serve(part_size=self.part)
        path, oid = self.make_file(1000)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(self.stored(), {oid: oid})
        self.assertEqual(daemon.accesses("POST", "/parts/commit"), [])
        self.assert_comes_down(daemon, oid, 1000)

    def test_killed_after_half_of_its_parts(self) -> None:
        """The client is killed, the daemon too: only the rest is sent again."""
        daemon = self.serve_alone(part_size=self.part)
        half = rounds(2, 4)
        path, oid = self.make_file(2 * half * self.part)
        process = self.upload(daemon, path).process

        def kill(head: bytes) -> Fault | None:
            if len(self.puts()) == half + 1:
                os.kill(process.pid, signal.SIGKILL)
                return HANG
            return None

        self.way.fault = kill
        self.assertEqual(process.wait(PATIENCE), -signal.SIGKILL)
        self.assertEqual(len(self.puts()), half + 1)
        self.assertEqual(self.stored(), {})
        daemon.kill()
        daemon.start()
        self.way.always(None)
        self.way.requests.clear()
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(self.puts()), half)
        self.assertEqual(self.stored(), {oid: oid})
        self.assert_comes_down(daemon, oid, 2 * half * self.part)

    def test_two_clients_at_once(self) -> None:
        """Both have asked before a part has arrived, and both end well."""
        daemon = self.serve(part_size=self.part)
        path, oid = self.make_file(2 * self.part)
        deadline = time.monotonic() + PATIENCE

        def hold(head: bytes) -> None:
            while head.startswith(b"PUT") and time.monotonic() < deadline:
                if len(daemon.accesses("POST", "/objects/batch")) == 2:
                    return
                time.sleep(0.01)

        self.way.fault = hold
        for client in [self.upload(daemon, path) for _ in range(2)]:
            self.assert_well(client)
        self.assertEqual(self.stored(), {oid: oid})
        self.assertEqual(len(self.puts()), 4)
        self.assert_comes_down(daemon, oid, 2 * self.part)


class CommitCases(_Cases):
    """What giftless-client would not do."""

    def test_a_commit_too_early(self) -> None:
        """It names what is missing, and harms nothing; so with a part that was altered."""
        daemon = self.serve(part_size=self.part)
        data = os.urandom(2 * self.part + 1000)
        oid = oid_of(data)
        actions = self.batch(daemon, oid, len(data))
        first, second, third = actions["parts"]
        self.assertLess(self.send(third, data), 300)
        self.assertLess(self.send(first, data), 300)
        altered = hashlib.md5(data).digest()
        self.assertEqual(self.send(second, data, altered), 400)
        status, message = self.step(daemon, actions["commit"])
        self.assertEqual((status, "part 2 is missing" in message), (409, True), message)
        self.assertEqual(self.stored(), {})
        (again,) = self.batch(daemon, oid, len(data))["parts"]
        self.assertEqual((again["pos"], again["size"]), (self.part, self.part))
        right = hashlib.md5(data[self.part : 2 * self.part]).digest()
        self.assertLess(self.send(again, data, right), 300)
        for _ in range(2):
            self.assertEqual(self.step(daemon, actions["commit"])[0], 200)
        self.assertEqual(self.step(daemon, actions["abort"])[0], 200)
        self.assertEqual(self.stored(), {oid: oid})

    def test_altered_parts_are_refused_and_never_served(self) -> None:
        """They are found out by their object's SHA-256, and it is marked as damaged."""
        more: dict[str, Any] = {} if self.checked else {"verify_checksum": True}
        daemon = self.serve(part_size=self.part, **more)
        data = os.urandom(self.part + 1000)
        oid = oid_of(data)
        # One with other bytes, one with those of another part.
        for wrong in (data[:-1] + bytes([data[-1] ^ 1]), data[: self.part] + data[:1000]):
            actions = self.batch(daemon, oid, len(data))
            self.assertEqual(len(actions["parts"]), 2)
            for part in actions["parts"]:
                self.assertLess(self.send(part, wrong), 300)
            status, message = self.step(daemon, actions["commit"])
            self.assertEqual((status, "SHA-256" in message), (409, True), message)
            (entry,) = daemon.batch("download", (oid, len(data)), repo=self.repo).json["objects"]
            self.assertEqual(entry["error"]["code"], 404 if self.checked else 410)
            self.assertIn(daemon.get(oid, self.repo).status, (404, 410))
        for part in (actions := self.batch(daemon, oid, len(data)))["parts"]:
            self.assertLess(self.send(part, data), 300)
        self.assertEqual(self.step(daemon, actions["commit"])[0], 200)
        self.assertEqual(self.stored(), {oid: oid})

    def test_an_aborted_upload_is_sent_again(self) -> None:
        """All is sent again."""
        daemon = self.serve(part_size=self.part)
        data = bytes(self.part + 1000)
        actions = self.batch(daemon, oid_of(data), len(data))
        self.assertLess(self.send(actions["parts"][1], data), 300)
        for _ in range(2):
            self.assertEqual(self.step(daemon, actions["abort"])[0], 200)
        self.assertEqual(self.step(daemon, actions["commit"])[0], 409)
        self.assertEqual(len(self.batch(daemon, oid_of(data), len(data))["parts"]), 2)


class MultipartCases(ClientCases, CommitCases):
    """All of them."""


class RemoteMultipartCases(MultipartCases):
    """What stores behind HTTP do beside that; for ``mode: direct``."""

    def test_the_store_is_down(self) -> None:
        """503, and nothing secret in the log."""
        back = FaultyProxy(self.port())
        back.__enter__()
        self.addCleanup(back.__exit__)
        daemon = self.serve_alone(part_size=self.part, timeout=15, endpoint_url=back.url)
        data = bytes(self.part + 1000)
        actions = self.batch(daemon, oid_of(data), len(data))
        for fault in (SLOW_DOWN, HANG):
            back.always(fault)
            steps = (partial(self.step, daemon, actions[name]) for name in ("commit", "abort"))
            self.assertEqual([status for status, _ in at_once(steps)], [503, 503])
        back.always(None)
        self.assertEqual(self.step(daemon, actions["abort"])[0], 200)
        for secret in ("Signature", "Traceback", "uploadId"):
            self.assertNotIn(secret, daemon.stdout + daemon.stderr)
