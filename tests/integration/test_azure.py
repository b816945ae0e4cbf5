"""Pushes and clones with stock git-lfs, and objects in an Azurite."""

from __future__ import annotations

import os
import re
import subprocess
from functools import partial
from typing import Any

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.locking import at_once, check
from tests.integration.support import REPO, Daemon, IntegrationTestCase, oid_of
from tests.support.azurite import azurite
from tests.support.faulty import HANG, SLOW_DOWN, FaultyProxy
from tests.support.processes import wait_until
from tests.support.rounds import rounds
from tests.support.servers import shared

MIB = 1024 * 1024

#: Files of every kind; their oids differ.
FILES = {
    "empty.bin": b"",
    "one.bin": b"x",
    "small.bin": os.urandom(1000),
    "large.bin": os.urandom(3 * MIB),
}

#: What git-lfs keeps; an empty file is no object.
OBJECTS = {oid_of(data): data for data in FILES.values() if data}


class AzureTestCase(IntegrationTestCase):
    """Tests with a container each; skipped where Azurite is missing."""

    def setUp(self) -> None:
        super().setUp()
        self.server = shared(azurite)
        self.container = self.directory.name.replace("_", "0").lower()
        self.server.create(self.container)

    def proxy(self, port: int) -> FaultyProxy:
        """Start a proxy that counts, and can misbehave."""
        proxy = FaultyProxy(port)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy

    def start(self, **options: Any) -> Daemon:
        """Start a daemon over the container."""
        storage = self.server.options(self.container, **options)
        return self.start_daemon(config={"storage": storage, "log_format": "json"})

    def stored(self, repo: str = REPO) -> dict[str, bytes]:
        """Return what is in the container, by oid; all of it is one repository's."""
        objects = self.server.objects(self.container)
        return {name.removeprefix(f"{repo}/"): data for name, data in objects.items()}


class GitTests(AzureTestCase):
    """What git does."""

    def test_objects_go_directly_to_the_store(self) -> None:
        """Objects go between git-lfs and the store; none passes through the daemon."""
        to_store = self.proxy(self.server.port)
        daemon = self.start(
            endpoint_url=f"{to_store.url}/{self.server.ACCOUNT}",
            public_endpoint_url=self.server.url,
        )
        to_daemon = self.proxy(daemon.port)
        url = f"{to_daemon.url}/{REPO}.git/info/lfs"
        repo = self.make_git().create(self.directory / "repo", url)
        self.assert_round_trip(repo, FILES)
        self.assertEqual(self.stored(), OBJECTS)
        for proxy in (to_daemon, to_store):
            self.assertGreater(len(proxy.requests), 3)
            self.assertLess(proxy.sent + proxy.returned, 100_000)
        self.assertEqual(daemon.accesses("PUT"), [])
        verifications = daemon.accesses("POST", "/objects/storage/verify")
        self.assertEqual([entry["status"] for entry in verifications], [200] * len(OBJECTS))

    def test_somebody_else_was_faster(self) -> None:
        """An upload that Azure refuses because the object is there now ends well."""
        to_store = self.proxy(self.server.port)
        daemon = self.start(public_endpoint_url=f"{to_store.url}/{self.server.ACCOUNT}")
        repo = self.make_git().create(self.directory / "repo", f"{daemon.url}/{REPO}")
        data = FILES["large.bin"]
        client = self.server.container(self.container)

        def overtake(head: bytes) -> None:
            if head.startswith(b"PUT ") and not self.stored():
                client.upload_blob(f"{REPO}/{oid_of(data)}", data)

        to_store.fault = overtake
        self.assert_round_trip(repo, {"large.bin": data})
        self.assertEqual([r[:4] for r in to_store.requests], ["PUT ", "GET "])
        self.assertEqual(self.stored(), {oid_of(data): data})

    def test_git_lfs_knows_the_daemon_alone(self) -> None:
        """Git-lfs knows the daemon alone."""
        daemon = self.start(mode="proxy", prefix="team/a")
        repo = self.make_git().create(self.directory / "repo", f"{daemon.url}/{REPO}.git/info/lfs")
        self.assert_round_trip(repo, FILES)
        self.assertEqual(self.stored(f"team/a/{REPO}"), OBJECTS)
        self.assertEqual(len(daemon.accesses("PUT")), len(OBJECTS))
        self.assertEqual(daemon.accesses("POST", "/storage/verify"), [])
        self.assertEqual(daemon.stop(), -15)

    def test_an_object_that_is_there_already(self) -> None:
        """A push of what is in the container uploads nothing."""
        daemon = self.start()
        client = self.server.container(self.container)
        for oid, data in OBJECTS.items():
            client.upload_blob(f"{REPO}/{oid}", data)
        reply = daemon.batch("upload", *((oid, len(data)) for oid, data in OBJECTS.items()))
        self.assertEqual([entry.get("actions") for entry in reply.json["objects"]], [None] * 3)

    def test_a_missing_or_short_upload_is_not_confirmed(self) -> None:
        """An upload that did not take place, or is too short, is not confirmed."""
        daemon = self.start()
        (entry,) = daemon.batch("upload", (oid_of(b"abc"), 3)).json["objects"]
        verify = entry["actions"]["verify"]
        body = b'{"oid": "%s", "size": 3}' % oid_of(b"abc").encode()

        def ask() -> int:
            headers = {**verify["header"], "Content-Type": "application/vnd.git-lfs+json"}
            return daemon.request("POST", verify["href"], body, headers).status

        self.assertEqual(ask(), 404)
        blob = self.server.container(self.container).get_blob_client(f"{REPO}/{oid_of(b'abc')}")
        blob.upload_blob(b"ab")
        self.assertEqual(ask(), 409)
        blob.upload_blob(b"abc", overwrite=True)
        self.assertEqual(ask(), 200)


