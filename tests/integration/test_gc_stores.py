"""``giftless gc`` over each kind of store, through the real servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.integration import test_azure, test_gcs, test_s3
from tests.integration.support import Daemon, IntegrationTestCase, oid_of
from tests.support.commands import run_command

if TYPE_CHECKING:
    _Mixin = IntegrationTestCase
else:
    _Mixin = object

REPO = "acme/rocket"

#: Files of a branch that stays, and of one that is deleted and restored.
KEPT = {f"kept-{number}.bin": b"kept %d" % number for number in range(3)}
TOPIC = {f"topic-{number}.bin": b"topic %d" % number for number in range(2)}


class CollectionContract(_Mixin):
    """Objects of a deleted branch go into the trash, and come back with it."""

    def start_server(self) -> Daemon:
        """Start a daemon over the store."""
        raise NotImplementedError

    def objects(self) -> Mapping[str, bytes]:
        """Return what is in the store, by its path."""
        raise NotImplementedError

    def places(self) -> tuple[set[str], set[str]]:
        """Return the oids of what is stored, and of what is in the trash alone."""
        stored, trashed = set(), set()
        for path in self.objects():
            directory, _, oid = path.rpartition("/")
            if directory == REPO:
                stored.add(oid)
            elif directory == "acme/.giftless/trash/rocket":
                trashed.add(oid)
        return stored, trashed - stored

    def collect(self, daemon: Daemon, source: object) -> Any:
        """Collect garbage, without any grace."""
        result = run_command(
            "giftless",
            *("gc", REPO, "--from", str(source), "--really", "--grace=0", "--json"),
            "--config=giftless.yaml",
            directory=daemon.directory,
            environ={"HOME": str(self.home), **daemon.environ},
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        (report,) = json.loads(result.stdout)["repositories"]
        return report

    def test_objects_of_a_deleted_branch_go_and_come_back(self) -> None:
        daemon = self.start_server()
        git = self.make_git()
        self.home = git.home
        repo = git.create(self.directory / "work", f"{daemon.url}/{REPO}")
        repo.commit(KEPT)
        repo.push()
        repo.git("checkout", "--quiet", "-b", "topic")
        repo.commit(TOPIC)
        repo.git("push", "--quiet", "origin", "topic")
        kept, topic = ({oid_of(data) for data in files.values()} for files in (KEPT, TOPIC))
        report = self.collect(daemon, repo.remote)
        self.assertEqual(report["kept"]["objects"], 5)
        self.assertEqual(self.places(), (kept | topic, set()))
        repo.git("push", "--quiet", "origin", ":topic")
        report = self.collect(daemon, repo.remote)
        self.assertEqual((report["kept"]["objects"], report["trashed"]["objects"]), (3, 2))
        self.assertEqual(self.places(), (kept, topic))
        # The client offers nothing: it has seen these objects there.
        repo.git("push", "--quiet", "--no-verify", "origin", "topic")
        report = self.collect(daemon, repo.remote)
        self.assertEqual((report["restored"]["objects"], report["trashed"]["objects"]), (2, 0))
        self.assertEqual(self.places(), (kept | topic, set()))
        clone = repo.clone(self.directory / "clone")
        clone.git("lfs", "fetch", "--all")
        self.assertEqual(set(clone.objects()), kept | topic)


class S3Tests(CollectionContract, test_s3.S3TestCase):
    def start_server(self) -> Daemon:
        return self.serve()

    def objects(self) -> Mapping[str, bytes]:
        return self.server.objects(self.bucket)


class GCSTests(CollectionContract, test_gcs.GCSTestCase):
    def start_server(self) -> Daemon:
        return self.serve(self.google.options(self.bucket))

    def objects(self) -> Mapping[str, bytes]:
        return self.google.objects(self.bucket)


class AzureTests(CollectionContract, test_azure.AzureTestCase):
    def start_server(self) -> Daemon:
        return self.start()

    def objects(self) -> Mapping[str, bytes]:
        return self.server.objects(self.container)
