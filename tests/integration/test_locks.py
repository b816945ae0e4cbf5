"""File locking with the stock client, and ``giftless locks`` beside the daemon."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import bcrypt
import yaml

from tests.integration.locking import LOCKS, giftless
from tests.integration.sharing import SharingTestCase
from tests.integration.support import REPO, Daemon, Git, GitRepo
from tests.support.rounds import rounds
from tests.support.tokens import basic

#: What each user may do; their passwords are their names.
ACCESS = {"alice": "write", "bob": "write", "carol": "admin", "rita": "read"}


#: A plugin file with a lock store that keeps everything in one small file.
PLUGIN = '''
import json
import msgspec
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from twisted.plugin import IPlugin
from zope.interface import implementer

from giftless.interfaces import ILockStore, ILockStoreFactory
from giftless.lfs.locks import Lock, LockPage, PathLocked
from giftless.lfs.objects import Repo


class Options(msgspec.Struct, frozen=True, kw_only=True):
    file: str


@implementer(ILockStore)
class FileStore:
    """Keeps locks in a file of JSON; good for one process, and for this test."""

    def __init__(self, file):
        self._file = Path(file)

    def _read(self):
        rows = json.loads(self._file.read_text()) if self._file.exists() else []
        return [Lock(i, Repo(tuple(r)), p, o, t, w) for i, r, p, o, t, w in rows]

    def _write(self, locks):
        rows = [
            [k.id, k.repo.segments, k.path, k.owner, k.locked_at, k.principal] for k in locks
        ]
        self._file.write_text(json.dumps(rows))

    async def create(self, lock):
        for other in self._read():
            if (other.repo, other.path) == (lock.repo, lock.path):
                raise PathLocked.by(other)
        self._write([lock, *self._read()])

    async def page(self, query):
        return LockPage(tuple(
            lock for lock in self._read()
            if query.repo in (None, lock.repo)
            and query.path in (None, lock.path)
            and query.id in (None, lock.id)
        ))

    async def count(self):
        return len(self._read())

    async def remove(self, lock):
        locks = self._read()
        self._write([other for other in locks if other.id != lock.id])
        return len(self._read()) < len(locks)


@implementer(IPlugin, ILockStoreFactory)
class Factory:
    name = "file"
    Options = Options

    def build(self, options, environment):
        return FileStore(options.file)


locks = Factory()
'''


@contextmanager
def people(directory: Path) -> Iterator[dict[str, Any]]:
    """Make the configuration of a daemon that knows people by passwords."""
    users = directory / "htpasswd"
    users.write_text(
        "".join(
            f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n"
            for user in ACCESS
        )
    )
    access = directory / "access.yaml"
    access.write_text(yaml.safe_dump({user: {"**": level} for user, level in ACCESS.items()}))
    yield {
        "log_format": "json",
        "auth": [{"type": "basic", "htpasswd": str(users), "access": str(access)}],
    }


class LockTestCase(SharingTestCase):
    """A daemon that knows people by passwords."""

    daemon: Daemon

    def config(self, **locks: Any) -> dict[str, Any]:
        """Return its configuration, with options of the ``locks`` section."""
        return {**self.share("people", people), "locks": {"type": "sqlite", **locks}}

    def headers(self, user: str) -> dict[str, str]:
        """Return the headers of a user's requests."""
        return {"Authorization": basic(user, user)}

    def lock(self, path: str, user: str = "alice") -> dict[str, Any]:
        """Lock a path past git."""
        body = json.dumps({"path": path}).encode()
        path = f"/{self.repo}.git/info/lfs/locks"
        response = self.daemon.request("POST", path, body, self.headers(user))
        self.assertEqual(response.status, 201, response.body)
        found: dict[str, Any] = response.json["lock"]
        return found


