"""What the pages show of containers does what it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.containers.test_compose import COMPOSE
from tests.docs.pages import DOCS, ROOT
from tests.docs.test_commands import session
from tests.support.servers import find_command


class PageTests(SynchronousTestCase):
    def run_page(self, name: str, directory: Path, path: str = "") -> None:
        """Run the commands of a page in a directory, and look for the output that it shows.

        :param path: a directory of further commands.
        """
        script, output = session(DOCS / "install" / name)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=directory,
            env={"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stdout)
        for line in output:
            self.assertIn(line, ran.stdout)

    def test_the_secrets_of_the_page_are_those_of_the_compose_file(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        shutil.copy(COMPOSE / "compose.yaml", directory)
        self.run_page("container.rst", directory)
        made = {path.name: path.read_text() for path in (directory / "secrets").iterdir()}
        self.assertEqual(set(made), {"giftless", "store", "database", "conninfo"})
        self.assertIn(f"password={made['database']}", made["conninfo"])
        # Others cannot reach them, but the users of containers can read them.
        self.assertEqual((directory / "secrets").stat().st_mode & 0o777, 0o700)
        for name in made:
            self.assertEqual((directory / "secrets" / name).stat().st_mode & 0o777, 0o644)

    def test_the_chart_is_rendered_as_the_page_shows(self) -> None:
        helm = Path(find_command("helm"))
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "etc").symlink_to(ROOT / "etc")
        self.run_page("kubernetes.rst", directory, str(helm.parent))
