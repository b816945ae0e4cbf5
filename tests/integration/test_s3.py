"""git over a bucket of an S3 that verifies signatures (versitygw)."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.locking import at_once, check
from tests.integration.support import REPO, Daemon, Git, IntegrationTestCase, object_path, oid_of
from tests.support.bodies import altered
from tests.support.faulty import HANG, SLOW_DOWN, Fault, FaultyProxy
from tests.support.metadata import FakeMetadata
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds
from tests.support.servers import MARK, S3, shared, versitygw

MIB = 1024 * 1024

#: Files of every kind; an empty one is no object for git-lfs.
FILES = {
    "one.bin": b"x",
    "small.bin": os.urandom(1000),
    "large.bin": os.urandom(5 * MIB),
    "empty.bin": b"",
}


#: What a batch may be for.
OPERATIONS = ("upload", "download")


class S3TestCase(IntegrationTestCase):
    """Has a bucket of its own; is skipped where versitygw is missing."""

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"integration-{next(self._numbers)}"
        super().setUp()

    def proxy(self, port: int) -> FaultyProxy:
        """Start a proxy that counts, and can misbehave."""
        proxy = FaultyProxy(port)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy

    def serve(self, environ: dict[str, str] | None = None, **options: Any) -> Daemon:
        """Start a daemon over the bucket."""
        storage = self.server.options(self.bucket, **options)
        return self.start_daemon(
            config={"storage": storage, "log_format": "json"}, environ=environ or {}
        )

    def assert_pushed_and_cloned(self, url: str) -> None:
        """Push and clone with git, and check what lies in the bucket."""
        repo = self.make_git().create(self.directory / "work", f"{url}/{REPO}")
        self.assert_round_trip(repo, FILES)
        self.assertEqual(
            self.server.objects(self.bucket),
            {f"{REPO}/{oid_of(data)}": data for data in FILES.values() if data},
        )

    def try_push(self, daemon: Daemon, data: bytes) -> subprocess.CompletedProcess[str]:
        """Push a file, whatever comes of it."""
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
        repo.commit({"a.bin": data})
        return repo.try_push()


class DirectTests(S3TestCase):
    """``mode: direct``: the bytes go from git to the store and back."""

    def assert_direct(self, environ: dict[str, str] | None = None, **options: Any) -> None:
        """Push and clone, and count every byte that the daemon sends or receives."""
        back = self.proxy(self.server.port)
        options = {"endpoint_url": back.url, "public_endpoint_url": self.server.url, **options}
        daemon = self.serve(environ, **options)
        front = self.proxy(daemon.port)
        self.assert_pushed_and_cloned(front.url)
        for proxy in (front, back):
            self.assertGreater(proxy.accepted, 0)
            self.assertLess(proxy.sent + proxy.returned, 50_000)
        for method in ("GET", "PUT"):
            self.assertEqual([line for line in front.requests if line.startswith(method)], [])
        self.assertLessEqual(
            {line.split()[0] for line in back.requests if MARK not in line}, {"HEAD", "GET"}
        )
        self.assertEqual(daemon.accesses("PUT") + daemon.accesses("GET"), [])
        self.assertEqual(len(daemon.accesses("POST", "/storage/verify")), 3)

    def test_configured_keys_are_used_by_direct_transfers(self) -> None:
        self.assert_direct()

    def test_keys_of_the_environment(self) -> None:
        """The secret in a variable of giftless, or both halves in those of AWS."""
        self.assert_direct(
            {"GIFTLESS_STORAGE__SECRET_ACCESS_KEY": S3.SECRET_KEY}, secret_access_key="overridden"
        )

    def test_keys_of_aws(self) -> None:
        section = {"access_key_id": None, "secret_access_key": None}
        environ = {
            "AWS_ACCESS_KEY_ID": S3.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": S3.SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.assert_direct(environ, **section)

    def test_what_is_there_is_not_uploaded_again(self) -> None:
        data = os.urandom(1000)
        daemon = self.serve()
        self.assertEqual(self.try_push(daemon, data).returncode, 0)
        path = self.server.buckets / self.bucket / REPO / oid_of(data)
        before = path.stat().st_ctime_ns
        git = Git(self.directory / "home2")
        other = git.create(self.directory / "other", f"{daemon.url}/{REPO}")
        self.assert_round_trip(other, {"b.bin": data})
        self.assertEqual(path.stat().st_ctime_ns, before)

    def test_somebody_else_was_faster(self) -> None:
        """The store refuses to replace the object, and the push succeeds."""
        data = os.urandom(1000)
        place = self.server.buckets / self.bucket / REPO / oid_of(data)

        def be_faster(head: bytes) -> None:
            if head.startswith(b"PUT"):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)

        proxy = self.proxy(self.server.port)
        proxy.fault = be_faster
        daemon = self.serve(public_endpoint_url=proxy.url)
        result = self.try_push(daemon, data)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len([line for line in proxy.requests if line.startswith("PUT")]), 1)

    def test_a_verification_compares_size_and_checksum(self) -> None:
        """It looks at the size, and at the checksum that the store keeps."""
        daemon = self.serve()
        right, wrong = b"what should be there", b"what shouldn't be.. "
        place = self.server.buckets / self.bucket / REPO / oid_of(right)
        place.parent.mkdir(parents=True)
        reply = daemon.batch("upload", (oid_of(right), len(right)))
        action = reply.json["objects"][0]["actions"]["verify"]
        body = f'{{"oid": "{oid_of(right)}", "size": {len(right)}}}'.encode()

        def verify() -> int:
            return daemon.request("POST", action["href"], body, action["header"]).status

        self.assertEqual(verify(), 404)
        place.write_bytes(b"short")
        self.assertEqual(verify(), 409)
        # Other bytes of the same length, uploaded past the daemon.
        store = self.server.upload(self.bucket, f"{REPO}/{oid_of(right)}", wrong)
        self.assertEqual(store, 200)
        self.assertEqual(verify(), 409)
        self.assertEqual(self.server.upload(self.bucket, f"{REPO}/{oid_of(right)}", right), 200)
        self.assertEqual(verify(), 200)


class ProxyTests(S3TestCase):
    """``mode: proxy``: the bytes pass through the daemon."""

    def test_push_and_clone(self) -> None:
        daemon = self.serve(mode="proxy", prefix="")
        self.assert_pushed_and_cloned(daemon.url)
        self.assertEqual(len(daemon.accesses("PUT")), 3)
        self.assertEqual(daemon.accesses("POST", "/storage/verify"), [])

    def test_a_large_object_costs_no_memory(self) -> None:
        """100 MB or more go both ways, and the daemon does not grow by 32."""
        daemon = self.serve(mode="proxy")
        warm = os.urandom(4 * MIB)
        self.assertEqual(daemon.put(warm), 200)
        self.assertEqual(daemon.get(oid_of(warm)).body, warm)
        piece, count = os.urandom(MIB), rounds(100, 300)
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(piece)
        oid = digest.hexdigest()
        before = daemon.memory("VmHWM")
        pieces = itertools.repeat(piece, count)
        self.assertEqual(exchange(daemon, "PUT", oid, pieces, count * MIB)[0], 200)
        self.assertEqual(exchange(daemon, "GET", oid, (), 0), (200, oid))
        self.assertLess(daemon.memory("VmHWM") - before, 32 * MIB)

    def test_a_slow_client_costs_no_memory(self) -> None:
        """What it does not take stays in the store."""
        daemon = self.serve(mode="proxy")
        data = os.urandom(64 * MIB)
        place = self.server.buckets / self.bucket / REPO / oid_of(data)
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
        self.assertEqual(exchange(daemon, "GET", oid_of(data), (), 0), (200, oid_of(data)))
        before = daemon.memory("VmRSS")
        clients = [daemon.connect() for _ in range(16)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(
                f"GET {object_path(oid_of(data))} HTTP/1.1\r\nHost: lfs.example\r\n\r\n".encode()
            )
        for client in clients:
            self.assertTrue(client.recv(1))
        time.sleep(1)
        self.assertLess(daemon.memory("VmRSS") - before, 32 * MIB)

    def test_a_range_of_an_object_is_served(self) -> None:
        daemon = self.serve(mode="proxy")
        data = os.urandom(100_000)
        self.assertEqual(daemon.put(data), 200)
        reply = daemon.request(
            "GET", object_path(oid_of(data)), headers={"Range": "bytes=500-99998"}
        )
        self.assertEqual((reply.status, reply.body), (206, data[500:99_999]))
        self.assertEqual(daemon.request("HEAD", object_path(oid_of(data))).status, 200)
        self.assertEqual(daemon.get(oid_of(b"nothing")).status, 404)

    def test_wrong_bytes_are_refused_and_leave_nothing(self) -> None:
        daemon = self.serve(mode="proxy")
        for size in (1000, 3 * MIB):
            data = os.urandom(size)
            reply = daemon.request("PUT", object_path(oid_of(data)), altered(data))
            self.assertEqual(reply.status, 400)
        self.assertEqual(self.server.objects(self.bucket), {})

    def test_a_client_that_leaves(self) -> None:
        """Nothing of what it has sent becomes visible, and nothing stays open."""
        back = self.proxy(self.server.port)
        daemon = self.serve(mode="proxy", endpoint_url=back.url)
        data = os.urandom(32 * MIB)
        with daemon.connect() as connection:
            connection.sendall(
                f"PUT {object_path(oid_of(data))} HTTP/1.1\r\nHost: lfs.example\r\n"
                f"Content-Length: {len(data)}\r\n\r\n".encode()
            )
            connection.sendall(data[:-1])
            wait_until(lambda: back.sent > 4 * MIB, "bytes to reach the store")
        wait_until(lambda: back.open == 0, "the connection to the store to be cut")
        self.assertEqual(self.server.objects(self.bucket), {})
        self.assertEqual(daemon.put(data), 200)


class FaultTests(S3TestCase):
    """The store is slow, fails or is gone."""

    def test_errors_reach_git_in_time(self) -> None:
        back = self.proxy(self.server.port)
        data = os.urandom(1000)
        daemon = self.serve(endpoint_url=back.url, timeout=12)
        wanted = (oid_of(data), len(data))
        for fault in (SLOW_DOWN, HANG, Fault("reset")):
            back.always(fault)
            asked = (partial(daemon.batch, operation, wanted) for operation in OPERATIONS)
            for reply in at_once(asked):
                self.assertEqual(reply.status, 503)
                self.assertGreater(int(reply.headers["retry-after"]), 0)
                self.assertIn("storage does not answer", reply.json["message"])
        wait_until(lambda: back.open == 0, "all connections to be closed")
        result = self.try_push(daemon, data)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("storage does not answer", result.stderr)
        back.always(None)
        self.assertEqual(daemon.batch("upload", wanted).status, 200)

    def test_one_object_of_a_batch(self) -> None:
        back = self.proxy(self.server.port)
        objects = [(oid_of(b"%d" % number), number) for number in range(5)]
        hanging = objects[2][0].encode()
        back.fault = lambda head: HANG if hanging in head else None
        daemon = self.serve(endpoint_url=back.url, timeout=20)
        reply = daemon.batch("upload", *objects)
        self.assertEqual(reply.status, 200)
        errors = [entry.get("error", {}).get("code") for entry in reply.json["objects"]]
        self.assertEqual(errors, [None, None, 503, None, None])
        for entry in reply.json["objects"][:2]:
            self.assertIn("X-Amz-Signature", entry["actions"]["upload"]["href"])

    def test_a_push_of_many_survives_some_failures(self) -> None:
        """What is tried again is not noticed."""
        numbers = itertools.count()
        back = self.proxy(self.server.port)
        back.fault = lambda _: SLOW_DOWN if next(numbers) % 4 == 0 else None
        daemon = self.serve(endpoint_url=back.url, public_endpoint_url=self.server.url)
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
        self.assert_round_trip(repo, {f"{n}.bin": os.urandom(100) for n in range(30)})

    def test_an_object_too_large_for_one_request(self) -> None:
        daemon = self.serve()
        large = (oid_of(b"large"), 5 * 1024**3 + 1)
        reply = daemon.batch("upload", large, (oid_of(b"x"), 1))
        self.assertEqual(reply.status, 200)
        refused, accepted = reply.json["objects"]
        self.assertEqual(refused["error"]["code"], 413)
        self.assertIn("multipart", refused["error"]["message"])
        self.assertIn("upload", accepted["actions"])

    def test_downloads_that_break_off(self) -> None:
        """The client sees that too, whatever the status was."""
        back = self.proxy(self.server.port)
        daemon = self.serve(mode="proxy", endpoint_url=back.url)
        data = os.urandom(8 * MIB)
        self.assertEqual(daemon.put(data), 200)
        back.fault = lambda head: Fault("cut", after=2_000_000) if head.startswith(b"GET") else None
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            daemon.get(oid_of(data))
        back.always(None)
        self.assertEqual(daemon.get(oid_of(data)).body, data)


class CredentialTests(S3TestCase):
    """Temporary credentials of a container, from a metadata service."""

    def test_they_are_looked_up_and_renewed(self) -> None:
        """No batch fails while the credentials change."""
        with FakeMetadata() as metadata:
            metadata.key, metadata.tokens, metadata.lifetime = "FIRST", False, 8
            for key in ("FIRST", "SECOND"):
                self.server.add_user(key, "admin")
            daemon = self.serve(metadata.container(), access_key_id=None, secret_access_key=None)
            keys = []
            while "SECOND" not in keys:
                reply = daemon.batch("upload", (oid_of(b"x"), 1))
                self.assertEqual(reply.status, 200)
                (item,) = reply.json["objects"]
                action = item["actions"]["upload"]
                self.assertLessEqual(action["expires_in"], 8)
                keys += re.findall("Credential=([A-Z]+)", action["href"])
                metadata.key = "SECOND"
                self.assertLess(len(keys), 400)
                time.sleep(0.05)
            self.assertEqual(keys[0], "FIRST")
            metadata.lifetime = 3600
            repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
            self.assert_round_trip(repo, FILES)


class CheckTests(S3TestCase):
    """``twistd giftless --check`` says in one line what is wrong."""

    def check(
        self, storage: dict[str, Any], environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it."""
        name = f"check-{next(self._numbers)}"
        daemon = self.make_daemon(name, config={"storage": storage})
        daemon.environ = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(daemon.directory),
            **(environ or {}),
        }
        return check(daemon)

    def test_all_is_well(self) -> None:
        for mode in ("direct", "proxy"):
            result = self.check(self.server.options(self.bucket, mode=mode))
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("the configuration is fine", result.stdout)
        self.assertEqual(self.server.objects(self.bucket), {})

    def test_what_is_wrong(self) -> None:
        for changes, key, words in (
            ({"bucket": "missing"}, "storage.bucket", "no such bucket"),
            ({"access_key_id": "AKIDWRONG"}, "storage.access_key_id", "does not know"),
            ({"secret_access_key": "x"}, "storage.secret_access_key", "does not belong"),
            ({"region": "us-west-2"}, "storage.region", f"is in '{S3.REGION}'"),
            ({"endpoint_url": "http://127.0.0.1:9"}, "storage.endpoint_url", "refused"),
            (
                {"access_key_id": None, "secret_access_key": None},
                "storage.access_key_id",
                "no AWS credentials found",
            ),
        ):
            result = self.check({**self.server.options(self.bucket), **changes})
            self.assertEqual(result.returncode, 1, result.stdout)
            (line,) = result.stderr.splitlines()
            self.assertIn(key, line)
            self.assertIn(words, line)
            self.assertNotIn(S3.SECRET_KEY, line)

    def test_somebody_without_permission(self) -> None:
        user = self.server.add_user(f"user-of-{self.bucket}")
        storage = self.server.options(self.bucket, prefix="lfs", **user)
        policy = minimal_policy(self.bucket)

        def assert_blamed(words: str) -> None:
            result = self.check(storage)
            self.assertEqual(result.returncode, 1, result.stdout)
            (line,) = result.stderr.splitlines()
            self.assertIn(words, line)

        assert_blamed("may not read objects")
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": [user["access_key_id"]]}
        for action, words in (
            ("s3:GetObject", "may not read objects: it needs s3:GetObject and s3:ListBucket"),
            ("s3:PutObject", "may not write objects: it needs s3:PutObject"),
            (
                "s3:DeleteObject",
                "may not delete objects, as resumable uploads do: it needs s3:DeleteO",
            ),
            ("s3:ListBucketMultipartUploads", "uploads in parts: it needs s3:ListBucketMult"),
            ("s3:AbortMultipartUpload", "uploads in parts: it needs s3:AbortMultipartUpload"),
            ("s3:ListMultipartUploadParts", "parts of uploads: it needs s3:ListMultipartUploadP"),
        ):
            without = [
                {**statement, "Action": [name for name in statement["Action"] if name != action]}
                for statement in policy["Statement"]
            ]
            self.server.set_policy(self.bucket, {**policy, "Statement": without})
            assert_blamed(words)
        # What the documentation says is enough.
        self.server.set_policy(self.bucket, policy)
        self.assertEqual(self.check(storage).returncode, 0)
        for mode in ("direct", "proxy"):
            daemon = self.start_daemon(
                mode,
                config={
                    "storage": {**storage, "mode": mode, "part_size": 1},
                    "log_format": "json",
                },
            )
            repo = Git(self.directory / f"home-{mode}").create(
                self.directory / f"work-{mode}", f"{daemon.url}/{REPO}-{mode}"
            )
            self.assert_round_trip(repo, FILES)
            self.assert_taken_in_parts(daemon, os.urandom(5 * MIB + 1))

    def assert_taken_in_parts(self, daemon: Daemon, data: bytes) -> None:
        """Upload an object in parts, on whichever way."""
        body = {
            "operation": "upload",
            "transfers": ["multipart-basic"],
            "objects": [{"oid": oid_of(data), "size": len(data)}],
        }
        path = f"/{REPO}.git/info/lfs/objects/batch"
        reply = daemon.request("POST", path, json.dumps(body).encode())
        actions = reply.json["objects"][0]["actions"]
        for part in actions["parts"]:
            piece = data[part["pos"] : part["pos"] + part["size"]]
            request = urllib.request.Request(
                part["href"], piece, part.get("header", {}), method="PUT"
            )
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        for name in ("commit", "abort"):
            action = actions[name]
            status = daemon.request("POST", action["href"], b"", action["header"]).status
            self.assertEqual(status, 200)

    def test_configurations_of_the_page(self) -> None:
        """What the page about S3 shows works, with the names of the server here."""
        blocks = code(DOCS / "storage" / "s3.rst", "yaml")
        self.assertGreater(len(blocks), 3)
        own = self.server.options(self.bucket, public_endpoint_url="http://localhost:1")
        self.server.add_user("PAGE", "admin")
        with FakeMetadata() as metadata:
            metadata.key, metadata.tokens = "PAGE", False
            for block in blocks:
                section = yaml.safe_load(block.content)["storage"]
                section.update({name: own[name] for name in section if name in own})
                section.update({name: own[name] for name in ("endpoint_url", "region")})
                result = self.check(section, metadata.container())
                self.assertEqual(result.stderr, "", block.where)
                self.assertIn("the configuration is fine", result.stdout)
            self.assertEqual(metadata.paths, ["/creds"])

    def test_a_start_asks_nobody(self) -> None:
        """The daemon starts while the store is away."""
        daemon = self.serve(endpoint_url="http://127.0.0.1:9", timeout=1)
        self.assertEqual(daemon.batch("download", (oid_of(b"x"), 1)).status, 503)


def minimal_policy(bucket: str) -> dict[str, Any]:
    """Return the permissions that the documentation asks for, for a bucket and ``lfs/``."""
    block = code(DOCS / "storage" / "s3.rst", "json")[0]
    text = block.content.replace("example-lfs", bucket)
    policy: dict[str, Any] = json.loads(text)
    return policy


def exchange(
    daemon: Daemon, method: str, oid: str, body: Iterable[bytes], size: int
) -> tuple[int, str]:
    """Send a request and digest its answer, piece by piece.

    :returns: the status, and the SHA-256 of the body.
    """
    client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    try:
        headers = {"Content-Length": str(size)} if size else {}
        client.request(method, object_path(oid), iter(body) if size else None, headers)
        reply = client.getresponse()
        digest = hashlib.sha256()
        for data in _pieces(reply):
            digest.update(data)
        return reply.status, digest.hexdigest()
    finally:
        client.close()


def _pieces(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    while data := reply.read(MIB):
        yield data
