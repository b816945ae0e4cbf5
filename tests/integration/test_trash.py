"""The trash with git, on a disk and in each kind of cloud."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.locking import AUTH, header
from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import Daemon, oid_of
from tests.support.azurite import azurite
from tests.support.commands import run_trashing
from tests.support.gcs import google
from tests.support.processes import wait_until
from tests.support.servers import shared, versitygw

MIB = 1024 * 1024

if TYPE_CHECKING:
    _Mixin = SharingTestCase
else:
    _Mixin = object


class TrashContract(_Mixin):
    """What holds on every storage."""

    def storage(self, directory: Path) -> dict[str, Any]:
        """Return the section of a storage that is empty.

        :param directory: where it may keep something.
        """
        raise NotImplementedError

    def setUp(self) -> None:
        """Share the daemon: anybody writes, and who has a token does what it says."""
        super().setUp()

        def start(directory: Path) -> AbstractContextManager[Daemon]:
            auth = [*AUTH, {"type": "anonymous", "access": "read-write"}]
            config = {"storage": self.storage(directory), "auth": auth}
            return running(Daemon(directory, config=config))

        self.daemon = self.share(type(self).__name__, start)

    def work(self, what: str, *arguments: str) -> int:
        """Do something with objects beside the daemon; returns with how many."""
        return run_trashing(self.daemon.directory, what, *arguments)

    def ask(
        self,
        operation: str,
        data: bytes,
        repo: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Ask for one object; return the error's code, or the names of its actions."""
        wanted = (oid_of(data), len(data))
        reply = self.daemon.batch(operation, wanted, repo=repo or self.repo, headers=headers)
        (item,) = reply.json["objects"]
        return item["error"]["code"] if "error" in item else sorted(item.get("actions", {}))

    def test_what_is_deleted_comes_back_for_writers(self) -> None:
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{self.repo}")
        data = os.urandom(MIB)
        self.assert_round_trip(repo, {"a.bin": data, "b.bin": b"another one"})
        oids = [oid_of(data), oid_of(b"another one")]
        self.assertEqual(self.work("discard", self.repo, *oids), 2)
        reader = header("rita", "obj:*:read")
        self.assertEqual(self.ask("download", data, headers=reader), 410)
        self.assertEqual(self.ask("download", b"something else", headers=reader), 404)
        # A clone needs both, and may write.
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), data)
        self.assertEqual(clone.read("b.bin"), b"another one")
        # The worker knows of the trash some seconds later.
        self.assertEqual(self.work("discard", self.repo, *oids), 2)
        wait_until(lambda: self.ask("upload", data) == [], "the trash is known")
        self.assertEqual(self.ask("upload", data), [])
        self.assertEqual(self.work("restore", self.repo, *oids), 2)
        self.assertEqual(self.work("discard", self.repo, *oids), 2)
        self.assertEqual(self.work("purge", self.repo, *oids), 2)
        self.assertEqual(self.ask("download", data), 404)

    def test_a_renamed_repository_is_found_by_both_names(self) -> None:
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{self.repo}")
        files = {"a.bin": os.urandom(MIB), "b.bin": b"another one"}
        repo.commit(files)
        repo.push()
        renamed = f"org/{self.repo}"
        self.assertEqual(self.work("rename", self.repo, renamed), 2)
        for name in (self.repo, renamed):
            self.assertEqual(self.ask("download", b"another one", name), ["download"])
        self.assertEqual(self.ask("upload", b"another one"), [])
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), files["a.bin"])


class LocalTests(TrashContract, SharingTestCase):
    def storage(self, directory: Path) -> dict[str, Any]:
        return {"type": "local", "path": str(directory / "objects")}


class S3Tests(TrashContract, SharingTestCase):
    def storage(self, directory: Path) -> dict[str, Any]:
        return shared(versitygw).options("trash")


class GCSTests(TrashContract, SharingTestCase):
    def storage(self, directory: Path) -> dict[str, Any]:
        server = shared(google)
        server.create("trash")
        return server.options("trash")


class AzureTests(TrashContract, SharingTestCase):
    def storage(self, directory: Path) -> dict[str, Any]:
        server = shared(azurite)
        server.create("trash")
        return server.options("trash")
