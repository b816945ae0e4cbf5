"""The layers of the package: imports go downward only."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import giftless

ROOT: Final = Path(giftless.__file__).parent

#: The layers, from the bottom up.  A part may import from those below it, and
#: a package from itself.
LAYERS: Final = (
    {"errors"},
    {"lfs"},
    {"interfaces"},
    {"base"},
    {"auth", "catalogue", "locks", "monitoring", "observers", "references", "storage"},
    {"importing", "transfer"},
    {"client"},
    {"usecases"},
    {"ssh", "web"},
    {"app", "sshd"},
    {"runtime", "setup"},
    {"commands", "openssh"},
    {"agent", "cli"},
)

#: What the protocol may use: nothing that waits, reads a clock or does I/O.
PURE: Final = {
    "__future__",
    "binascii",
    "collections",
    "dataclasses",
    # To write times that are given, as text.
    "datetime",
    "enum",
    "giftless",
    "msgspec",
    "re",
    "typing",
    "unicodedata",
    "urllib",
}

#: What the transfer agent uses beside its own modules; these import nothing of the package.
AGENT_MAY_USE: Final = ("giftless.base.git_settings", "giftless.base.retry_after")

#: What the commands that sshd runs use beside their own modules, and only where asked to.
OPENSSH_MAY_USE: Final = ("giftless.base.safe_yaml",)

#: The name of a parameter in a docstring that describes it.
PARAMETER: Final = re.compile(r"^:param \**(\w+):", re.MULTILINE)

#: The longest that a module may be, in lines.
MAX_LINES: Final = 400


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Parse every module of the package; nobody may change what is returned."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = list(path.relative_to(ROOT.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are imported anywhere in a module.

    What is imported for type checkers only counts as well.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


@functools.cache
def imported() -> dict[str, list[str]]:
    """Return what each module imports; nobody may change it."""
    return {module: list(imports(tree)) for module, tree in modules().items()}


def described(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[tuple[str, str, set[str]]]:
    """Yield what has a docstring: its name, the docstring, and the parameters that it has.

    A class has those of its ``__init__``.
    """
    for inner in node.body:
        if not isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made: ast.AST | None = inner
        if isinstance(inner, ast.ClassDef):
            yield from described(inner)
            made = next((f for f in inner.body if getattr(f, "name", "") == "__init__"), None)
        if isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = {each.arg for each in ast.walk(made.args) if isinstance(each, ast.arg)}
            yield inner.name, ast.get_docstring(inner) or "", parameters


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    return [*module.split("."), ""][1]


def layer_of(part: str) -> int:
    """Return the number of a part's layer, from the bottom up."""
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    raise AssertionError(f"giftless.{part} has no layer yet: say which in {__file__}")


class ArchitectureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.modules = modules()
        self.assertIn("giftless.lfs.batch", self.modules)

    def target(self, name: str) -> str:
        """Return the module that an imported name belongs to; empty if none of ours."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name

    def test_every_part_has_a_layer(self) -> None:
        for module in self.modules:
            if module != "giftless":
                layer_of(part_of(module))

    def test_every_layer_has_its_parts(self) -> None:
        """What is gone from the package goes from the list."""
        parts = {part_of(module) for module in self.modules}
        self.assertEqual(set().union(*LAYERS) - parts, set())

    def test_imports_go_downward_only(self) -> None:
        upward = []
        for module, names in imported().items():
            for name in names:
                target = self.target(name)
                if not target or target == "giftless" or module == "giftless":
                    continue
                here, there = part_of(module), part_of(target)
                if here != there and layer_of(there) >= layer_of(here):
                    upward.append(f"{module} imports {name}")
        self.assertEqual(upward, [])

    def test_the_package_itself_imports_nothing(self) -> None:
        """It is imported by everything."""
        self.assertEqual(imported()["giftless"], [])

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        """Not even for the types of arguments."""
        graph = {
            module: {
                target
                for name in names
                if (target := self.target(name)) not in ("", "giftless", module)
            }
            for module, names in imported().items()
        }
        while leaves := [module for module, targets in graph.items() if not targets]:
            for leaf in leaves:
                del graph[leaf]
            for targets in graph.values():
                targets.difference_update(leaves)
        self.assertEqual(graph, {})

    def test_only_where_a_process_begins_the_reactor_is_known(self) -> None:
        for module, names in imported().items():
            if module not in ("giftless.runtime.twistd", "giftless.runtime.control"):
                self.assertFalse(
                    [name for name in names if name.startswith("twisted.internet.reactor")],
                    f"{module} imports the reactor",
                )

    def test_the_protocol_is_pure(self) -> None:
        for module, names in imported().items():
            if part_of(module) == "lfs":
                used = {name.split(".")[0] for name in names}
                self.assertEqual(used - PURE, set(), module)

    def test_the_agent_stands_alone(self) -> None:
        """It runs on users' machines, and starts in no time."""
        for module in AGENT_MAY_USE:
            for name in imported()[module]:
                self.assertNotIn(name.split(".")[0], ("giftless", "twisted"), module)
        for module, names in imported().items():
            if part_of(module) == "agent":
                for name in names:
                    target = self.target(name)
                    allowed = part_of(target) in ("", "agent") or target in AGENT_MAY_USE
                    self.assertTrue(allowed, f"{module} imports {name}")
                    self.assertNotEqual(name.split(".")[0], "twisted", module)

    def test_the_commands_that_sshd_runs_stand_alone(self) -> None:
        """They start in no time."""
        for module, names in imported().items():
            if part_of(module) == "openssh":
                for name in names:
                    target = self.target(name)
                    allowed = part_of(target) in ("", "openssh") or target in OPENSSH_MAY_USE
                    self.assertTrue(allowed, f"{module} imports {name}")
                    self.assertNotIn(name.split(".")[0], ("twisted", "msgspec"), module)

    def test_modules_are_small(self) -> None:
        for path in ROOT.rglob("*.py"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            self.assertLessEqual(lines, MAX_LINES, f"{path} wants splitting")

    def test_docstrings_describe_parameters_that_there_are(self) -> None:
        wrong = [
            f"{module}: {name} has no {parameter}"
            for module, tree in self.modules.items()
            for name, text, parameters in described(tree)
            for parameter in PARAMETER.findall(text)
            if parameter not in parameters
        ]
        self.assertEqual(wrong, [])

    def test_every_module_says_what_it_is_for(self) -> None:
        for module, tree in self.modules.items():
            self.assertTrue(ast.get_docstring(tree), module)
