"""The page about the Debian package: its commands do what it shows.

Blocks of the class ``root`` are run in a Debian of its own, the others by a user of this
machine whose network is that one's.
"""

from __future__ import annotations

import shutil
import subprocess

from tests.docs.pages import DOCS, Directive, code
from tests.integration.support import GIT_CONFIG, Git, IntegrationTestCase
from tests.support.debian import Machine, package
from tests.support.processes import PATIENCE

PAGE = DOCS / "install" / "debian.rst"

#: What git asks instead of its user.
HELPER = """\
[credential]
\thelper = "!f() {{ echo username=wanda; echo password={password}; }}; f"
"""


class PageTests(IntegrationTestCase):
    """The page from top to bottom."""

    def setUp(self) -> None:
        """Boot a machine that has the package in ``/mnt/dist``."""
        super().setUp()
        place = self.directory / "machine"
        place.mkdir()
        self.machine = Machine(place)
        self.addCleanup(self.machine.stop)
        dist = self.machine.shared / "dist"
        dist.mkdir()
        shutil.copy(package(), dist)

    def test_the_page_works(self) -> None:
        shown = ""
        for block in code(PAGE, "console"):
            if "build" in block.classes:
                self.assertEqual(block.content.splitlines()[0], "$ make deb")
            elif "root" in block.classes:
                shown = self.run_as_root(block)
            elif "shown" not in block.classes:
                # The last thing that root was shown.
                self.run_as_user(block, shown.split()[-1])

    def run_as_root(self, block: Directive) -> str:
        """Run a block in the machine.

        :returns: what it printed.
        """
        return self.check(block, self.machine.shell("cd /mnt\n" + commands(block, "# ")))

    def run_as_user(self, block: Directive, password: str) -> None:
        """Run a block in the network of the machine."""
        git = Git(self.directory / "home")
        (git.home / ".gitconfig").write_text(GIT_CONFIG + HELPER.format(password=password))
        done = subprocess.run(
            self.machine.in_network("bash", "-euxo", "pipefail", "-c", commands(block, "$ ")),
            cwd=git.home,
            env=git.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.check(block, done.stdout)

    def check(self, block: Directive, printed: str) -> str:
        """Check that what the block shows was printed, and return that."""
        for line in block.content.splitlines():
            if not line.startswith(("$ ", "# ")):
                self.assertIn(line, printed, block.where)
        return printed


def commands(block: Directive, prompt: str) -> str:
    """Return what is typed in a block, as a script."""
    lines = block.content.splitlines()
    return "\n".join(line.removeprefix(prompt) for line in lines if line.startswith(prompt))
