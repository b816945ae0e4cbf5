"""git over a bucket of Google Cloud Storage, by a stand-in for it (``tests/support/gcs.py``)."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import os
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

from tests.integration.locking import check
from tests.integration.support import REPO, Daemon, IntegrationTestCase, object_path, oid_of
from tests.support.faulty import FaultyProxy
from tests.support.gcs import Google, google
from tests.support.processes import PATIENCE
from tests.support.rounds import rounds
from tests.support.servers import MARK, shared

MIB = 1024 * 1024


class GCSTestCase(IntegrationTestCase):
    """Has a bucket of its own; is skipped where fake-gcs-server is missing."""

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.google = shared(google)
        self.bucket = f"integration-{next(self._numbers)}"
        self.google.create(self.bucket)
        self.google.denied.clear()
        self.google.requests.clear()
        self.google.refused.clear()
        super().setUp()

    def serve(self, storage: dict[str, Any], **environ: str) -> Daemon:
        """Start a daemon over the bucket."""
        return self.start_daemon(config={"storage": storage, "log_format": "json"}, environ=environ)

    def assert_pushed_and_cloned(self, url: str) -> None:
        """Push and clone with git, and check what lies in the bucket."""
        repo = self.make_git().create(self.directory / "work", f"{url}/{REPO}")
        files = {"a.bin": os.urandom(3 * MIB), "b.bin": b"x", "c.bin": os.urandom(MIB)}
        self.assert_round_trip(repo, files)
        stored = self.google.objects(self.bucket)
        self.assertEqual(stored, {f"{REPO}/{oid_of(data)}": data for data in files.values()})

    def methods(self) -> set[tuple[str, str]]:
        """Return how objects were asked for: method, and what authorised it."""
        return {
            (method, how)
            for method, path, how in self.google.requests
            if path.startswith(f"/{self.bucket}/{REPO}/")
        }


class DirectTests(GCSTestCase):
    """``mode: direct``: the bytes go from git to the store and back."""

    def assert_direct(self, storage: dict[str, Any], algorithm: str, **environ: str) -> None:
        """Push and clone, past the daemon."""
        daemon = self.serve(storage, **environ)
        with FaultyProxy(daemon.port) as front:
            self.assert_pushed_and_cloned(front.url)
            self.assertGreater(front.accepted, 0)
            self.assertLess(front.sent + front.returned, 50_000)
        self.assertEqual(daemon.accesses("PUT"), [])
        self.assertEqual(daemon.accesses("GET", "/objects/storage/"), [])
        self.assertLessEqual({("PUT", algorithm), ("GET", algorithm)}, self.methods())

    def test_a_key_file(self) -> None:
        self.assert_direct(self.google.options(self.bucket), "GOOG4-RSA-SHA256")

    def test_an_hmac_key(self) -> None:
        section = self.google.hmac_options(self.bucket)
        del section["hmac_secret"]
        secret = {"GIFTLESS_STORAGE__HMAC_SECRET": Google.SECRET}
        self.assert_direct(section, "GOOG4-HMAC-SHA256", **secret)

    def test_a_machine_of_google(self) -> None:
        """No key anywhere: the metadata server says who the daemon is, and Google signs."""
        section = self.google.options(self.bucket)
        del section["credentials_file"]
        environ = {**self.google.metadata, "HOME": str(self.directory)}
        self.assert_direct(section, "GOOG4-RSA-SHA256", **environ)
        signed = [path for _, path, _ in self.google.requests if path.endswith(":signBlob")]
        # Three uploads and three downloads.
        self.assertEqual(len(signed), 6)
        self.assertEqual({path for path in signed if Google.MANAGED not in path}, set())

    def test_an_emulator_in_the_environment(self) -> None:
        section = self.google.options(self.bucket)
        del section["endpoint_url"]
        self.assert_direct(section, "GOOG4-RSA-SHA256", STORAGE_EMULATOR_HOST=self.google.url)

    def test_a_present_object_is_not_uploaded_again(self) -> None:
        """What is there is not uploaded again."""
        daemon = self.serve(self.google.options(self.bucket))
        data = os.urandom(1000)
        self.google.write(self.bucket, f"{REPO}/{oid_of(data)}", data)
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
        self.assert_round_trip(repo, {"a.bin": data})
        self.assertNotIn("PUT", {method for method, _ in self.methods()})

    def test_two_push_the_same_object(self) -> None:
        """Who is second is refused by the store, and succeeds all the same."""
        data = os.urandom(1000)
        with FaultyProxy(self.google.port) as proxy:

            def be_faster(head: bytes) -> None:
                if head.startswith(b"PUT") and MARK.encode() not in head:
                    self.google.write(self.bucket, f"{REPO}/{oid_of(data)}", data)

            proxy.fault = be_faster
            daemon = self.serve(self.google.options(self.bucket, endpoint_url=proxy.url))
            repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
            self.assert_round_trip(repo, {"a.bin": data})
        self.assertIn("PreconditionFailed", self.google.refused)


class ProxyTests(GCSTestCase):
    """``mode: proxy``: the bytes pass through the daemon."""

    def test_push_and_clone(self) -> None:
        daemon = self.serve(self.google.options(self.bucket, mode="proxy"))
        self.assert_pushed_and_cloned(daemon.url)
        self.assertEqual(len(daemon.accesses("PUT")), 3)
        self.assertEqual(daemon.accesses("POST", "/storage/verify"), [])
        self.assertEqual({how for _, how in self.methods()}, {"bearer"})

    def test_a_large_object_costs_no_memory(self) -> None:
        """64 MB or more go both ways, and the daemon does not grow by 32."""
        daemon = self.serve(self.google.hmac_options(self.bucket, mode="proxy"))
        self.assertEqual(daemon.put(os.urandom(4 * MIB)), 200)
        piece, count = os.urandom(MIB), rounds(64, 300)
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(piece)
        oid = digest.hexdigest()
        before = daemon.memory("VmHWM")
        status, _ = self.exchange(daemon, "PUT", oid, itertools.repeat(piece, count), count * MIB)
        self.assertEqual(status, 200)
        status, received = self.exchange(daemon, "GET", oid, (), 0)
        self.assertEqual((status, received), (200, oid))
        self.assertLess(daemon.memory("VmHWM") - before, 32 * MIB)

    def exchange(
        self, daemon: Daemon, method: str, oid: str, body: Iterable[bytes], size: int
    ) -> tuple[int, str]:
        """Send a request and digest its answer, piece by piece."""
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        self.addCleanup(client.close)
        headers = {"Content-Length": str(size)} if size else {}
        client.request(method, object_path(oid), iter(body) if size else None, headers)
        reply = client.getresponse()
        digest = hashlib.sha256()
        for data in pieces(reply):
            digest.update(data)
        return reply.status, digest.hexdigest()


def pieces(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """Read an answer piece by piece."""
    while data := reply.read(MIB):
        yield data


class CheckTests(GCSTestCase):
    """``twistd giftless --check`` says in one line what is wrong."""

    def check(self, storage: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run it."""
        name = f"check-{next(self._numbers)}"
        daemon = self.make_daemon(name, config={"storage": storage})
        return check(daemon)

    def test_all_is_well(self) -> None:
        for section in (
            self.google.options(self.bucket),
            self.google.hmac_options(self.bucket, mode="proxy"),
        ):
            result = self.check(section)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.google.objects(self.bucket), {})

    def test_what_is_wrong(self) -> None:
        for section, key, words in (
            (self.google.options("missing"), "storage.bucket", "no such bucket"),
            (
                self.google.options(
                    self.bucket, credentials_file=str(self.google.key_file("stranger"))
                ),
                "storage.credentials_file",
                "Invalid JWT Signature",
            ),
            (
                self.google.hmac_options(self.bucket, hmac_secret="wrong"),
                "storage.hmac_secret",
                "refuses",
            ),
            (
                self.google.hmac_options(self.bucket, endpoint_url="http://127.0.0.1:9"),
                "storage.endpoint_url",
                "refused",
            ),
        ):
            result = self.check(section)
            self.assertEqual(result.returncode, 1, result.stdout)
            (line,) = result.stderr.splitlines()[-1:]
            self.assertIn(key, line)
            self.assertIn(words, line)
            self.assertNotIn("Traceback", result.stderr)
