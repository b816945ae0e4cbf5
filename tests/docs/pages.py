"""Take reStructuredText apart: enough of it to hold the pages against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_DIRECTIVE = re.compile(r"( *)\.\. ([a-z-]+):: ?(.*)")
_OPTION = re.compile(r" +:([a-z-]+): ?(.*)")


@dataclass(frozen=True)
class Directive:
    """One directive of a page.

    :ivar where: file and line, for messages.
    :ivar argument: what follows its name.
    :ivar content: its body, without the indentation.
    """

    where: str
    argument: str
    options: dict[str, str]
    content: str

    @property
    def classes(self) -> list[str]:
        """Its ``:class:``."""
        return self.options.get("class", "").split()


def pages() -> list[Path]:
    """Return every page there is, and the README."""
    built = DOCS / "_build"
    return [
        ROOT / "README.rst",
        *sorted(path for path in DOCS.rglob("*.rst") if built not in path.parents),
    ]


def directives(page: Path, name: str) -> Iterator[Directive]:
    """Find the directives called ``name`` on a page, in order."""
    lines = page.read_text().splitlines()
    for index, line in enumerate(lines):
        match = _DIRECTIVE.fullmatch(line)
        if match is None or match[2] != name:
            continue
        body = list(_indented(lines[index + 1 :], len(match[1])))
        options = {}
        while body and (option := _OPTION.fullmatch(body[0])):
            options[option[1]] = option[2].strip()
            del body[0]
        yield Directive(
            f"{page.name}:{index + 1}", match[3].strip(), options, dedent("\n".join(body)).strip()
        )


def code(page: Path, language: str) -> list[Directive]:
    """Return the blocks of code in ``language`` on a page."""
    return [block for block in directives(page, "code-block") if block.argument == language]


def _indented(lines: list[str], indentation: int) -> Iterator[str]:
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= indentation:
            return
        yield line
