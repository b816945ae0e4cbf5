"""The stock client against the daemon: what git users do all day."""

import os
from pathlib import Path

from tests.integration.sharing import SharingTestCase
from tests.integration.support import (
    IntegrationTestCase,
    file_digest,
    oid_of,
    read_reply,
    stored_objects,
    temporaries,
    upload_head,
)
from tests.support.processes import ENDED, wait_until
from tests.support.rounds import rounds

KIB = 1024
MIB = 1024 * KIB


class RoundTripTests(SharingTestCase):
    """Push and clone."""

    FILES = {"empty.bin": b"", "one.bin": b"1", "three.bin": os.urandom(3 * MIB)}

    def test_info_lfs_url(self) -> None:
        """Files of 0 B, 1 B and 3 MB survive a push and a clone, below a group's path."""
        daemon = self.start_daemon()
        url = f"{daemon.url}/acme/group/rocket.git/info/lfs"
        self.assert_round_trip(self.make_git().create(self.directory / "work", url), self.FILES)
        self.assertEqual(
            sorted(stored_objects(daemon.store)),
            sorted(
                daemon.store / "acme" / "group" / "rocket" / oid_of(data)
                for data in self.FILES.values()
                if data
            ),
        )
        self.assertEqual(daemon.stop(), ENDED)

    def test_the_short_url_names_the_same_repository(self) -> None:
        """They do over the short form of the URL, which names the same repository."""
        daemon = self.share_daemon(log_format="json")
        url = f"{daemon.url}/{self.repo}"
        self.assert_round_trip(self.make_git().create(self.directory / "work", url), self.FILES)
        three = self.FILES["three.bin"]
        self.assertEqual(daemon.get(oid_of(three), f"{self.repo}.git/info/lfs").body, three)

    def test_percent_encoded_names(self) -> None:
        """A repository whose name needs percent-encoding is served."""
        daemon = self.share_daemon(log_format="json")
        url = f"{daemon.url}/%C3%A9quipe%20A/fus%C3%A9e.git/info/lfs"
        self.assert_round_trip(
            self.make_git().create(self.directory / "work", url), {"one.bin": b"1"}
        )
        self.assertTrue((daemon.store / "équipe A" / "fusée" / oid_of(b"1")).is_file())

    def test_a_huge_file_survives(self) -> None:
        """A file of 40 MB, in the long rounds one of 1 GB, survives a push and a clone."""
        size = rounds(40, 1024) * MIB
        daemon = self.share_daemon(log_format="json")
        repo = self.make_git().create(
            self.directory / "work", f"{daemon.url}/{self.repo}.git/info/lfs"
        )
        original = repo.directory / "huge.bin"
        digest = _write_noise(original, size)
        repo.commit_files(["huge.bin"])
        repo.push()
        clone = repo.clone(self.directory / "clone")
        self.assertEqual((clone.directory / "huge.bin").stat().st_size, size)
        self.assertEqual(file_digest(clone.directory / "huge.bin"), digest)

    def test_present_objects_are_not_sent_again(self) -> None:
        """Objects that are there already are not sent again."""
        daemon = self.share_daemon(log_format="json")
        git = self.make_git()
        url = f"{daemon.url}/{self.repo}.git/info/lfs"
        self.assert_round_trip(git.create(self.directory / "one", url), {"a.bin": b"same"})
        self.assert_round_trip(git.create(self.directory / "two", url), {"b.bin": b"same"})
        self.assertEqual(len(daemon.accesses("PUT")), 1)

    def test_a_push_of_several_batches_arrives_whole(self) -> None:
        """A push of more objects than one batch has arrives whole, verified or not."""
        git = self.make_git()
        for verify, verifications in (("auto", 0), ("always", 150)):
            daemon = self.share_daemon(log_format="json", actions={"verify": verify})
            url = f"{daemon.url}/{self.repo}-{verify}.git/info/lfs"
            repo = git.create(self.directory / f"work-{verify}", url)
            files = {f"{index:03}.bin": b"object %d" % index for index in range(150)}
            self.assert_round_trip(repo, files)
            self.assertEqual(len(daemon.accesses("PUT")), 150)
            found = daemon.accesses("POST", "/objects/storage/verify")
            self.assertEqual([access["status"] for access in found], [200] * verifications)