class PeopleTestCase(LockTestCase):
    """Two people with a clone each, who edit the same files.

    :cvar options: those of the daemon's ``locks`` section.
    """

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.share_daemon(**self.config(**self.options))
        self.alice = self.create("alice")
        self.bob = self.clone("bob")

    def git(self, user: str) -> Git:
        """Set up git for a user, whose helper knows the password."""
        git = Git(self.directory / f"home-{user}")
        store = git.home / "credentials"
        git.run(git.home, "config", "--global", "credential.helper", f"store --file={store}")
        host = self.daemon.url.removeprefix("http://")
        subprocess.run(
            ["git", "credential-store", f"--file={store}", "store"],
            input=f"protocol=http\nhost={host}\nusername={user}\npassword={user}\n\n",
            text=True,
            check=True,
        )
        return git

    def create(self, user: str) -> GitRepo:
        """Make a repository whose large files are to be locked before they are edited."""
        git = self.git(user)
        repo = git.create(self.directory / user, f"{self.daemon.url}/{self.repo}.git/info/lfs")
        repo.git("config", "-f", ".lfsconfig", "lfs.locksverify", "true")
        repo.git("lfs", "track", "--lockable", "*.bin")
        (repo.directory / "art").mkdir()
        (repo.directory / "art" / "ü 1.bin").write_bytes(b"one")
        repo.git("add", ".lfsconfig", ".gitattributes", "art")
        repo.commit({"logo.bin": b"logo", "other.bin": b"other", "text.txt": b"text"})
        # What git does after a commit.
        repo.git("lfs", "post-commit")
        repo.push()
        return repo

    def clone(self, user: str) -> GitRepo:
        """Clone what alice has pushed."""
        git = self.git(user)
        return GitRepo(git, self.alice.directory, self.alice.remote).clone(self.directory / user)

    def lfs(self, repo: GitRepo, *arguments: str) -> tuple[bool, str]:
        """Run git-lfs.

        :returns: whether it succeeded, and all that it printed.
        """
        result = repo.commands.try_run(repo.directory, "lfs", *arguments)
        return result.returncode == 0, result.stdout + result.stderr

    def assert_lfs(self, repo: GitRepo, *arguments: str, fails: bool = False) -> str:
        """Run git-lfs, which must succeed, or must not.

        :returns: all that it printed.
        """
        succeeded, text = self.lfs(repo, *arguments)
        self.assertIs(succeeded, not fails, text)
        return text

    def writable(self, repo: GitRepo, name: str) -> bool:
        """Whether a file of the working tree may be edited."""
        return bool(os.stat(repo.directory / name).st_mode & stat.S_IWUSR)

    def edit(self, repo: GitRepo, name: str, data: bytes) -> None:
        """Commit another content of a file, locked or not."""
        (repo.directory / name).chmod(0o644)
        repo.commit({name: data})


