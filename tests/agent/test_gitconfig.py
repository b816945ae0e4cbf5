"""Where git's configuration wants files to go."""

from __future__ import annotations

from giftless.agent import gitconfig
from giftless.agent.errors import TransferError
from giftless.agent.gitconfig import temporary_folder
from tests.support.repository import RepositoryTestCase


class RepositoryTests(RepositoryTestCase):
    """git itself is asked."""

    def test_unfinished_files_lie_where_git_lfs_keeps_them(self) -> None:
        """Unfinished files lie where git-lfs keeps its own, also for work trees."""
        expected = self.repo / ".git" / "lfs" / "tmp"
        self.assertEqual(temporary_folder(), expected)
        self.assertTrue(expected.is_dir())
        self.git("commit", "--quiet", "--allow-empty", "-m", "Begin")
        self.git("worktree", "add", "--quiet", str(self.directory / "tree"))
        self.work_in(self.directory / "tree")
        self.assertEqual(temporary_folder(), expected)

    def test_unfinished_files_follow_lfs_storage(self) -> None:
        """They follow lfs.storage, relative to the repository or not."""
        self.git("config", "lfs.storage", "objects of lfs")
        self.assertEqual(temporary_folder(), self.repo / ".git" / "objects of lfs" / "tmp")
        self.git("config", "lfs.storage", str(self.directory / "shared"))
        self.assertEqual(temporary_folder(), self.directory / "shared" / "tmp")

    def test_something_in_the_way(self) -> None:
        """A folder that cannot be made is named."""
        (self.repo / ".git" / "lfs").write_text("in the way")
        error = self.assertRaises(TransferError, temporary_folder)
        self.assertIn(str(self.repo / ".git" / "lfs" / "tmp"), error.message)

    def test_without_git_unfinished_files_lie_in_the_systems_folder(self) -> None:
        self.patch(gitconfig, "run_git", lambda *_: None)
        self.assertTrue(temporary_folder().is_dir())
