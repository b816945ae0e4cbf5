"""``giftless cache``, as a process."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from giftless.storage.cache.entries import name_of
from tests.commands.test_objects import DATA, ObjectsTestCase
from tests.support.making import key_of, repo_of


class CacheCommandTests(ObjectsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.plain = json.loads(self.config.read_text())
        inner = {"type": "local", "path": "data"}
        self.configure({"type": "cache", "path": "cache", "limit": "1M", "store": inner})

    def configure(self, storage: dict[str, Any]) -> None:
        """Write a configuration with a storage."""
        self.config.write_text(json.dumps({**self.plain, "storage": storage}))

    def kept(self, repo: str = "acme/rocket") -> list[bool]:
        """Tell which objects have a copy."""
        place = self.directory / "cache" / "entries" / name_of(repo_of(repo))
        return [(place / key_of(data).oid).exists() for data in DATA]

    def test_objects_are_copied_and_dropped(self) -> None:
        total = sum(map(len, DATA))
        (done,) = self.run_json("cache", "warm", "acme/rocket")
        expected = {"copied": 5, "bytes": total, "present": 0, "absent": 0, "failed": 0}
        self.assertEqual(done, expected)
        self.assertEqual((self.kept(), self.kept("acme/other")), ([True] * 5, [False] * 5))
        written, _ = self.run_giftless("cache", "warm", "acme/rocket")
        self.assertEqual(written, "copied 0 objects (0 B), 5 were there\n")
        (stats,) = self.run_json("cache", "stats")
        (found,) = stats["caches"]
        self.assertEqual((found["bytes"], found["entries"], found["limit"]), (total, 5, 10**6))
        written, _ = self.run_giftless("cache", "stats")
        self.assertEqual(written, "cache: 15.0 kB of 1.0 MB in 5 objects\n")
        first, second = (key_of(data).oid for data in DATA[:2])
        written, _ = self.run_giftless("cache", "drop", "acme/rocket", first)
        self.assertEqual(written, "removed 1 object\n")
        (done,) = self.run_json("cache", "drop", "acme/rocket", "-", stdin=f"{second}\n\n")
        self.assertEqual((done, self.kept()), ({"removed": 1}, [False, False, True, True, True]))
        (done,) = self.run_json("cache", "drop", "acme/rocket", "-", stdin="")
        self.assertEqual(done, {"removed": 0})
        self.assertEqual(self.run_json("cache", "drop", "acme/rocket"), [{"removed": 3}])
        self.assertEqual(self.run_json("cache", "drop", "--all"), [{"removed": 0}])

    def test_some_objects_are_copied(self) -> None:
        absent = key_of(b"absent").oid
        oids = [key_of(DATA[1]).oid, absent, key_of(DATA[1]).oid]
        written, _ = self.run_giftless("cache", "warm", "acme/rocket", *oids)
        self.assertIn("copied 1 object (", written)
        self.assertIn("1 are not in the store", written)
        self.assertEqual(self.kept(), [False, True, False, False, False])

    def test_those_are_copied_that_a_git_repository_needs(self) -> None:
        clone = self.directory / "clone"
        oid = key_of(DATA[3]).oid
        clone.mkdir()
        (clone / "x.psd").write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(DATA[3])}\n"
        )
        for arguments in (
            ["init", "-q", "-b", "main"],
            ["add", "."],
            ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-m", "x"],
        ):
            environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
            subprocess.run(["git", *arguments], cwd=clone, check=True, env=environ)
        (done,) = self.run_json("cache", "warm", "--from", str(clone), "acme/rocket")
        self.assertEqual((done["copied"], done["absent"]), (1, 0))
        self.assertEqual(self.kept(), [False, False, False, True, False])
        _, problem = self.run_giftless(
            "cache", "warm", "--from", str(self.directory), "acme/rocket", status=1
        )
        self.assertIn(str(self.directory), problem)

    def test_what_has_no_room_is_told(self) -> None:
        inner = {"type": "local", "path": "data"}
        self.configure({"type": "cache", "path": "cache", "limit": 100, "store": inner})
        written, problem = self.run_giftless("cache", "warm", "acme/rocket", status=1)
        self.assertIn("5 could not be copied", written)
        self.assertIn("has no room for this object", problem)
        self.assertIn("giftless: 5 objects could not be copied", problem)

    def test_a_cache_inside_another_storage_is_found(self) -> None:
        inner = {"type": "local", "path": "data"}
        cache = {"type": "cache", "path": "cache", "limit": "1M", "store": inner}
        old = {"type": "local", "path": "old"}
        self.configure({"type": "moving", "to": cache, "from": old})
        self.assertEqual(self.run_json("cache", "warm", "acme/rocket")[0]["copied"], 5)

    def test_what_is_wrong_is_said_in_one_line(self) -> None:
        for arguments, words in (
            ([], "say what to do: stats, warm, drop"),
            (["drop"], "say what to remove: REPO [OID...], or --all"),
            (["drop", "--all", "acme/rocket"], "say what to remove"),
            (["drop", "acme/rocket", "xyz"], "xyz: the oid must be"),
            (["drop", "../etc"], "is no repository"),
            (
                ["warm", "--from", "https://x", "acme/rocket", "0" * 64],
                "give OIDs or --from, not both",
            ),
            (["warm", "--from", "ext::sh", "acme/rocket"], "could run anything"),
            (["warm", "--jobs", "0", "acme/rocket"], "--jobs is from 1 to"),
        ):
            _, complaint = self.run_giftless("cache", *arguments, status=1)
            self.assertIn(words, complaint)
            self.assertEqual(complaint.count("\n"), 1, complaint)
        self.configure({"type": "local", "path": "data"})
        for command in (["stats"], ["warm", "acme/rocket"], ["drop", "--all"]):
            _, complaint = self.run_giftless("cache", *command, status=1)
            self.assertIn("this storage has no cache", complaint)