class PeopleTests(PeopleTestCase):
    """Everybody with write access may take away locks."""

    def test_editing_in_turn(self) -> None:
        """Lock, edit, push, unlock; the other one waits, is told why, and goes on."""
        for repo in (self.alice, self.bob):
            self.assertFalse(self.writable(repo, "logo.bin"))
            self.assertTrue(self.writable(repo, "text.txt"))
        self.assert_lfs(self.alice, "lock", "logo.bin")
        self.assertTrue(self.writable(self.alice, "logo.bin"))
        told = self.assert_lfs(self.bob, "lock", "logo.bin", fails=True)
        self.assertIn("logo.bin is locked by alice since ", told)
        listed = self.assert_lfs(self.bob, "locks")
        self.assertRegex(listed, r"logo\.bin\s+alice\s+ID:[0-9a-f]{16}\s")

        self.edit(self.bob, "logo.bin", b"bob's")
        refused = self.bob.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("logo.bin - alice", refused.stdout + refused.stderr)
        self.bob.git("reset", "--quiet", "--hard", "origin/main")

        self.edit(self.alice, "logo.bin", b"alice's")
        pushed = self.alice.try_push()
        self.assertEqual(pushed.returncode, 0, pushed.stderr)
        self.assertIn("logo.bin", pushed.stderr + pushed.stdout)
        self.assert_lfs(self.alice, "unlock", "logo.bin")
        self.assertFalse(self.writable(self.alice, "logo.bin"))
        self.assertEqual(self.assert_lfs(self.alice, "locks"), "")

        self.bob.git("pull", "--quiet")
        self.assertEqual(self.bob.read("logo.bin"), b"alice's")
        self.assert_lfs(self.bob, "lock", "logo.bin")
        self.edit(self.bob, "logo.bin", b"bob's")
        self.bob.push()

    def test_pushing_what_nobody_has_locked(self) -> None:
        """Other people's locks on other files are in nobody's way."""
        self.assert_lfs(self.alice, "lock", "logo.bin")
        self.edit(self.bob, "other.bin", b"bob's")
        self.bob.push()

    def test_a_push_that_is_only_warned(self) -> None:
        """Who has not asked for more is told of a conflict, and may push."""
        self.bob.git("config", "-f", ".lfsconfig", "--unset", "lfs.locksverify")
        self.assert_lfs(self.alice, "lock", "logo.bin")
        self.edit(self.bob, "logo.bin", b"bob's")
        pushed = self.bob.try_push()
        self.assertEqual(pushed.returncode, 0, pushed.stderr)
        self.assertIn("logo.bin - alice", pushed.stdout + pushed.stderr)

    def test_names_that_need_care(self) -> None:
        """A folder, a space and an umlaut, by path and by id."""
        name = "art/ü 1.bin"
        self.assert_lfs(self.alice, "lock", name)
        self.assertIn(name, self.assert_lfs(self.bob, "locks", f"--path={name}"))
        self.assert_lfs(self.alice, "unlock", name)
        self.assert_lfs(self.alice, "lock", name)
        (lock,) = json.loads(self.assert_lfs(self.bob, "locks", "--json"))
        self.assertEqual((lock["path"], lock["owner"]["name"]), (name, "alice"))
        self.assert_lfs(self.alice, "unlock", f"--id={lock['id']}")

    def test_unlocking_by_force(self) -> None:
        """Without force the refusal says whose lock it is; with it the lock goes."""
        self.assert_lfs(self.alice, "lock", "logo.bin")
        told = self.assert_lfs(self.bob, "unlock", "logo.bin", fails=True)
        self.assertIn("alice", told)
        self.assertIn("force", told)
        self.assert_lfs(self.bob, "unlock", "--force", "logo.bin")
        self.assertEqual(self.assert_lfs(self.bob, "locks"), "")
        told = self.assert_lfs(self.alice, "unlock", "logo.bin", fails=True)
        self.assertIn("unable to get lock ID", told)

    def test_a_reader_sees_locks_and_makes_none(self) -> None:
        """Who may read sees locks, and makes none."""
        rita = self.clone("rita")
        self.assert_lfs(self.alice, "lock", "logo.bin")
        self.assertIn("alice", self.assert_lfs(rita, "locks"))
        told = self.assert_lfs(rita, "lock", "other.bin", fails=True)
        self.assertIn("rita does not have write access", told)

    def test_a_listing_of_many_locks(self) -> None:
        """The client pages through them, each once, and a push minds the oldest as well."""
        self.lock("logo.bin")
        count = rounds(300, 1000)
        paths = {f"folder/{number}.bin" for number in range(count - 1)}
        for path in paths:
            self.lock(path)
        listed = json.loads(self.assert_lfs(self.bob, "locks", "--json"))
        self.assertEqual(len(listed), count)
        self.assertEqual({lock["path"] for lock in listed}, {"logo.bin", *paths})
        self.assertEqual(len(self.daemon.accesses("GET", "/locks")), count // 100)
        limited = json.loads(self.assert_lfs(self.bob, "locks", "--json", "--limit", "7"))
        self.assertEqual(len(limited), 7)
        verified = json.loads(self.assert_lfs(self.alice, "locks", "--verify", "--json"))
        self.assertEqual(len(verified["ours"]), count)
        self.edit(self.bob, "logo.bin", b"bob's")
        refused = self.bob.try_push()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("logo.bin - alice", refused.stdout + refused.stderr)


class ForceTests(PeopleTestCase):
    """Administrators alone may take away locks."""

    options: ClassVar[dict[str, Any]] = {"force": "admin"}

    def test_only_an_administrator_unlocks_by_force(self) -> None:
        self.assert_lfs(self.alice, "lock", "logo.bin")
        told = self.assert_lfs(self.bob, "unlock", "--force", "logo.bin", fails=True)
        self.assertIn("it takes admin access", told)
        self.assert_lfs(self.clone("carol"), "unlock", "--force", "logo.bin")


class PushTests(LockTestCase):
    """Servers on which nobody locks anything: a push goes its way."""

    def push(self, daemon: Daemon) -> tuple[str, GitRepo]:
        """Push to a daemon with an untouched client.

        :returns: what the client printed, and the repository.
        """
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}.git/info/lfs")
        repo.commit({"one.bin": b"1"})
        pushed = repo.try_push()
        self.assertEqual(pushed.returncode, 0, pushed.stderr)
        return pushed.stdout + pushed.stderr, repo

    def locksverify(self, repo: GitRepo) -> str:
        """What the client has noted about locks."""
        key = r"^lfs\..*\.locksverify$"
        result = repo.commands.try_run(repo.directory, "config", "--get-regexp", key)
        return result.stdout.rpartition(" ")[2].strip()

    def test_anybody_may_push_with_the_embedded_defaults(self) -> None:
        """Anybody may push without a question; who locks is told what is the matter."""
        daemon = self.make_daemon(config=None)
        daemon.environ = {"GIFTLESS_ENDPOINTS__0": f"tcp:{daemon.port}:interface=127.0.0.1"}
        daemon.start()
        printed, repo = self.push(daemon)
        self.assertNotIn("redential", printed)
        self.assertEqual(self.locksverify(repo), "")
        refused = repo.commands.try_run(repo.directory, "lfs", "lock", "one.bin")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("a name is needed to lock files", refused.stderr)
        self.assertEqual(repo.git("lfs", "locks"), "")

    def test_anonymous_locks_do_not_stop_a_push(self) -> None:
        daemon = self.start_daemon(config={"locks": {"type": "sqlite", "anonymous": True}})
        _, repo = self.push(daemon)
        repo.git("lfs", "lock", "one.bin")
        self.assertIn("anonymous", repo.git("lfs", "locks"))
        repo.commit({"one.bin": b"2"})
        repo.push()
        repo.git("lfs", "unlock", "one.bin")

    def test_a_server_without_locks_is_asked_once(self) -> None:
        """The client notes it at the first push, and asks no more."""
        daemon = self.start_daemon(config={"log_format": "json", "locks": {"type": "none"}})
        _, repo = self.push(daemon)
        self.assertEqual(self.locksverify(repo), "false")
        repo.commit({"two.bin": b"2"})
        repo.push()
        self.assertEqual(len(daemon.accesses("POST", "/locks/verify")), 1)
        refused = repo.commands.try_run(repo.directory, "lfs", "lock", "one.bin")
        self.assertIn("this server has no file locks", refused.stderr)
        listed = giftless(daemon, "locks", "list", "--config", str(daemon.write_config()))
        self.assertEqual(listed.returncode, 1)
        self.assertIn("there are no locks (locks.type)", listed.stderr)
        self.assertFalse(list(daemon.directory.rglob("locks.sqlite")))