class ResumeTests(SharingTestCase):
    """Downloads that were cut."""

    def test_partial_download_is_resumed(self) -> None:
        """``git lfs fetch`` asks for the missing bytes only, and gets them."""
        daemon = self.share_daemon(log_format="json")
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/{self.repo}.git/info/lfs")
        data = os.urandom(3 * MIB)
        repo.commit({"large.bin": data})
        repo.push()
        clone = git.run(
            self.directory,
            "-c",
            "filter.lfs.smudge=",
            "-c",
            "filter.lfs.process=",
            "-c",
            "filter.lfs.required=false",
            "clone",
            "--quiet",
            str(repo.remote),
            "clone",
        )
        self.assertEqual(clone, "")
        incomplete = self.directory / "clone" / ".git" / "lfs" / "incomplete"
        incomplete.mkdir(parents=True)
        oid = oid_of(data)
        (incomplete / f"{oid}.part").write_bytes(data[: 2 * MIB])
        git.run(self.directory / "clone", "lfs", "fetch")
        git.run(self.directory / "clone", "lfs", "checkout")
        self.assertEqual((self.directory / "clone" / "large.bin").read_bytes(), data)
        (access,) = daemon.accesses("GET", oid)
        self.assertEqual((access["status"], access["bytes"]), (206, MIB))


class MissingTests(SharingTestCase):
    """What git users see when the server cannot help."""

    def test_a_lost_object_is_named_by_a_fetch(self) -> None:
        """A fetch of an object that the server lost fails and names the object."""
        daemon = self.share_daemon(log_format="json")
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/{self.repo}.git/info/lfs")
        repo.commit({"a.bin": b"lost"})
        repo.push()
        (stored,) = stored_objects(daemon.store / self.repo)
        stored.unlink()
        result = git.try_run(
            self.directory, "clone", "--quiet", str(repo.remote), str(self.directory / "clone")
        )
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(oid_of(b"lost"), result.stderr)
        self.assertIn("does not exist on this server", result.stderr)

    def test_an_anonymous_reader_clones_and_does_not_push(self) -> None:
        """Anonymous users who may only read can clone, and their push ends at once."""
        daemon = self.share_daemon(auth=[{"type": "anonymous", "access": "read"}])
        path = daemon.store / self.repo / oid_of(b"kept")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"kept")
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/{self.repo}.git/info/lfs")
        repo.commit({"a.bin": b"kept"})
        # The object is there already, and yet this is somebody who may not push.
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        # In the server's words: git is not made to ask for a password.
        self.assertIn("this server gives nobody write access", result.stderr)
        self.assertNotIn("Username", result.stderr)
        repo.git("push", "--quiet", "--no-verify", "origin", "main")
        self.assertEqual(repo.clone(self.directory / "clone").read("a.bin"), b"kept")


class ExistingStoreTests(IntegrationTestCase):
    """Stores that were filled by somebody else."""

    def test_served_in_place(self) -> None:
        """Objects written by hand below the prefix are served, and not sent again."""
        store = self.directory / "existing"
        directory = store / "team-a" / "acme" / "rocket"
        directory.mkdir(parents=True)
        data = os.urandom(100 * KIB)
        (directory / oid_of(data)).write_bytes(data)
        daemon = self.start_daemon(
            config={
                "storage": {"type": "local", "path": str(store), "prefix": "team-a"},
                "log_format": "json",
            }
        )
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/acme/rocket")
        self.assert_round_trip(repo, {"old.bin": data, "new.bin": b"new"})
        self.assertEqual(
            {path.name for path in directory.iterdir()}, {oid_of(data), oid_of(b"new")}
        )
        daemon.stop()
        self.assertEqual(len(daemon.accesses("PUT")), 1)


class SharedStoreTests(IntegrationTestCase):
    """Two daemons over one directory."""

    def test_two_daemons_share_one_directory(self) -> None:
        """What is pushed through one is cloned through the other, whose start harms nothing."""
        store, state = self.directory / "store", self.directory / "state"
        config = {
            "storage": {"type": "local", "path": str(store)},
            "state_dir": str(state),
        }
        one = self.start_daemon("one", config=config)
        data = os.urandom(32 * MIB)
        half = len(data) // 2
        with one.connect() as uploading:
            uploading.sendall(upload_head(oid_of(data), len(data)) + data[:half])
            wait_until(lambda: temporaries(store), "the upload's temporary file")
            two = self.start_daemon("two", config=config)
            self.assertEqual(len(temporaries(store)), 1)
            uploading.sendall(data[half:])
            self.assertEqual(read_reply(uploading)[0], 200)
        self.assertEqual(two.get(oid_of(data)).body, data)
        reply = one.batch("upload", (oid_of(b"shared"), 6))
        upload = reply.json["objects"][0]["actions"]["upload"]
        path = upload["href"].removeprefix(one.url)
        self.assertEqual(two.request("PUT", path, b"shared", upload["header"]).status, 200)
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{one.url}/acme/rocket")
        repo.commit({"a.bin": b"through one"})
        repo.push()
        repo.git("config", "-f", ".lfsconfig", "lfs.url", f"{two.url}/acme/rocket")
        repo.git("commit", "--quiet", "--all", "-m", "Move to the other server")
        repo.push()
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("a.bin"), b"through one")


def _write_noise(path: Path, size: int) -> str:
    """Write bytes that do not repeat, and return their SHA-256."""
    block = bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for index in range(size // MIB):
            block[:8] = index.to_bytes(8, "big")
            file.write(block)
    return file_digest(path)
