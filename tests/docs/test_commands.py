"""The commands that the pages show for a running server do what the pages show.

A block of ``console`` is a session: lines that begin with ``$`` are run, one page
after its beginning to its end in one shell; the other lines must be among the
output.  Blocks of the class ``shown`` need root or another machine and are not
run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, code
from tests.integration.support import IntegrationTestCase
from tests.support.processes import PATIENCE, base_environ

#: Where the pages suppose the server to be.
SERVER = "http://127.0.0.1:8080"

#: What git knows of its user, who has few processors: each transfer may start an agent.
GIT_CONFIG = """
[user]
    name = Tess Ter
    email = tess@example.com
[lfs]
    concurrenttransfers = 2
"""

#: Marks a block that is not run.
SHOWN = "shown"


def session(page: Path) -> tuple[str, list[str]]:
    """Return a page's commands as a shell script, and the output that it shows."""
    commands, output = [], []
    for block in code(page, "console"):
        if SHOWN not in block.classes:
            for line in block.content.splitlines():
                if line.startswith("$ "):
                    commands.append(line[2:])
                else:
                    output.append(line)
    return "\n".join(commands), output


class CommandTests(IntegrationTestCase):
    """Each page's commands run from top to bottom."""

    def run_page(self, page: Path, *leave_out: str) -> str:
        """Run a page's commands against a daemon with the embedded defaults.

        :param leave_out: commands that have been run already.
        :returns: what they printed.
        """
        daemon = self.make_daemon(config=None)
        daemon.environ = {"GIFTLESS_ENDPOINTS__0": f"tcp:{daemon.port}:interface=127.0.0.1"}
        daemon.start()
        script, output = session(page)
        for command in leave_out:
            self.assertIn(f"{command}\n", script)
            script = script.replace(f"{command}\n", "")
        home = self.directory / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(GIT_CONFIG)
        result = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script.replace(SERVER, daemon.url)],
            cwd=home,
            env={
                **base_environ(),
                # Where the package's commands are.
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(home),
                "XDG_CONFIG_HOME": str(home / "xdg"),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        printed = result.stdout.replace(daemon.url, SERVER)
        self.assertEqual(result.returncode, 0, printed)
        for line in output:
            self.assertIn(line, printed)
        return printed

    def test_the_tour_in_the_readme_works(self) -> None:
        """The tour in the README, after ``make run``."""
        self.run_page(ROOT / "README.rst", "make run")

    def test_the_page_for_git_users_works(self) -> None:
        """The page for people who use Git; both repositories have the object."""
        self.run_page(DOCS / "getting-started.rst")
        data = self.directory / "daemon" / "giftless-data"
        (first,) = [path.name for path in (data / "my-org" / "demo").iterdir()]
        (second,) = [path.name for path in (data / "my-org" / "moved").iterdir()]
        self.assertEqual(first, second)

    def test_the_page_about_the_agent_works(self) -> None:
        """The page about the transfer agent: the file goes up in parts."""
        self.run_page(DOCS / "agent.rst")
        log = (self.directory / "daemon" / "stdout").read_text()
        self.assertIn("/parts/3", log)

    def test_the_page_about_the_api_works(self) -> None:
        """The round by hand on the page about the API."""
        self.run_page(DOCS / "http-api.rst")

    def test_the_page_about_resumable_uploads_works(self) -> None:
        """The page about tus: an upload in two pieces."""
        self.run_page(DOCS / "tus.rst")

    def test_the_page_about_the_set_up_works(self) -> None:
        """The page about giftless setup: a configuration is written, kept and changed."""
        self.run_page(DOCS / "install" / "setup.rst")