class PluginTests(LockTestCase):
    """A lock store that somebody else has written."""

    def test_it_is_dropped_in(self) -> None:
        """One file in a directory; the daemon and the command use it."""
        plugins = self.directory / "plugins"
        plugins.mkdir()
        (plugins / "file_locks.py").write_text(PLUGIN)
        section = {"type": "file", "file": str(self.directory / "locks"), "anonymous": True}
        daemon = self.start_daemon(config={"plugin_path": [str(plugins)], "locks": section})
        reply = daemon.request("POST", LOCKS, b'{"path": "a.psd"}')
        self.assertEqual(reply.status, 201, reply.body)
        self.assertEqual(daemon.request("POST", LOCKS, b'{"path": "a.psd"}').status, 409)
        lock_id = reply.json["lock"]["id"]
        config = str(daemon.directory / "giftless.yaml")
        listed = giftless(daemon, "locks", "--config", config, "list")
        self.assertIn(lock_id, listed.stdout, listed.stderr)
        released = giftless(daemon, "locks", "--config", config, "release", lock_id)
        self.assertEqual((released.returncode, released.stderr), (0, ""))
        self.assertEqual(daemon.request("GET", LOCKS).json, {"locks": []})


class CommandTests(LockTestCase):
    """``giftless locks``, while the daemon runs."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.start_daemon(config=self.config())
        self.file = str(self.daemon.directory / "giftless.yaml")

    def run_command(self, *arguments: str, fails: bool = False) -> str:
        """Run it, which must succeed, or fail with one line.

        :returns: what it printed.
        """
        name, *others = arguments
        result = giftless(self.daemon, "locks", name, "--config", self.file, *others)
        if fails:
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertTrue(result.stderr.startswith("giftless: "), result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
            return result.stderr
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_the_command_lists_all_locks(self) -> None:
        repo = self.repo
        self.assertEqual(self.run_command("list"), "")
        first, second = self.lock("a b.psd"), self.lock("ü.psd", "bob")
        lines = [
            "\t".join((repo, lock["path"], lock["owner"]["name"], lock["locked_at"], lock["id"]))
            for lock in (second, first)
        ]
        self.assertEqual(self.run_command("list").splitlines(), lines)
        self.assertEqual(self.run_command("list", "--repo", repo).splitlines(), lines)
        self.assertEqual(self.run_command("list", "--repo", "acme/other"), "")
        rows = [json.loads(line) for line in self.run_command("list", "--json").splitlines()]
        self.assertEqual(
            rows[1],
            {
                "repo": repo,
                "path": "a b.psd",
                "owner": "alice",
                "principal": "basic#alice",
                "locked_at": first["locked_at"],
                "id": first["id"],
            },
        )

    def test_the_command_releases_by_id_and_path(self) -> None:
        """By id, or by path; what is released can be locked again at once."""
        repo = self.repo
        first, second, third = self.lock("1"), self.lock("2", "bob"), self.lock("3")
        self.assertIn(first["id"], self.run_command("release", first["id"]))
        self.assertIn(second["id"], self.run_command("release", "--repo", repo, "2"))
        self.assertEqual(len(self.run_command("list").splitlines()), 1)
        self.lock("1", "bob")
        self.lock("2")
        self.assertIn("no lock", self.run_command("release", first["id"], fails=True))
        self.assertIn("no lock", self.run_command("release", third["id"], "x", fails=True))
        self.assertIn("no lock", self.run_command("release", "--repo", repo, "../3", fails=True))
        self.assertEqual(len(self.run_command("list").splitlines()), 3)

    def test_each_mistake_of_usage_is_explained(self) -> None:
        for arguments, words in (
            (("release",), "say which locks"),
            (("list", "--repo", "a//b"), "is no repository"),
            (("drop",), "Unknown command"),
        ):
            result = giftless(self.daemon, "locks", *arguments)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)
        result = giftless(self.daemon, "locks", "--config", self.file)
        self.assertIn("list, release", result.stderr)
        Path(self.file).write_text("locks: {type: sqlite, path: /nowhere/locks.sqlite}")
        told = self.run_command("list", fails=True)
        self.assertIn(f"{self.file}: locks.path: ", told)
