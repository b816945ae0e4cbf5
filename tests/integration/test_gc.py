"""``giftless gc`` as operators run it: what it says, what it refuses, and what it moves."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS, code
from tests.integration.histories import History
from tests.integration.support import Daemon, IntegrationTestCase
from tests.references.support import digest_of
from tests.support.commands import run_command
from tests.support.processes import PATIENCE, installed, wait_until

REPO = "acme/rocket"


class GcTestCase(IntegrationTestCase):
    """Has a store of objects, each of which a name stands for, and runs the command."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.directory / "home"
        self.home.mkdir()
        self.environ = {"HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}

    def configure(self, **config: Any) -> Daemon:
        """Write the configuration of a daemon that need not run."""
        self.daemon = self.make_daemon(config=config)
        self.daemon.write_config()
        return self.daemon

    def store(self, *names: str, repo: str = REPO) -> None:
        """Store objects, some weeks ago."""
        directory = self.daemon.store / repo
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = directory / digest_of(name).hex()
            path.write_text(name)
            os.utime(path, (time.time() - 30 * 86_400,) * 2)

    def stored(self, repo: str = REPO) -> set[str]:
        """Return the names of the objects that are stored."""
        return self.names_in(self.daemon.store / repo)

    def trashed(self, repo: str = REPO) -> set[str]:
        """Return the names of the objects that are in the trash."""
        org, name = repo.split("/")
        return self.names_in(self.daemon.store / org / ".giftless" / "trash" / name)

    def names_in(self, directory: Path) -> set[str]:
        """Return the names of the objects in a directory."""
        return {path.read_text() for path in directory.iterdir()} if directory.exists() else set()

    def history(self, name: str, *objects: str, ref: str = "refs/heads/main") -> History:
        """Make a git repository with one commit, which names objects."""
        history = History(self.directory / name, REPO)
        history.create()
        self.name_objects(history, ref, *objects)
        return history

    def name_objects(self, history: History, ref: str, *objects: str) -> None:
        """Let a ref lead to objects."""
        files = {
            f"{number}.bin": (digest_of(name).hex(), len(name))
            for number, name in enumerate(objects)
        }
        history.update(ref, history.commit(files, []))

    def gc(self, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command, whatever comes of it."""
        return run_command(
            "giftless",
            "gc",
            "--config=giftless.yaml",
            *map(str, arguments),
            directory=self.daemon.directory,
            environ=self.environ,
            stdin=stdin,
        )

    def report(self, *arguments: object, stdin: str = "", fails: bool = False) -> Any:
        """Run the command, and read its report.

        :returns: that of the only repository.
        """
        result = self.gc(*arguments, "--json", stdin=stdin)
        self.assertEqual(result.returncode, int(fails), result.stdout + result.stderr)
        (report,) = json.loads(result.stdout)["repositories"]
        return report

    def assert_refused(self, words: str, *arguments: object, stdin: str = "") -> None:
        """Check that nothing is moved, and why."""
        before = self.stored()
        result = self.gc("--really", "--grace=0", *arguments, stdin=stdin)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn(words, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        self.assertEqual((self.stored(), self.trashed()), (before, set()))


class ReportTests(GcTestCase):
    """What is said, and done."""

    def test_a_dry_run_says_what_would_be_moved(self) -> None:
        self.configure()
        self.store("kept", "a", "bb")
        source = self.history("repo.git", "kept", "elsewhere").path
        result = self.gc(REPO, "--from", source)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            re.sub(r"since \S+", "since THEN", result.stdout).splitlines(),
            [
                REPO,
                f"  {source} names 2 objects",
                "  kept: 1 object (4 bytes)",
                "  offered since THEN so kept: 0 objects (0 bytes)",
                "  would be moved into the trash: 2 objects (3 bytes)",
                "Nothing was moved: this was a dry run; add --really.",
            ],
        )
        self.assertEqual(self.stored(), {"kept", "a", "bb"})

    def test_garbage_is_moved_and_comes_back(self) -> None:
        self.configure()
        self.store("kept", "a", "bb")
        history = self.history("repo.git", "kept")
        report = self.report(REPO, "--from", history.path, "--really")
        self.assertEqual(report["trashed"], {"objects": 2, "size": 3})
        self.assertEqual((self.stored(), self.trashed()), ({"kept"}, {"a", "bb"}))
        self.assertEqual(self.report(REPO, "--from", history.path)["garbage"]["objects"], 0)
        self.name_objects(history, "refs/heads/restored", "bb")
        dry = self.report(REPO, "--from", history.path)
        self.assertEqual((dry["restored"]["objects"], self.stored()), (1, {"kept"}))
        report = self.report(REPO, "--from", history.path, "--really")
        self.assertEqual(report["restored"], {"objects": 1, "size": 2})
        self.assertEqual(self.stored(), {"kept", "bb"})

    def test_the_report_has_the_members_that_are_documented(self) -> None:
        self.configure()
        self.store("kept")
        source = self.history("repo.git", "kept").path
        result = self.gc(REPO, "--from", source, "--json")
        (block,) = (block for block in code(DOCS / "gc.rst", "json") if "report" in block.classes)
        documented = json.loads(block.content)

        def members(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: members(item) for name, item in value.items() if "/" not in name}
            return [members(item) for item in value] if isinstance(value, list) else None

        self.assertEqual(members(json.loads(result.stdout)), members(documented))
        self.assertEqual(list(json.loads(result.stdout)), list(documented))

    def test_what_was_stored_within_the_grace_period_stays(self) -> None:
        self.configure()
        self.store("kept", "old", "new")
        source = self.history("repo.git", "kept").path
        (self.daemon.store / REPO / digest_of("new").hex()).touch()
        report = self.report(REPO, "--from", source, "--grace", "1d", "--really")
        self.assertEqual((report["recent"]["objects"], report["trashed"]["objects"]), (1, 1))
        self.assertEqual(self.stored(), {"kept", "new"})
        report = self.report(REPO, "--from", source, "--grace", "60d", "--really")
        self.assertEqual(report["recent"]["objects"], 1)
        report = self.report(REPO, "--from", source, "--grace", "0", "--really")
        self.assertEqual(report["trashed"]["objects"], 1)

    def test_repositories_that_share_objects_are_united(self) -> None:
        self.configure()
        self.store("a", "b", "c", "d")
        one, two = self.history("one.git", "a").path, self.history("two.git", "b").path
        listed = self.directory / "keep.txt"
        listed.write_text(f"{digest_of('c').hex()} - c.bin\n")
        report = self.report(
            REPO, "--from", one, "--keep-from", listed, f"--from={two}", "--really"
        )
        self.assertEqual(report["sources"], {str(one): 1, str(two): 1, "lists": 1})
        self.assertEqual((self.stored(), self.trashed()), ({"a", "b", "c"}, {"d"}))

    def test_lists_are_read_from_stdin(self) -> None:
        for arguments in ((REPO, "--keep-from", "-"), (REPO, "-"), ("--keep-from=-", REPO)):
            self.configure()
            self.store("a", "b")
            listed = f"{digest_of('a').hex()} * a file.bin\n"
            self.report(*arguments, "--really", stdin=listed)
            self.assertEqual((self.stored(), self.trashed()), ({"a"}, {"b"}))
            shutil.rmtree(self.daemon.directory)

    def test_pull_requests_can_be_left_out(self) -> None:
        self.configure()
        self.store("a", "b", "c")
        history = self.history("repo.git", "a")
        self.name_objects(history, "refs/pull/1/head", "b")
        self.name_objects(history, "refs/changes/01/1/1", "c")
        arguments = (REPO, "--from", history.path)
        self.assertEqual(self.report(*arguments)["kept"]["objects"], 3)
        self.assertEqual(self.report(*arguments, "--no-pull-requests")["kept"]["objects"], 2)
        ignored = self.report(*arguments, "--ignore-refs=refs/changes/*", "--max-shrink=100%")
        self.assertEqual(ignored["kept"]["objects"], 2)

    def test_the_end_of_a_run_is_audited(self) -> None:
        audit = self.directory / "audit.log"
        self.configure(observers=[{"type": "audit", "file": str(audit)}])
        self.store("kept", "a")
        source = self.history("repo.git", "kept").path
        self.gc(REPO, "--from", source)
        self.assertFalse(audit.exists(), "a dry run is no act")
        self.gc(REPO, "--from", source, "--really")
        self.gc(REPO, "--from", self.history("empty.git").path, "--really")
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        kinds = [line["event"] for line in lines]
        self.assertEqual(kinds, ["object.trashed", "collection.ended", "collection.ended"])
        self.assertEqual((lines[1]["kept"], lines[1]["trashed"], lines[1]["problem"]), (1, 1, ""))
        self.assertIn("names no object", lines[2]["problem"])
        self.assertTrue(lines[1]["who"].startswith("giftless gc ("))


class RefusalTests(GcTestCase):
    """What is refused, whatever is said besides."""

    def setUp(self) -> None:
        super().setUp()
        self.configure()
        self.store("a", "b", "c", "d", "e")
        self.source = self.history("repo.git", "a").path

    def test_sources_that_name_nothing_are_refused(self) -> None:
        none, empty = self.history("none.git").path, self.directory / "empty.git"
        History(empty, REPO).create()
        self.assert_refused("names no object of git-lfs", REPO, "--from", none)
        self.assert_refused("has no refs", REPO, "--from", empty)
        self.assert_refused("has no refs", REPO, "--from", self.source, "--from", empty)
        self.assert_refused("names no object", REPO, "-", stdin="\n")

    def test_what_has_nothing_to_do_with_the_repository_is_refused(self) -> None:
        other = self.history("other.git", "x", "y").path
        self.assert_refused("may be other repositories", REPO, "--from", other)

    def test_what_is_not_whole_is_refused(self) -> None:
        shutil.rmtree(self.source / "objects")
        (self.source / "objects").mkdir()
        self.assert_refused("failed", REPO, "--from", self.source)
        self.assert_refused("not a git repository", REPO, "--from", self.directory)

    def test_a_set_that_has_shrunk_is_refused(self) -> None:
        history = self.history("shrinking.git", "a", "b", "c", "d", "e")
        self.report(REPO, "--from", history.path)
        self.name_objects(history, "refs/heads/main", "a", "b")
        self.assert_refused("last time it were 5", REPO, "--from", history.path)
        self.assert_refused("last time it were 5", REPO, "--from", history.path)
        flags = ("--really", "--allow-shrunken")
        self.assertEqual(self.report(REPO, "--from", history.path, *flags)["trashed"]["objects"], 3)
        self.assertEqual(self.report(REPO, "--from", history.path)["problem"], "")

    def test_a_source_that_is_left_out_is_refused(self) -> None:
        other = self.history("other.git", "b").path
        self.report(REPO, "--from", self.source, "--from", other)
        self.assert_refused(f"{other} was asked last time", REPO, "--from", self.source)

    def test_a_dry_run_is_refused_for_the_same_reasons(self) -> None:
        report = self.report(REPO, "--from", self.history("none.git").path, fails=True)
        self.assertIn("names no object", report["problem"])

    def test_a_list_that_is_damaged_or_old_is_refused(self) -> None:
        listed = self.directory / "keep.txt"
        listed.write_text(f"{digest_of('a').hex()}\n{digest_of('b').hex()[:10]} - b.bin\n")
        self.assert_refused("line 2 of", REPO, "--keep-from", listed)
        self.assert_refused("line 1 of stdin", REPO, "-", stdin="fatal: not a git repository\n")
        self.assert_refused("cannot be read", REPO, "--keep-from", self.directory / "nowhere")
        self.assert_refused("cannot be read", REPO, "--keep-from", self.directory)
        listed.write_text(f"{digest_of('a').hex()}\n")
        os.utime(listed, (time.time() - 90_000,) * 2)
        result = self.gc(REPO, "--keep-from", listed, "--grace=1d", "--really")
        self.assertIn("older than the grace period", result.stderr)
        self.assertEqual((result.returncode, len(self.stored())), (1, 5))

    def test_command_lines_that_make_no_sense_are_refused(self) -> None:
        for words, arguments in (
            ("say which repositories", ("--from", self.source)),
            ("--all needs neither", ("--all", REPO)),
            ("--all needs neither", ("--all", "--from", self.source)),
            ("--grace", (REPO, "--from", self.source, "--grace=soon")),
            ("--max-shrink", (REPO, "--from", self.source, "--max-shrink=2")),
            ("no pattern of refs", (REPO, "--from", self.source, "--ignore-refs=*")),
            ("no pattern of refs", (REPO, "--from", self.source, "--ignore-refs=refs/*/x/*")),
            ("is no URL", (REPO, "--from=--upload-pack=touch /tmp/x")),
            ("a helper of git", (REPO, "--from", "ext::touch /tmp/x")),
            ("is no repository", ("../x", "--from", self.source)),
            ("not recognized", (REPO, "--from", self.source, "--delete")),
            ("has no forge", (REPO,)),
            ("has no forge", ("--all",)),
        ):
            self.assert_refused(words, *arguments)

    def test_two_runs_do_not_go_together(self) -> None:
        folder = self.daemon.directory / "giftless-state" / "gc"
        self.report(REPO, "--from", self.source)
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assert_refused("another 'giftless gc' runs", REPO, "--from", self.source)

    def test_a_server_without_a_catalogue_is_refused(self) -> None:
        self.daemon.config = {"catalogue": {"type": "none"}}
        self.daemon.write_config()
        self.assert_refused("without a catalogue", REPO, "--from", self.source)

    def test_the_name_of_an_alias_is_refused(self) -> None:
        self.daemon.config = {"aliases": {"acme/new": REPO}}
        self.daemon.write_config()
        self.assert_refused(f"is kept under {REPO}", "acme/new", "--from", self.source)

    def test_a_repository_without_objects_is_refused(self) -> None:
        """It may be mistyped."""
        for repos in (("acme/rokcet",), (REPO, "acme/rokcet")):
            self.assert_refused("no repository acme/rokcet", *repos, "--from", self.source)

    def test_a_repository_with_nothing_but_trash_is_there(self) -> None:
        self.store("b", repo="acme/other")
        list_of_none = self.directory / "none"
        list_of_none.write_text("")
        gone = ("acme/other", "--keep-from", list_of_none, "--allow-empty")
        self.assertEqual(self.report("--really", "--grace=0", *gone)["trashed"]["objects"], 1)
        self.assertEqual(self.report(*gone)["kept"]["objects"], 0)


class InterruptionTests(GcTestCase):
    """Runs that are ended before their end."""

    def setUp(self) -> None:
        super().setUp()
        self.configure()
        self.store(*"abcdef")
        self.source = self.history("repo.git", "a").path

    def begin(self, hang_in: str) -> subprocess.Popen[str]:
        """Start a run, whose git hangs in one of its commands."""
        folder = self.directory / "bin"
        folder.mkdir()
        self.marker = self.directory / "marker"
        git = folder / "git"
        git.write_text(
            f'#!/bin/sh\nfor a; do [ "$a" = {hang_in} ] && {{ echo $$ >{self.marker};'
            f' sleep 1000; }}; done\nexec {shutil.which("git")} "$@"\n'
        )
        git.chmod(0o755)
        environ = {**installed().environ, **self.environ}
        process = subprocess.Popen(
            [
                sys.executable,
                Path(sys.executable).with_name("giftless"),
                *("gc", REPO, "--from", self.source, "--really", "--config=giftless.yaml"),
            ],
            cwd=self.daemon.directory,
            env={**environ, "PATH": f"{folder}:{environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        wait_until(lambda: self.marker.exists() and self.marker.read_text(), "git to hang")
        return process

    def test_a_signal_ends_it_and_its_git(self) -> None:
        process = self.begin("fetch")
        # Its number may soon be that of another process.
        git = os.pidfd_open(int(self.marker.read_text()))
        self.addCleanup(os.close, git)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("interrupted", stderr)
        wait_until(lambda: select.select([git], [], [], 0)[0], "git to be gone")
        self.assertEqual((len(self.stored()), self.trashed()), (6, set()))

    def test_after_a_kill_the_next_run_does_the_rest(self) -> None:
        process = self.begin("fetch")
        process.kill()
        process.communicate(timeout=PATIENCE)
        os.kill(int(self.marker.read_text()), signal.SIGKILL)
        clones = self.daemon.directory / "giftless-state" / "gc"
        self.assertEqual(len(list(clones.glob("clones-*"))), 1)
        report = self.report(REPO, "--from", self.source, "--really")
        self.assertEqual(report["trashed"]["objects"], 5)
        self.assertEqual(list(clones.glob("clones-*")), [])


class ForgeTests(GcTestCase):
    """``--all``: each repository as its forge has it."""

    def setUp(self) -> None:
        super().setUp()
        self.forge = self.directory / "forge"
        # The forge's repositories are on this disk: as any operator may have it.
        (self.home / ".gitconfig").write_text(
            f'[url "file://{self.forge}/"]\n\tinsteadOf = https://github.com/\n'
        )

    def test_every_repository_is_collected_as_its_forge_has_it(self) -> None:
        self.configure(
            auth=[{"type": "github", "orgs": ["acme"]}],
            aliases={"acme/engine": "acme/booster"},
        )
        self.history("forge/acme/rocket.git", "a")
        self.history("forge/acme/booster.git", "c")
        self.history("forge/acme/engine.git", "d")
        self.store("a", "b")
        self.store("c", "d", "e", repo="acme/booster")
        self.store("x", repo="acme/gone")
        self.store("y", repo="elsewhere/rocket")
        result = self.gc("--all", "--really", "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("2 repositories were not collected", result.stderr)
        reports = {report["repo"]: report for report in json.loads(result.stdout)["repositories"]}
        self.assertEqual(len(reports), 4)
        self.assertEqual((self.stored(), self.trashed()), ({"a"}, {"b"}))
        self.assertEqual(self.stored("acme/booster"), {"c", "d"})
        self.assertEqual(self.trashed("acme/booster"), {"e"})
        self.assertIn("acme/gone", reports["acme/gone"]["problem"])
        self.assertEqual(self.stored("acme/gone"), {"x"})
        words = "no forge of the configuration knows elsewhere/rocket"
        self.assertEqual(reports["elsewhere/rocket"]["problem"], words)
        self.assertEqual(self.stored("elsewhere/rocket"), {"y"})
        # Through a URL, a repository that does not allow filters is cloned as a whole.
        (note,) = reports[REPO]["notes"]
        self.assertIn("all of it was cloned", note)

    def test_repositories_of_one_name_on_two_forges_are_united(self) -> None:
        with (self.home / ".gitconfig").open("a") as file:
            file.write(
                f'[url "file://{self.directory}/tea/"]\n\tinsteadOf = https://git.example/\n'
            )
        forges = [
            {"type": "github", "orgs": ["acme"]},
            {"type": "gitea", "orgs": ["acme"], "url": "https://git.example"},
        ]
        self.configure(auth=forges)
        self.history("forge/acme/rocket.git", "a")
        self.store("a", "b", "c")
        result = self.gc("--all", "--really")
        self.assertIn("https://git.example/acme/rocket.git", result.stdout)
        self.assertEqual((result.returncode, self.trashed()), (1, set()))
        self.history("tea/acme/rocket.git", "b")
        report = self.report("--all", "--really")
        self.assertEqual((report["named"], self.stored(), self.trashed()), (2, {"a", "b"}, {"c"}))

    def test_one_repository_is_asked_of_its_forge_without_more_words(self) -> None:
        self.configure(auth=[{"type": "github", "orgs": ["*"]}])
        self.history("forge/acme/rocket.git", "a")
        self.store("a", "b")
        report = self.report(REPO, "--really")
        self.assertEqual(report["sources"], {"https://github.com/acme/rocket.git": 1})
        self.assertEqual((self.stored(), self.trashed()), ({"a"}, {"b"}))
