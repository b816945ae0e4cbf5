"""A mirror of another giftless, which knows people by their passwords."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from tests.integration.support import Daemon, Git, GitRepo, IntegrationTestCase, oid_of
from tests.support.commands import run_command
from tests.support.processes import wait_until
from tests.support.rounds import rounds
from tests.support.tokens import basic

#: What each user may do in every repository; their passwords are their names.
ACCESS = {"alice": "write", "bob": "write", "rita": "read"}

REPO = "hub/acme/rocket"
LOCKS = f"/{REPO}.git/info/lfs/locks"


class PeerTestCase(IntegrationTestCase):
    """A server with its own people, and a mirror of it."""

    workers = 1

    def setUp(self) -> None:
        super().setUp()
        self.users = self.directory / "htpasswd"
        self.know(*ACCESS)
        access = self.directory / "access.yaml"
        access.write_text(yaml.safe_dump({user: {"**": level} for user, level in ACCESS.items()}))
        auth = {"type": "basic", "htpasswd": str(self.users), "access": str(access)}
        self.upstream = self.start_daemon("upstream", config={"log_format": "json", "auth": [auth]})
        self.mirror = self.start_daemon(
            "mirror",
            config={
                "log_format": "json",
                "auth": [{"type": "mirror"}],
                "workers": self.workers,
                "storage": {
                    "type": "mirror",
                    "path": "kept",
                    "limit": "1G",
                    "upstreams": [{"prefix": "hub", "url": self.upstream.url}],
                },
            },
        )

    def know(self, *users: str) -> None:
        """Let the server know some users."""
        lines = (f"{u}:{bcrypt.hashpw(u.encode(), bcrypt.gensalt(4)).decode()}\n" for u in users)
        self.users.write_text("".join(lines))

    def headers(self, user: str) -> dict[str, str]:
        """Return the headers of a user's requests."""
        return {"Authorization": basic(user, user)}

    def git_of(self, user: str) -> Git:
        """Set up git for a user."""
        git = Git(self.directory / f"home-{user}")
        credentials = git.home / "credentials"
        credentials.write_text(f"http://{user}:{user}@127.0.0.1:{self.mirror.port}\n")
        git.run(git.home, "config", "--global", "credential.helper", f"store --file={credentials}")
        return git

    def create(self, git: Git) -> GitRepo:
        """Make a repository that uses the mirror."""
        return git.create(self.directory / "work", f"{self.mirror.url}/{REPO}.git/info/lfs")

    def push_past(self, *objects: bytes) -> None:
        """Store objects at the server, past the mirror."""
        for data in objects:
            path = f"/acme/rocket/objects/storage/{oid_of(data)}"
            reply = self.upstream.request("PUT", path, data, self.headers("alice"))
            self.assertEqual(reply.status, 200, reply.body)


