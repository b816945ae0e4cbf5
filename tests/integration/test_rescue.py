"""Clones of real git-lfs give a real server back what it has lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.sharing import SharingTestCase
from tests.integration.support import Git, GitRepo, oid_of, stored_objects
from tests.support.bodies import altered
from tests.support.commands import run_command

ONE, TWO, THREE = os.urandom(300_000), b"two" * 1000, b"three" * 20_000


class RescueTests(SharingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.share_daemon(log_format="json")
        self.git = self.make_git()
        self.pushed = self.share("pushed", self.push)
        self.work = self.make(self.repo)

    @contextmanager
    def push(self, directory: Path) -> Iterator[Path]:
        """Push three objects, once for all tests."""
        git = Git(directory / "home")
        work = git.create(directory / "work", f"{self.daemon.url}/acme/pushed.git/info/lfs")
        work.commit({"one.bin": ONE, "two.bin": TWO})
        work.commit({"three.bin": THREE})
        work.push()
        yield directory

    def make(self, repo: str) -> GitRepo:
        """Make a repository with three objects, as if it had been pushed."""
        folder = self.directory / repo.replace("/", "-")
        shutil.copytree(self.pushed / "work", folder / "work")
        shutil.copytree(self.pushed / "work.git", folder / "work.git")
        shutil.copytree(self.daemon.store / "acme/pushed", self.daemon.store / repo)
        work = GitRepo(self.git, folder / "work", folder / "work.git")
        work.git("remote", "set-url", "origin", str(work.remote))
        work.git("config", "lfs.url", f"{self.daemon.url}/{repo}.git/info/lfs")
        return work

    def path(self, data: bytes) -> Path:
        """Return where the server keeps an object."""
        return self.daemon.store / self.repo / oid_of(data)

    def lose(self, *objects: bytes) -> None:
        """Remove objects from the server."""
        for data in objects:
            os.unlink(self.path(data))

    def clone(self, name: str) -> GitRepo:
        """Clone the repository, with its objects."""
        url = self.work.git("config", "lfs.url").strip()
        return self.work.clone(self.directory / name, "-c", f"lfs.url={url}")

    def rescue(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return run_command(
            *("giftless", "rescue", *map(str, arguments)),
            directory=self.directory,
            environ=self.git.environ,
        )

    def lines(self, *arguments: object) -> list[dict[str, Any]]:
        """Return what the command prints as JSON."""
        done = self.rescue("--json", *arguments)
        self.assertEqual(done.stderr, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def of_clone(self, clone: GitRepo, data: bytes) -> Path:
        """Return where a clone keeps an object."""
        oid = oid_of(data)
        return clone.directory / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid

    def test_what_the_server_lacks_is_pushed_back(self) -> None:
        self.lose(ONE, THREE)
        done = self.rescue(self.work.directory)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("2 objects sent (400 kB); 1 object on the server already.", done.stdout)
        self.assertEqual(self.path(ONE).read_bytes(), ONE)
        self.assertEqual(self.path(THREE).read_bytes(), THREE)
        fresh = self.clone("fresh")
        self.assertEqual(fresh.read("one.bin"), ONE)

    def test_a_dry_run_sends_nothing(self) -> None:
        self.lose(ONE)
        done = self.rescue("--dry-run", self.work.directory)
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"wanted    {oid_of(ONE)}", done.stdout)
        self.assertFalse(self.path(ONE).exists())

    def test_several_clones_help_one_another(self) -> None:
        other = self.clone("other")
        self.lose(ONE, TWO, THREE)
        self.of_clone(self.work, ONE).unlink()
        self.of_clone(other, TWO).unlink()
        *findings, last = self.lines(self.work.directory, other.directory)
        self.assertEqual([each["result"] for each in findings], ["sent"] * 3)
        self.assertEqual(last["summary"]["objects"], {"sent": 3})
        self.assertEqual(self.path(TWO).read_bytes(), TWO)
        puts = [event for event in self.daemon.events if event.get("method") == "PUT"]
        uploads = [event for event in puts if oid_of(THREE) in event["path"]]
        self.assertEqual(len(uploads), 1, "what both have is sent once")

    def test_a_rotten_copy_is_found_and_another_one_used(self) -> None:
        other = self.clone("other")
        self.lose(ONE)
        rotten = self.of_clone(self.work, ONE)
        rotten.chmod(0o644)
        rotten.write_bytes(altered(ONE))
        *findings, last = self.lines(self.work.directory, other.directory)
        self.assertEqual(
            [(each["result"], each["path"]) for each in findings],
            [("rotten", str(rotten)), ("sent", str(self.of_clone(other, ONE)))],
        )
        self.assertEqual(last["summary"]["objects"], {"rotten": 1, "sent": 1})
        self.assertEqual(self.path(ONE).read_bytes(), ONE)

    def test_what_no_clone_has_is_told_by_the_status(self) -> None:
        self.lose(ONE, TWO)
        self.of_clone(self.work, ONE).unlink()
        done = self.rescue(self.work.directory)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"lost      {oid_of(ONE)}  no clone has it", done.stdout)
        self.assertTrue(self.path(TWO).exists())

    def test_a_bare_clone_and_a_work_tree_will_do(self) -> None:
        tree = self.directory / "tree"
        self.work.git("worktree", "add", "--quiet", str(tree), "-b", "side")
        self.lose(ONE)
        self.assertEqual(self.rescue(tree).returncode, 0)
        bare = self.directory / "bare"
        self.git.run(self.directory, "clone", "--quiet", "--bare", str(self.work.remote), str(bare))
        shutil.copytree(self.work.directory / ".git/lfs", bare / "lfs")
        url = self.work.git("config", "lfs.url").strip()
        self.git.run(bare, "config", "lfs.url", url)
        self.lose(ONE)
        done = self.rescue(bare)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.path(ONE).read_bytes(), ONE)

    def test_clones_of_two_repositories_go_to_their_servers(self) -> None:
        self.lose(ONE)
        before, self.repo = self.repo, f"{self.repo}-other"
        other = self.make(self.repo)
        self.lose(TWO)
        *findings, last = self.lines(self.work.directory, other.directory)
        self.assertEqual({each["oid"] for each in findings}, {oid_of(ONE), oid_of(TWO)})
        self.assertEqual(last["summary"]["servers"], 2)
        self.assertTrue((self.daemon.store / before / oid_of(ONE)).exists())

    def test_another_server_can_be_filled(self) -> None:
        before, self.repo = self.repo, f"{self.repo}-moved"
        url = f"{self.daemon.url}/{self.repo}.git/info/lfs"
        done = self.rescue("--url", url, self.work.directory)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(list(stored_objects(self.daemon.store / self.repo))), 3, before)

    def test_what_no_ref_leads_to_is_sent_on_demand(self) -> None:
        self.work.commit({"secret.bin": b"not to be published"})
        self.work.git("reset", "--quiet", "--hard", "HEAD~1")
        self.rescue(self.work.directory)
        self.assertFalse(self.path(b"not to be published").exists())
        self.rescue("--everything", self.work.directory)
        self.assertTrue(self.path(b"not to be published").exists())

    def test_a_folder_that_is_no_clone_is_named(self) -> None:
        folder = self.directory / "folder"
        folder.mkdir()
        done = self.rescue(folder)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{folder} is in no git repository", done.stderr)

    def test_a_server_that_is_down_is_told_in_one_line(self) -> None:
        done = self.rescue("--url", "http://127.0.0.1:1/acme/rocket", self.work.directory)
        self.assertEqual(done.returncode, 1)
        last = done.stderr.splitlines()[-1]
        self.assertIn("http://127.0.0.1:1/acme/rocket/objects/batch: ", last)


class RefusedRescueTests(SharingTestCase):
    """A server that wants to know who pushes."""

    def test_the_credentials_of_git_are_used(self) -> None:
        users = self.directory / "htpasswd"
        run_command(
            *("giftless", "htpasswd", "--stdin", str(users), "tess"),
            directory=self.directory,
            stdin="secret\n",
        ).check_returncode()
        access = self.directory / "access.yaml"
        access.write_text("tess: {'**': write}\n")
        daemon = self.share_daemon(
            auth=[{"type": "basic", "htpasswd": str(users), "access": str(access)}]
        )
        git = self.make_git()
        url = f"{daemon.url}/{self.repo}.git/info/lfs"
        work = git.create(self.directory / "work", url)
        work.commit({"one.bin": ONE})
        environ = git.environ

        def rescue() -> subprocess.CompletedProcess[str]:
            return run_command(
                *("giftless", "rescue", str(work.directory)),
                directory=self.directory,
                environ=environ,
            )

        refused = rescue()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("there is no credential", refused.stderr)
        credentials = git.home / "credentials"
        credentials.write_text(f"http://tess:secret@127.0.0.1:{daemon.port}\n")
        git.run(git.home, "config", "--global", "credential.helper", f"store --file={credentials}")
        done = rescue()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue((daemon.store / self.repo / oid_of(ONE)).exists())
