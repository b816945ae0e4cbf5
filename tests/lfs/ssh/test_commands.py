"""The command lines of git-lfs, and those of others."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.objects import Operation, Repo
from giftless.lfs.ssh.commands import MAX_LENGTH, Command, Program, parse_command
from tests.support.strategies import repos


class CommandTests(SynchronousTestCase):
    def assert_parses(self, line: str, path: str, operation: str = "upload") -> None:
        """Check what a command line means."""
        command = parse_command(line)
        self.assertEqual(command.repo.path, path, line)
        self.assertEqual(command.operation, Operation(operation), line)

    def test_both_programs_are_known(self) -> None:
        for program in Program:
            command = parse_command(f"{program.value} org/repo.git download")
            wanted = Command(program, Repo(("org", "repo")), Operation.DOWNLOAD)
            self.assertEqual(command, wanted)

    def test_a_path_is_the_same_however_its_url_was_written(self) -> None:
        """``ssh://`` URLs keep the leading slash; ``user@host:path`` has none."""
        for path in ("org/repo", "/org/repo", "/org/repo.git", "org/repo/", "//org/repo.git/"):
            self.assert_parses(f"git-lfs-transfer {path} upload", "org/repo")

    def test_a_url_of_the_api_is_a_repository_too(self) -> None:
        self.assert_parses("git-lfs-transfer /org/repo.git/info/lfs upload", "org/repo")
        self.assert_parses("git-lfs-transfer info/lfs upload", "info/lfs")

    def test_a_path_may_have_spaces_without_quotes(self) -> None:
        """git-lfs up to 3.7 quotes nothing."""
        self.assert_parses("git-lfs-transfer /my org/my  repo.git upload", "my org/my  repo")
        self.assert_parses("git-lfs-transfer upload download", "upload", "download")

    def test_quotes_of_any_kind_are_taken_off(self) -> None:
        for quoted in (
            "'/org/my repo.git'",
            '"/org/my repo.git"',
            r"/org/my\ repo.git",
            "/org/'my repo'.git",
            "'/org/'\"my repo.git\"",
        ):
            self.assert_parses(f"git-lfs-transfer {quoted} upload", "org/my repo")
        self.assert_parses("'git-lfs-transfer' 'org/repo' 'download'", "org/repo", "download")

    def test_quotes_that_do_not_match_belong_to_the_name(self) -> None:
        self.assert_parses("git-lfs-transfer org/it's upload", "org/it's")
        self.assert_parses("git-lfs-transfer org/it's new upload", "org/it's new")

    @given(repos)
    def test_whatever_a_shell_would_understand_is_understood(self, repo: Repo) -> None:
        command = parse_command(f"git-lfs-transfer {shlex.quote('/' + repo.path + '.git')} upload")
        # A name may itself end with what stands behind a URL, and with dots and spaces.
        if repo.segments[-2:] != ("info", "lfs"):
            self.assertEqual(command.repo, repo)

    def test_nothing_else_can_be_run(self) -> None:
        for line in (
            "",
            " ",
            "bash",
            "git-upload-pack 'org/repo.git'",
            "git-lfs-transfer",
            "git-lfs-transfer org/repo",
            "git-lfs-transfer upload",
            "git-lfs-transfer org/repo push",
            "git-lfs-transfer org/repo UPLOAD",
            "git-lfs-transfer org/repo upload; id",
            "/usr/bin/git-lfs-transfer org/repo upload",
            "git-lfs-transferx org/repo upload",
            "git-lfs-transfer\norg/repo upload",
            "scp -t /tmp",
        ):
            with self.assertRaises(BadRequest, msg=line):
                parse_command(line)

    def test_paths_that_lead_out_name_no_repository(self) -> None:
        for path in (
            "..",
            "/../etc",
            "org/../../etc",
            "'org/../repo'",
            "org//repo",
            "/",
            "''",
            "./org",
            "org/.giftless/tmp",
            "org/" + "0" * 64,
            "org/re\x00po",
            "-/api",
        ):
            with self.assertRaises(BadRequest, msg=path):
                parse_command(f"git-lfs-transfer {path} upload")

    def test_what_shells_would_run_is_a_name(self) -> None:
        """Nothing here is ever run, so it need not be refused."""
        self.assert_parses("git-lfs-transfer org/$(id) upload", "org/$(id)")
        self.assert_parses("git-lfs-transfer 'org/`id`;|&' upload", "org/`id`;|&")

    def test_a_line_that_is_too_long_is_refused(self) -> None:
        with self.assertRaises(BadRequest):
            parse_command(f"git-lfs-transfer {'x' * MAX_LENGTH} upload")

    @given(
        st.text(max_size=80)
        | st.text("gitlfs-ranue'\"\\ /.", max_size=80).map(
            lambda rest: f"git-lfs-transfer {rest} upload"
        )
    )
    def test_any_line_is_a_command_or_is_refused(self, line: str) -> None:
        try:
            command = parse_command(line)
        except BadRequest:
            return
        *parents, last = command.repo.segments
        self.assertEqual(Repo.parse([*parents, f"{last}.git"]), command.repo)
