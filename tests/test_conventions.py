"""What holds for all tests."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

#: The folder of all tests.
TESTS: Final = Path(__file__).parent

#: The packages that tests share, and what each may import of ``tests``.
SHARED: Final = {
    "support": {"support"},
    "contracts": {"contracts", "support"},
}

#: The definition of a test whose name is no sentence.
SHORT: Final = re.compile(r"\bdef +test(_[^_\s(]*){1,2}\s*\(")


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    """Parse every module of a folder.

    :returns: the path of each below ``tests``, and its syntax tree.
    """
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(TESTS)), ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def texts() -> dict[Path, str]:
    """Read every module of the tests; nobody may change what is returned."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))}


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the packages of ``tests`` that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("tests."))


class ConventionTests(SynchronousTestCase):
    """The order of the tests themselves."""

    def test_what_tests_share_imports_no_tests(self) -> None:
        """``support`` and ``contracts`` know nothing of who uses them."""
        for package, allowed in SHARED.items():
            for name, tree in modules(TESTS / package):
                self.assertLessEqual(set(imported(tree)), allowed, name)

    def test_integration_tests_are_no_library(self) -> None:
        """Other tests take what they share with them from ``support`` and from ``integration``."""
        wrong = [
            str(path.relative_to(TESTS))
            for path, text in texts().items()
            if "integration" not in path.relative_to(TESTS).parts
            and re.search(r"^\s*(from|import) tests\.integration\.test_", text, re.MULTILINE)
        ]
        self.assertEqual(wrong, [])

    def test_each_name_of_a_test_is_a_sentence(self) -> None:
        """It says what holds, in ``test_`` and at least three words more."""
        short = [
            f"{path.relative_to(TESTS)}: {node.name}"
            for path, text in texts().items()
            # To parse all modules takes seconds; a few have such names in texts.
            if SHORT.search(text)
            for node in ast.walk(ast.parse(text, str(path)))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and SHORT.match(f"def {node.name}(")
        ]
        self.assertEqual(short, [])
