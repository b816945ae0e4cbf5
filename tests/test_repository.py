"""The files around the code: news fragments and what services read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent

#: ``+`` tells towncrier that a fragment belongs to no issue; without it, the news
#: would print the name as the number of one.
FRAGMENT = re.compile(r"\+[a-z][a-z0-9]*(-[a-z0-9]+)*\.(feature|bugfix|doc|removal|misc)\.rst")


class NewsTests(SynchronousTestCase):
    """News fragments, from which towncrier makes the news of a release."""

    def setUp(self) -> None:
        """Find the fragments."""
        folder = ROOT / "newsfragments"
        self.fragments = [path for path in folder.iterdir() if path.name != "README.rst"]

    def test_every_fragment_is_named_by_words_and_its_kind(self) -> None:
        """The name says what the fragment is about and holds no number of an issue."""
        names = [path.name for path in self.fragments]
        self.assertEqual([name for name in names if not FRAGMENT.fullmatch(name)], [])

    def test_every_fragment_says_something(self) -> None:
        """No fragment is empty."""
        for path in self.fragments:
            self.assertTrue(path.read_text(encoding="utf-8").strip(), path.name)


class ServiceTests(SynchronousTestCase):
    """What services and tools read names only what there is."""

    def load(self, name: str) -> Any:
        """Read a YAML file."""
        return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))

    def test_every_command_of_the_workflow_is_there(self) -> None:
        """Each step runs a script of this repository or a target of its Makefile."""
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        steps = [
            step
            for job in self.load(".github/workflows/ci.yml")["jobs"].values()
            for step in job["steps"]
        ]
        commands = [step["run"] for step in steps if "run" in step]
        self.assertIn(".ci/run", commands)
        for command in commands:
            target = command.removeprefix("make ")
            if target == command:
                self.assertTrue((ROOT / command).is_file(), command)
            else:
                self.assertRegex(makefile, rf"(?m)^{target}:")

    def test_the_workflow_runs_on_each_supported_python(self) -> None:
        """Its matrix is the list of Pythons in ``pyproject.toml``, and the lowest once more."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        supported = [
            classifier.rpartition(" ")[2]
            for classifier in project["classifiers"]
            if classifier.startswith("Programming Language :: Python :: 3.")
        ]
        matrix = self.load(".github/workflows/ci.yml")["jobs"]["checks"]["strategy"]["matrix"]
        self.assertEqual(matrix["python"], supported)
        self.assertEqual(matrix["include"], [{"python": supported[0], "lowest": "1"}])
        self.assertEqual(project["requires-python"], f">={supported[0]}")

    def test_every_hook_is_a_piece_of_make_lint(self) -> None:
        """A commit is checked by exactly what ``make lint`` runs."""
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        pieces = re.search(r"(?m)^lint: (.+)$", makefile)
        assert pieces is not None
        (repository,) = self.load(".pre-commit-config.yaml")["repos"]
        self.assertEqual(repository["repo"], "local")
        self.assertEqual(
            [hook["entry"] for hook in repository["hooks"]],
            [f"make {piece}" for piece in pieces[1].split()],
        )

    def test_read_the_docs_builds_what_make_docs_builds(self) -> None:
        """Its configuration file has the extra, the folder and the severity of ``make docs``."""
        settings = self.load(".readthedocs.yaml")
        self.assertEqual(settings["version"], 2)
        (install,) = settings["python"]["install"]
        self.assertEqual(install["extra_requirements"], ["docs"])
        self.assertTrue((ROOT / settings["sphinx"]["configuration"]).is_file())
        self.assertIs(settings["sphinx"]["fail_on_warning"], True)
        (draft,) = settings["build"]["jobs"]["pre_build"]
        self.assertIn(draft, (ROOT / "Makefile").read_text(encoding="utf-8"))
