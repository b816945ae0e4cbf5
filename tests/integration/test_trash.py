"""The trash with git, on a disk and in each kind of cloud."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.integration.support import REPO, Daemon, IntegrationTestCase, oid_of
from tests.support.azurite import azurite
from tests.support.gcs import google
from tests.support.processes import installed, wait_until
from tests.support.servers import shared, versitygw

#: Does something with the objects of a configuration, as commands do.
SCRIPT = """
import os, sys
from giftless.app import config
from giftless.app.space import build_space
from giftless.commands.parts import use_parts
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.usecases.locks import By

file, what, repo, *rest = sys.argv[1:]

async def job(settings, parts):
    space = build_space(settings, parts)
    parts.environment.services.startService()
    trash, by, repos = space.required_trash, By("a test"), space.required_repositories
    here = Repo.parse(repo.split("/"))
    if what == "rename":
        print((await repos.rename(here, Repo.parse(rest[0].split("/")), by)).objects)
        return
    keys = [ObjectKey(here, Oid(oid)) for oid in rest]
    if what == "discard":
        print(len((await trash.discard(keys, "it was a test", by)).moved))
    elif what == "restore":
        print(len((await trash.restore(keys, by)).restored))
    else:
        print(await trash.purge(keys, by))

use_parts(config.load(file, os.environ), job)
"""

MIB = 1024 * 1024

if TYPE_CHECKING:
    _Mixin = IntegrationTestCase
else:
    _Mixin = object


class TrashContract(_Mixin):
    """What holds on every storage."""

    _numbers = itertools.count()

    def storage(self) -> dict[str, Any]:
        """Return the section of a storage that is empty."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.number = next(self._numbers)
        state = str(self.directory / "state")
        self.config = {"storage": self.storage(), "state_dir": state}
        self.daemon = self.start_daemon(config=self.config)
        auth = [{"type": "anonymous", "access": "read"}]
        self.reading = self.make_daemon("reading", config={**self.config, "auth": auth})

    def work(self, what: str, *arguments: str) -> int:
        """Do something with objects; returns with how many."""
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(self.daemon.write_config()), what, *arguments],
            cwd=self.daemon.directory,
            env=dict(installed().environ),
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        return int(result.stdout)

    def ask(self, daemon: Daemon, operation: str, data: bytes, repo: str = REPO) -> Any:
        """Ask for one object; return the error's code, or the names of its actions."""
        body = {"operation": operation, "objects": [{"oid": oid_of(data), "size": len(data)}]}
        response = daemon.request(
            "POST", f"/{repo}.git/info/lfs/objects/batch", json.dumps(body).encode()
        )
        (item,) = json.loads(response.body)["objects"]
        return item["error"]["code"] if "error" in item else sorted(item.get("actions", {}))

    def test_what_is_deleted_comes_back_for_writers(self) -> None:
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        data = os.urandom(MIB)
        self.assert_round_trip(repo, {"a.bin": data, "b.bin": b"another one"})
        oids = [oid_of(data), oid_of(b"another one")]
        self.assertEqual(self.work("discard", REPO, *oids), 2)
        self.reading.start()
        self.assertEqual(self.ask(self.reading, "download", data), 410)
        self.assertEqual(self.ask(self.reading, "download", b"something else"), 404)
        self.reading.stop()
        # A clone needs both, and may write.
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), data)
        self.assertEqual(clone.read("b.bin"), b"another one")
        # The worker knows of the trash some seconds later.
        self.assertEqual(self.work("discard", REPO, *oids), 2)
        wait_until(lambda: self.ask(self.daemon, "upload", data) == [], "the trash is known")
        self.assertEqual(self.ask(self.daemon, "upload", data), [])
        self.assertEqual(self.work("restore", REPO, *oids), 2)
        self.assertEqual(self.work("discard", REPO, *oids), 2)
        self.assertEqual(self.work("purge", REPO, *oids), 2)
        self.assertEqual(self.ask(self.daemon, "download", data), 404)

    def test_a_renamed_repository_is_found_by_both_names(self) -> None:
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        files = {"a.bin": os.urandom(MIB), "b.bin": b"another one"}
        repo.commit(files)
        repo.push()
        self.assertEqual(self.work("rename", REPO, "org/renamed"), 2)
        for name in (REPO, "org/renamed"):
            self.assertEqual(self.ask(self.daemon, "download", b"another one", name), ["download"])
        self.assertEqual(self.ask(self.daemon, "upload", b"another one"), [])
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), files["a.bin"])


class LocalTests(TrashContract, IntegrationTestCase):
    def storage(self) -> dict[str, Any]:
        return {"type": "local", "path": str(self.directory / "objects")}


class S3Tests(TrashContract, IntegrationTestCase):
    def storage(self) -> dict[str, Any]:
        return shared(versitygw).options(f"trash-{self.number}")


class GCSTests(TrashContract, IntegrationTestCase):
    def storage(self) -> dict[str, Any]:
        server = shared(google)
        server.create(bucket := f"trash-{self.number}")
        return server.options(bucket)


class AzureTests(TrashContract, IntegrationTestCase):
    def storage(self) -> dict[str, Any]:
        server = shared(azurite)
        server.create(container := f"trash-{self.number}")
        return server.options(container)