class LockTests(PeerTestCase):
    """Locks are the server's."""

    def ask(self, user: str, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        """Send a request about locks to the mirror."""
        data = None if body is None else json.dumps(body).encode()
        reply = self.mirror.request(method, LOCKS + path, data, self.headers(user))
        return reply.status, reply.json

    def test_locks_are_made_listed_and_removed_there(self) -> None:
        for path in ("a.psd", "b.psd", "c.psd"):
            status, made = self.ask("alice", "POST", "", {"path": path})
            self.assertEqual((status, made["lock"]["owner"]["name"]), (201, "alice"))
        status, taken = self.ask("bob", "POST", "", {"path": "a.psd"})
        self.assertEqual((status, taken["lock"]["path"]), (409, "a.psd"))
        self.assertIn("alice", taken["message"])
        # Page by page.
        _, first = self.ask("rita", "GET", "?limit=2")
        _, rest = self.ask("rita", "GET", f"?limit=2&cursor={first['next_cursor']}")
        paths = [lock["path"] for lock in first["locks"] + rest["locks"]]
        self.assertEqual(sorted(paths), ["a.psd", "b.psd", "c.psd"])
        _, one = self.ask("rita", "GET", "?path=b.psd")
        self.assertEqual([lock["path"] for lock in one["locks"]], ["b.psd"])
        status, seen = self.ask("bob", "POST", "/verify", {"limit": 2})
        self.assertEqual((status, seen["ours"], len(seen["theirs"])), (200, [], 2))
        # What is refused there is refused here, in the same words.
        lock_id = made["lock"]["id"]
        status, refused = self.ask("bob", "POST", f"/{lock_id}/unlock", {})
        self.assertEqual(status, 403)
        self.assertIn("do not hold", refused["message"])
        status, gone = self.ask("alice", "POST", f"/{lock_id}/unlock", {"force": False})
        self.assertEqual((status, gone["lock"]["id"]), (200, lock_id))
        self.assertEqual(self.ask("alice", "POST", f"/{lock_id}/unlock", {})[0], 404)
        self.assertEqual(self.ask("rita", "POST", "", {"path": "d.psd"})[0], 403)
        self.assertEqual(self.ask("eve", "POST", "", {"path": "d.psd"})[0], 401)
        self.assertEqual(self.mirror.request("GET", LOCKS).status, 401)
        for strange in ("..", "%2e%2e", "a%2fb", "a%3fb"):
            status, _ = self.ask("alice", "POST", f"/{strange}/unlock", {})
            self.assertIn(status, (400, 404), strange)

    def test_a_server_that_is_away_has_no_locks_to_tell(self) -> None:
        self.upstream.stop()
        status, said = self.ask("alice", "POST", "", {"path": "a.psd"})
        self.assertEqual(status, 503)
        self.assertIn(self.upstream.url, said["message"])

    def test_the_stock_client_locks_through_the_mirror(self) -> None:
        alice, bob = self.git_of("alice"), self.git_of("bob")
        repo = self.create(alice)
        repo.commit({"a.bin": b"1"})
        repo.push()
        repo.git("lfs", "lock", "a.bin")
        self.assertIn("a.bin", repo.git("lfs", "locks"))
        other = GitRepo(bob, self.directory / "bob", repo.remote)
        bob.run(bob.home, "clone", "--quiet", str(repo.remote), str(other.directory))
        other.git("config", "lfs.locksverify", "true")
        other.commit({"a.bin": b"2"})
        result = other.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("alice", result.stdout + result.stderr)
        repo.git("lfs", "unlock", "a.bin")
        self.assertEqual(other.try_push().returncode, 0)


class SharedTests(PeerTestCase):
    """Many clients at once."""

    workers = 2

    def fetch(self, data: bytes) -> bool:
        """Download an object as a client does, and compare it."""
        reply = self.mirror.batch(
            "download", (oid_of(data), len(data)), repo=REPO, headers=self.headers("rita")
        )
        action = reply.json["objects"][0]["actions"]["download"]
        found = self.mirror.request("GET", action["href"], headers=action["header"])
        return found.status == 200 and found.body == data

    def test_fifty_clients_of_a_cold_repository_cost_one_transfer_of_each_object(self) -> None:
        objects = [os.urandom(2_000_000) for _ in range(3)]
        self.push_past(*objects)
        with ThreadPoolExecutor(50) as pool:
            results = list(pool.map(self.fetch, objects * 50))
        self.assertTrue(all(results))
        gets = self.upstream.accesses("GET", "/objects/storage/")
        self.assertEqual(sorted(a["path"][-64:] for a in gets), sorted(map(oid_of, objects)))

    def test_many_objects_come_whole(self) -> None:
        """A repository of 300 objects, in the long rounds 10,000, comes whole, twice."""
        git = self.git_of("alice")
        # git packs what is loose behind our back, and git-lfs misses it then.
        git.run(git.home, "config", "--global", "gc.auto", "0")
        repo = self.create(git)
        files = {f"{index}.bin": b"object %d" % index for index in range(rounds(300, 10_000))}
        repo.commit(files)
        repo.push()
        for name in ("first", "second"):
            clone = repo.clone(self.directory / name)
            self.assertEqual(clone.objects(), sorted(map(oid_of, files.values())))
        self.assertEqual(len(self.upstream.accesses("GET", "/objects/storage/")), len(files))

    def cache(self, *arguments: str, user: str = "alice") -> dict[str, Any]:
        """Run ``giftless cache``, with the credentials that a user's git has."""
        home = self.directory / f"home-{user}"
        done = run_command(
            *("giftless", "cache", *arguments, "--config", "giftless.yaml", "--json"),
            directory=self.mirror.directory,
            environ={"HOME": str(home), "XDG_CONFIG_HOME": str(home / "xdg")},
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def test_a_mirror_is_warmed_by_refs_with_the_credential_of_git(self) -> None:
        git = self.git_of("alice")
        with (git.home / "credentials").open("a") as file:
            file.write(f"http://alice:alice@127.0.0.1:{self.upstream.port}\n")
        repo = git.create(self.directory / "work", f"{self.upstream.url}/acme/rocket.git/info/lfs")
        files = {f"{index}.bin": b"object %d" % index for index in range(150)}
        repo.commit(files)
        repo.push()
        source = f"file://{repo.remote}"
        warmed = self.cache("warm", "--from", source, REPO)
        size = sum(map(len, files.values()))
        self.assertEqual((warmed["copied"], warmed["bytes"], warmed["failed"]), (150, size, 0))
        self.assertEqual(self.cache("warm", "--from", source, REPO)["present"], 150)
        absent = self.cache("warm", REPO, oid_of(b"nowhere"))
        self.assertEqual((absent["absent"], absent["copied"]), (1, 0))
        (holdings,) = self.cache("stats")["caches"]
        self.assertEqual((holdings["entries"], holdings["bytes"]), (150, size))
        self.upstream.forget()
        self.assertTrue(self.fetch(files["0.bin"]))
        self.assertEqual(self.upstream.accesses("GET", "/objects/storage/"), [])
        self.assertEqual(self.cache("drop", REPO)["removed"], 150)

    def test_who_is_gone_there_is_refused_here(self) -> None:
        data = b"some data"
        self.push_past(data)
        self.assertTrue(self.fetch(data))
        self.know("alice", "bob")
        wait_until(
            lambda: (
                self.mirror.batch(
                    "download", (oid_of(data), len(data)), repo=REPO, headers=self.headers("rita")
                ).status
                == 401
            ),
            "the server to know it",
        )

    def test_a_server_that_dies_in_mid_transfer_gives_no_wrong_bytes(self) -> None:
        data = os.urandom(20_000_000)
        git = self.git_of("alice")
        repo = self.create(git)
        repo.commit({"large.bin": data})
        repo.push()
        clone = subprocess.Popen(
            ["git", "clone", "--quiet", str(repo.remote), str(self.directory / "clone")],
            cwd=git.home,
            env=git.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _begun(self.mirror), "the transfer to begin")
        self.upstream.kill()
        self.upstream.start()
        clone.wait()
        found = self.directory / "clone" / "large.bin"
        if clone.returncode == 0:
            self.assertEqual(found.read_bytes(), data)
        git.run(self.directory / "clone", "lfs", "pull")
        self.assertEqual(found.read_bytes(), data)


def _begun(mirror: Daemon) -> bool:
    kept = Path(mirror.directory, "kept")
    return any(path.is_file() and path.stat().st_size > 1_000_000 for path in kept.rglob("*"))
