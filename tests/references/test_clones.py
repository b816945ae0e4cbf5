"""Clones: everything that a server shows is found, and what is not whole is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any
from unittest import mock

from giftless.references import clones
from giftless.references.clones import Clone
from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.keepset import KeepSet
from giftless.references.sources import parse_source
from tests.references.support import GitTestCase, digest_of, pointer
from tests.support.processes import wait_until


class FoundTests(GitTestCase):
    """What is found."""

    def test_every_ref_counts(self) -> None:
        """Branches, tags of either kind, notes, stashes, what forges make, and HEAD."""
        repo = self.make()
        refs = (
            "refs/heads/topic/a",
            "refs/tags/light",
            "refs/notes/commits",
            "refs/pull/1/head",
            "refs/merge-requests/2/head",
            "refs/changes/34/1234/5",
            "refs/remotes/origin/old",
            "refs/whatever",
        )
        first = self.commit(repo, {"base.bin": pointer("base")})
        for ref in refs:
            commit = self.commit(repo, {"a.bin": pointer(ref)})
            self.git(repo, "update-ref", ref, commit)
            self.git(repo, "reset", "--quiet", "--hard", first)
        self.commit(repo, {"a.bin": pointer("annotated")})
        self.git(repo, "tag", "-a", "-m", "x", "v1")
        self.git(repo, "tag", "-a", "-m", "of a tag", "v2", "v1")
        self.git(repo, "tag", "-d", "v1")
        self.git(repo, "reset", "--quiet", "--hard", first)
        (repo / "base.bin").write_text(pointer("stashed"))
        self.git(repo, "stash")
        self.git(repo, "checkout", "--quiet", "--detach")
        self.commit(repo, {"a.bin": pointer("detached")})
        self.assert_found(repo, "base", "annotated", "stashed", "detached", *refs)

    def test_every_commit_counts(self) -> None:
        """What was deleted long ago, on either side of merges, and at any depth."""
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("deleted"), "deep/er/b.bin": pointer("deep")})
        self.git(repo, "rm", "--quiet", "-r", "a.bin", "deep")
        self.commit(repo, {"c.txt": "text"})
        self.git(repo, "checkout", "--quiet", "-b", "side")
        self.commit(repo, {"d.bin": pointer("side")})
        self.git(repo, "checkout", "--quiet", "main")
        self.commit(repo, {"c.txt": "other"})
        self.git(repo, "merge", "--quiet", "--no-edit", "side")
        self.git(repo, "branch", "--delete", "--force", "side")
        self.assert_found(repo, "deleted", "deep", "side")

    def test_what_no_ref_leads_to_does_not_count(self) -> None:
        repo = self.make()
        first = self.commit(repo, {"a.bin": pointer("kept")})
        self.commit(repo, {"a.bin": pointer("dropped")})
        self.git(repo, "reset", "--quiet", "--hard", first)
        (repo / "staged.bin").write_text(pointer("staged"))
        self.git(repo, "add", "staged.bin")
        self.assert_found(repo, "kept")
        self.assert_found(repo, "kept", "dropped", reflogs=True)

    def test_refs_can_be_left_out(self) -> None:
        repo = self.make()
        first = self.commit(repo, {"a.bin": pointer("kept")})
        self.commit(repo, {"a.bin": pointer("pull")})
        self.git(repo, "update-ref", "refs/pull/1/head", "HEAD")
        self.git(repo, "reset", "--quiet", "--hard", first)
        self.assert_found(repo, "kept", ignored=["refs/pull/*"])
        self.assert_found(repo, "kept", ignored=["refs/pull/1/head"])
        self.assert_found(repo, "kept", ignored=["refs/pull/*/head"])
        self.assert_found(repo, "kept", "pull", ignored=["refs/pull/2/*", "refs/pull"])

    def test_hidden_refs_of_this_machine_count(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("hidden")})
        self.git(repo, "update-ref", "refs/hidden/1", "HEAD")
        self.git(repo, "checkout", "--quiet", "--orphan", "empty")
        self.git(repo, "rm", "--quiet", "-rf", ".")
        self.commit(repo, {"a.txt": "x"})
        self.git(repo, "branch", "-D", "main")
        for name in ("transfer.hideRefs", "uploadpack.hideRefs"):
            self.git(repo, "config", "--add", name, "refs/hidden")
        self.assert_found(repo, "hidden")

    def test_replacements_and_grafts_hide_nothing(self) -> None:
        repo = self.make()
        first = self.commit(repo, {"a.bin": pointer("first")})
        second = self.commit(repo, {"a.bin": pointer("second")})
        self.git(repo, "checkout", "--quiet", "--orphan", "other")
        other = self.commit(repo, {"a.bin": pointer("replacement")})
        self.git(repo, "replace", second, other)
        self.git(repo, "checkout", "--quiet", "main")
        self.git(repo, "branch", "-D", "other")
        self.assert_found(repo, "first", "second", "replacement")
        self.git(repo, "replace", "-d", second)
        (repo / ".git" / "info").mkdir(exist_ok=True)
        (repo / ".git" / "info" / "grafts").write_text(f"{second}\n")
        self.assertNotIn(first, self.git(repo, "rev-list", "main"))
        self.assert_found(repo, "first", "second")

    def test_objects_that_another_repository_lends_count(self) -> None:
        lender = self.make("lender")
        self.commit(lender, {"a.bin": pointer("lent")})
        self.git(self.directory, "clone", "--quiet", "--shared", str(lender), "borrower")
        self.commit(self.directory / "borrower", {"b.bin": pointer("own")})
        self.assert_found(self.directory / "borrower", "lent", "own")

    def test_repositories_of_sha_256_are_read(self) -> None:
        repo = self.make("repo", "--object-format=sha256")
        self.commit(repo, {"a.bin": pointer("a"), "b.bin": pointer("b")})
        self.assert_found(repo, "a", "b")

    def test_bare_repositories_and_linked_working_trees_are_read(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        self.git(self.directory, "clone", "--quiet", "--bare", str(repo), "bare.git")
        self.git(repo, "worktree", "add", "--quiet", str(self.directory / "linked"))
        for name in ("bare.git", "linked"):
            self.assert_found(self.directory / name, "a")
            self.assert_found(f"file://{self.directory / name}", "a")

    def test_submodules_are_repositories_of_their_own(self) -> None:
        inner, outer = self.make("inner"), self.make("outer")
        self.commit(inner, {"a.bin": pointer("inner")})
        self.commit(outer, {"b.bin": pointer("outer")})
        self.git(outer, "submodule", "--quiet", "add", str(inner), "module")
        self.commit(outer, {})
        self.assert_found(outer, "outer")

    def test_size_decides_what_may_be_a_pointer(self) -> None:
        """Up to 1 KiB; larger files do not come at all."""
        repo = self.make()
        padded = pointer("padded")
        self.commit(
            repo,
            {
                "a.bin": padded + "x" * (1024 - len(padded)),
                "b.bin": pointer("large") + "x" * 1024,
                "c.bin": f"sha256:{digest_of('bare').hex()}",
                "large.psd": os.urandom(100_000),
            },
        )
        clone = self.clone(repo)
        clone.fetch()
        keep = KeepSet()
        self.assertEqual(clone.scan(keep), 2)
        self.assertIn(digest_of("padded"), keep)
        self.assertIn(digest_of("bare"), keep)
        self.assertEqual(clone.complaints, [])
        objects = self.directory / "clone-0" / "objects"
        size = sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())
        self.assertLess(size, 50_000)

    def test_an_empty_repository_is_told(self) -> None:
        clone = self.clone(self.make())
        clone.fetch()
        self.assertTrue(clone.empty)
        self.assertEqual(clone.scan(KeepSet()), 0)
        self.assertFalse(clone.is_behind())

    def test_git_lfs_finds_the_same(self) -> None:
        """``git lfs ls-files --all`` is the oracle, over a history that it has made."""
        repo = self.make()
        self.git(repo, "lfs", "install", "--local")
        self.git(repo, "lfs", "track", "*.bin")
        for number in range(12):
            self.git(repo, "checkout", "--quiet", "-B", f"branch-{number % 4}")
            files = {f"{number % 5}.bin": os.urandom(50 + number), "same.bin": b"same"}
            self.commit(repo, {**files, f"{number}.txt": f"{number}\n" * 300})
        self.git(repo, "tag", "-a", "-m", "x", "v1", "branch-1")
        listed = self.git(repo, "lfs", "ls-files", "--all", "--long").splitlines()
        expected = {line.split()[0] for line in listed}
        self.assertGreater(len(expected), 10)
        count, keep = self.find(repo)
        self.assertEqual(count, len(expected))
        self.assertTrue(all(bytes.fromhex(oid) in keep for oid in expected))


class LaterTests(GitTestCase):
    """What comes while a clone is made, and afterwards."""

    def test_refs_may_change_while_they_are_fetched(self) -> None:
        """The first branch is deleted, or moved back to what is fetched by no name."""
        repo = self.make()
        first = self.commit(repo, {"a.bin": pointer("a")})
        self.git(repo, "branch", "other")
        fetch_all = Clone._fetch_all
        change: list[str] = []

        def change_and_fetch(clone: Clone, tips: Any) -> None:
            self.git(repo, *change)
            fetch_all(clone, tips)

        self.patch(Clone, "_fetch_all", change_and_fetch)
        for what in (("-d", "refs/heads/main"), ("refs/heads/main", first)):
            change[:] = ["update-ref", *what]
            self.git(repo, "checkout", "--quiet", "-B", "main", first)
            self.commit(repo, {"b.bin": pointer("b")})
            self.git(repo, "checkout", "--quiet", "other")
            self.git(repo, "symbolic-ref", "HEAD", "refs/heads/main")
            self.assert_found(repo, "a")

    def test_refs_that_change_all_the_time_are_refused(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        fetch_all = Clone._fetch_all

        def fetch_and_change(clone: Clone, tips: Any) -> None:
            fetch_all(clone, tips)
            self.patch(clone, "_missing", lambda _: ["refs/heads/main"])
            self.commit(repo, {"a.bin": os.urandom(10)})

        self.patch(Clone, "_fetch_all", fetch_and_change)
        with self.assertRaises(NoReferences) as caught:
            self.find(repo)
        self.assertIn("move all the time", str(caught.exception))

    def test_what_was_pushed_since_is_fetched(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        clone = self.clone(repo)
        clone.fetch()
        self.assertFalse(clone.is_behind())
        self.commit(repo, {"b.bin": pointer("b")})
        self.assertTrue(clone.is_behind())
        clone.fetch()
        self.assertFalse(clone.is_behind())
        keep = KeepSet()
        self.assertEqual(clone.scan(keep), 2)

    def test_what_was_there_when_the_clone_began_still_counts(self) -> None:
        """Also if a branch makes room for a folder of branches."""
        repo = self.make()
        first = self.commit(repo, {"a.bin": pointer("a")})
        self.git(repo, "checkout", "--quiet", "-b", "topic")
        self.commit(repo, {"b.bin": pointer("b")})
        clone = self.clone(repo)
        clone.fetch()
        self.git(repo, "checkout", "--quiet", "main")
        self.git(repo, "branch", "-D", "topic")
        self.git(repo, "checkout", "--quiet", "-b", "topic/new", first)
        self.commit(repo, {"c.bin": pointer("c")})
        clone.fetch()
        self.assertEqual(clone.scan(KeepSet()), 3)

    def test_the_first_push_to_an_empty_repository_is_noticed(self) -> None:
        repo = self.make()
        clone = self.clone(repo)
        clone.fetch()
        self.commit(repo, {"a.bin": pointer("a")})
        self.assertTrue(clone.is_behind())
        clone.fetch()
        self.assertFalse(clone.empty)
        self.assertEqual(clone.scan(KeepSet()), 1)


class RefusedTests(GitTestCase):
    """What is refused, because it may not be all."""

    def assert_refused(self, words: str, url: str | Path, **options: Any) -> None:
        """Check that a repository is refused, and that it is named."""
        with self.assertRaises(NoReferences) as caught:
            self.find(url, **options)
        self.assertIn(words, str(caught.exception))
        self.assertIn(str(url).removeprefix("file://"), str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_a_shallow_repository_is_refused(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        self.commit(repo, {"a.bin": pointer("b")})
        options = ("--quiet", "--depth=1", "--no-single-branch", f"file://{repo}")
        self.git(self.directory, "clone", *options, "shallow")
        self.assert_refused("is shallow", self.directory / "shallow")

    def test_a_server_of_a_shallow_repository_is_refused(self) -> None:
        """It does not say so at once, so the clone is looked at."""
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        self.commit(repo, {"a.bin": pointer("b")})
        self.git(self.directory, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
        self.patch(Clone, "_check_local", lambda *_: None)
        self.assert_refused("is shallow", self.directory / "shallow")

    def test_a_partial_clone_is_refused(self) -> None:
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        self.git(repo, "config", "uploadpack.allowFilter", "true")
        for name, option in (("blobs", "blob:none"), ("trees", "tree:0")):
            options = ("--quiet", "--no-checkout", f"--filter={option}", f"file://{repo}")
            self.git(self.directory, "clone", *options, name)
            self.assert_refused("is a partial clone", self.directory / name)

    def test_missing_objects_are_noticed(self) -> None:
        """Of each kind that leads to pointers."""
        for name in ("HEAD^", "HEAD^{tree}", "HEAD:dir"):
            with self.subTest(name):
                repo = self.make(f"repo-{name}".replace("^", "-").replace(":", "-"))
                self.commit(repo, {"a.bin": pointer("a")})
                self.commit(repo, {"dir/b.bin": pointer("b")})
                oid = self.git(repo, "rev-parse", name)
                (repo / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
                self.assert_refused("git fetch failed", repo)

    def test_a_clone_that_lacks_trees_is_noticed(self) -> None:
        """A server may leave out more than it was asked to."""
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a"), "dir/b.bin": pointer("b")})
        self.patch(clones, "_FILTER", "--filter=tree:0")
        self.assert_refused("git rev-list failed", repo)

    def test_git_that_fails_refuses(self) -> None:
        self.assert_refused("not a git repository", self.directory)
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        (repo / ".git" / "objects").rename(self.directory / "gone")
        self.assert_refused("git", repo)

    def test_reflogs_of_other_machines_are_refused(self) -> None:
        with self.assertRaises(NoReferences) as caught:
            self.clone("https://example.com/acme/rocket", reflogs=True)
        self.assertIn("reflogs", str(caught.exception))

    def test_a_ref_that_does_not_come_is_noticed(self) -> None:
        """Git leaves out refs whose names it does not take, and only warns."""
        repo = self.make()
        self.commit(repo, {"a.bin": pointer("a")})
        self.commit(repo, {"a.bin": pointer("b")})
        commit = self.git(repo, "rev-parse", "HEAD")
        self.git(repo, "reset", "--quiet", "--hard", "HEAD^")
        with (repo / ".git" / "packed-refs").open("a") as file:
            file.write(f"{commit} refs/heads/bad..name\n")
        try:
            self.assert_found(repo, "a", "b")
        except NoReferences as error:
            self.assertIn("cannot be fetched", str(error))


#: The git that there is.
REAL = shutil.which("git")


class FakeGit:
    """A ``git`` in front of the real one, which misbehaves."""

    def __init__(self, test: GitTestCase, script: str) -> None:
        folder = test.directory / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "git"
        path.write_text(f'#!/bin/sh\nreal={REAL}\n{script}\nexec "$real" "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


class FailureTests(GitTestCase):
    """Git that fails, hangs, is killed, or wants something."""

    def setUp(self) -> None:
        super().setUp()
        self.repo = self.make()
        self.commit(self.repo, {f"{n}.bin": pointer(str(n)) for n in range(50)})

    def refusal(self, script: str, timeout: float = 300.0) -> str:
        """Find what a repository needs, with a git that misbehaves.

        :returns: why that is refused.
        """
        FakeGit(self, script)
        clone = Clone(Git(timeout), parse_source(str(self.repo)), self.directory / "clone")
        with self.assertRaises(NoReferences) as caught:
            clone.fetch()
            clone.scan(KeepSet())
        return str(caught.exception)

    def test_a_git_that_fails_in_any_of_its_commands_refuses(self) -> None:
        for command in ("init", "ls-remote", "fetch", "rev-list", "cat-file"):
            for end, words in (("exit 3", "status 3"), ("kill -9 $$", "signal 9")):
                shutil.rmtree(self.directory / "clone", ignore_errors=True)
                said = self.refusal(f'for a; do [ "$a" = {command} ] && {end}; done')
                self.assertIn(words, said, command)

    def test_what_a_git_said_before_it_failed_does_not_count(self) -> None:
        """It ends after the first pointers."""
        script = 'case "$*" in *--batch\\ *) "$real" "$@" | head -c 600; kill -9 $$;; esac'
        self.assertIn("too early", self.refusal(script))

    def test_a_git_that_ends_well_but_too_early_refuses(self) -> None:
        script = 'case "$*" in *--batch\\ *) "$real" "$@" | head -c 600; exit 0;; esac'
        self.assertIn("too early", self.refusal(script))

    def test_a_git_that_hangs_is_killed_with_all_that_it_started(self) -> None:
        marker = self.directory / "pid"
        script = f'for a; do [ "$a" = fetch ] && {{ sleep 1000 & echo $! >{marker}; wait; }}; done'
        self.assertIn("took more than 1 seconds", self.refusal(script, timeout=1))
        pid = int(marker.read_text())
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_dead(pid), "it to be gone")

    def test_a_stop_ends_what_runs(self) -> None:
        marker = self.directory / "pid"
        FakeGit(self, f'for a; do [ "$a" = fetch ] && {{ echo $$ >{marker}; sleep 1000; }}; done')
        git = Git(300)
        clone = Clone(git, parse_source(str(self.repo)), self.directory / "clone")
        said: list[str] = []

        def fetch() -> None:
            try:
                clone.fetch()
            except NoReferences as error:
                said.append(str(error))

        thread = threading.Thread(target=fetch)
        thread.start()
        wait_until(lambda: marker.exists() and marker.read_text(), "git to hang")
        git.stop()
        thread.join()
        self.assertIn("interrupted", said[0])
        with self.assertRaises(NoReferences):
            clone.is_behind()

    def test_a_stop_ends_what_starts(self) -> None:
        """A stop waits for a git that has begun, but whose number is not known yet."""
        marker = self.directory / "pid"
        FakeGit(self, f"echo $$ >{marker}; sleep 1000")
        git, start, waits = Git(300), subprocess.Popen, list[bool]()
        stopping = threading.Thread(target=git.stop)

        def start_slowly(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
            process = start(*args, **options)
            wait_until(lambda: marker.exists() and marker.read_text(), "git to run")
            stopping.start()
            stopping.join(0.2)
            waits.append(stopping.is_alive())
            return process

        with mock.patch("subprocess.Popen", start_slowly):
            self.assertRaises(NoReferences, git.run, None, "fetch")
        stopping.join()
        self.assertEqual(waits, [True])
        self.assertFalse(Path(f"/proc/{marker.read_text().strip()}").exists())

    def test_nobody_is_asked_for_a_password(self) -> None:
        """It has no terminal, and says how to give a credential."""
        said = self.refusal(
            'for a; do [ "$a" = ls-remote ] && {'
            ' [ "$GIT_TERMINAL_PROMPT" = 0 ] || exit 4; (: </dev/tty) 2>/dev/null && exit 5;'
            ' echo "fatal: could not read Username for https://u:secret@x: terminal prompts'
            ' disabled" >&2; exit 128; }; done'
        )
        self.assertIn("status 128", said)
        self.assertIn("credential helper", said)
        self.assertNotIn("secret", said)

    def test_variables_that_mean_another_repository_are_not_passed_on(self) -> None:
        for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_SHALLOW_FILE"):
            os.environ[name] = "/nowhere"
        count, _ = self.find(self.repo)
        self.assertEqual(count, 50)

    def test_hooks_do_not_run(self) -> None:
        hooks = self.directory / "hooks"
        hooks.mkdir()
        hook = hooks / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {self.directory}/ran\n")
        hook.chmod(0o755)
        self.git(self.directory, "config", "--global", "core.hooksPath", str(hooks))
        self.find(self.repo)
        self.assertFalse((self.directory / "ran").exists())

    def test_a_helper_that_the_configuration_names_is_not_run(self) -> None:
        key = "url.ext::touch /nowhere.insteadOf"
        self.git(self.directory, "config", "--global", key, str(self.repo))
        with self.assertRaises(NoReferences) as caught:
            self.find(self.repo)
        self.assertIn("transport 'ext' not allowed", str(caught.exception))


def _is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