class MemoryTests(AzureTestCase):
    """What large objects cost a daemon that they pass through."""

    def test_a_large_object_costs_no_memory(self) -> None:
        """64 MB or more go both ways, and the peak is less than 40 MB higher."""
        daemon = self.start(mode="proxy")
        warm = os.urandom(2 * MIB)
        self.assertEqual(daemon.put(warm), 200)
        self.assertEqual(daemon.get(oid_of(warm)).body, warm)
        data = os.urandom(rounds(64, 300) * MIB)
        oid = oid_of(data)
        before = daemon.memory("VmHWM")
        self.assertEqual(daemon.put(data), 200)
        self.assertLess(daemon.memory("VmHWM") - before, 40 * MIB)
        self.assertEqual(oid_of(daemon.get(oid).body), oid)
        self.assertLess(daemon.memory("VmHWM") - before, 40 * MIB)


class FailureTests(AzureTestCase):
    """A store that does not do what it should."""

    def test_an_unavailable_store_is_answered_with_503(self) -> None:
        """Batches get 503 with Retry-After in time; nothing is called absent or leaks."""
        store = self.proxy(self.server.port)
        daemon = self.start(endpoint_url=f"{store.url}/{self.server.ACCOUNT}", timeout=15)
        # Few, because the emulator is slow and a busy machine makes it slower.
        objects = [(oid_of(b"%d" % number), 5) for number in range(20)]
        self.assertEqual(daemon.batch("upload", *objects).status, 200)
        for fault in (SLOW_DOWN, HANG):
            store.always(fault)
            asked = (partial(daemon.batch, name, *objects) for name in ("upload", "download"))
            for reply in at_once(asked):
                self.assertEqual(reply.status, 503)
                self.assertGreater(int(reply.headers["retry-after"]), 0)
        wait_until(lambda: store.open == 0, "connections to close")
        store.always(None)
        reply = daemon.batch("download", *objects)
        self.assertEqual({entry["error"]["code"] for entry in reply.json["objects"]}, {404})
        self.assertNotIn("sig=", daemon.stdout + daemon.stderr)
        self.assertNotIn("Traceback", daemon.stdout + daemon.stderr)


class CheckTests(AzureTestCase):
    """``twistd giftless --check``."""

    def check(self, storage: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return check(Daemon(self.directory, config={"storage": storage}))

    def assert_refused(self, path: str, words: str, **options: Any) -> None:
        """Check that there is one line, which has these words about this option."""
        result = self.check({**self.server.options(self.container), **options})
        self.assertEqual(result.returncode, 1, result.stdout)
        pattern = rf"giftless: \S+giftless.yaml: storage\.{path}: .*{re.escape(words)}.*\n"
        self.assertRegex(result.stderr, rf"\A{pattern}\Z")
        self.assertNotIn(self.server.KEY, result.stderr)

    def test_each_mistake_is_one_line(self) -> None:
        """Each is one line."""
        self.assert_refused("container", "there is no such container", container="missing")
        self.assert_refused("account_key", "wrong key", account_key="AAAA")
        self.assert_refused(
            "endpoint_url", "refused", endpoint_url="http://127.0.0.1:1/x", timeout=2
        )

    def test_configurations_of_the_page(self) -> None:
        """What the page about Azure shows works, with the names of the Azurite."""
        blocks = code(DOCS / "storage" / "azure.rst", "yaml")
        sections = [yaml.safe_load(block.content)["storage"] for block in blocks]
        own = {
            **self.server.options(self.container),
            "connection_string": self.server.connection_string,
        }
        # An identity is tested where there is one.
        keyed = [s for s in sections if {"account_key", "connection_string"} & set(s)]
        self.assertEqual(len(keyed), len(sections) - 1)
        for section in keyed:
            section.update({name: own[name] for name in section if name in own})
            if "account_key" in section:
                section["endpoint_url"] = self.server.url
            result = self.check(section)
            self.assertEqual(result.stderr, "")
            self.assertIn("the configuration is fine", result.stdout)
