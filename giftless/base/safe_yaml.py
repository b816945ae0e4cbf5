"""Read YAML that may be hostile: whatever is in it, the outcome is a value or one error.

PyYAML's safe loader makes only plain data, but its parser calls itself for each
level of nesting, a few lines of aliases can stand for billions of values ("billion
laughs"), and some scalars fail with errors of Python's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO, Any, Final

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.error import Mark
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, SequenceNode

#: How many levels of sections and lists a document may have.
MAX_DEPTH: Final = 50

#: For how many values all aliases of a document together may stand.
MAX_ALIASED: Final = 100_000

#: The longest that a number may be, in characters: longer ones cannot be shown.
_MAX_NUMBER: Final = 1000

#: What an error of YAML quotes, other than its own words such as '<block end>' and single
#: characters: names of aliases, tags and handles.  A password may begin with * or !.
_QUOTED: Final = re.compile(r""" (["'])(?!<[a-z ]*>\1|.\1).*?\1(?!\w)""", re.DOTALL)


def load_yaml(source: str | bytes | IO[str]) -> Any:
    """Read a YAML document.

    :raises ValueError: if it is none, or one that nobody writes by hand; the text says
        why, in one line, and quotes nothing: what is wrong may be a secret.
    """
    try:
        return yaml.load(source, _Loader)  # noqa: S506  # a safe loader with bounds
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explain(error)) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """Makes plain data, and refuses what would take too much memory or stack."""

    def __init__(self, source: str | bytes | IO[str]) -> None:
        super().__init__(source)
        #: How deep the value lies that is being read, and how deep the deepest inside it.
        self._depth = self._deepest = 0
        #: How many values have been read: with those that aliases stand for, and these alone.
        self._values = self._aliased = 0
        #: Of each value how many it consists of, and on how many levels.
        self._extents: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Read a value and what is in it."""
        mark = self.peek_event().start_mark
        if self.check_event(AliasEvent):
            node = super().compose_node(parent, index)
            extent = self._extents.get(id(node))
            if extent is None:
                raise ComposerError(None, None, "found an alias inside what it stands for", mark)
            self._count(*extent, mark)
            self._aliased += extent[0]
            if self._aliased > MAX_ALIASED:
                problem = f"found aliases that stand for more than {MAX_ALIASED} values"
                raise ComposerError(None, None, problem, mark)
            return node
        above, before = self._deepest, self._values
        self._deepest = 0
        self._count(1, 1, mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._extents[id(node)] = self._values - before, self._deepest - self._depth
        self._deepest = max(self._deepest, above)
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Make the value of a node."""
        if node.tag.endswith((":int", ":float")) and len(node.value) > _MAX_NUMBER:
            problem = f"found a number of more than {_MAX_NUMBER} characters"
            raise ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        # A tag may be put on what is not of its type: "!!bool x", '!!int ""'.
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
            problem = "found a value that is not of its type"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def _count(self, values: int, levels: int, mark: Mark) -> None:
        self._values += values
        self._deepest = max(self._deepest, self._depth + levels)
        if self._deepest > MAX_DEPTH:
            problem = f"found more than {MAX_DEPTH} levels of nesting"
            raise ComposerError(None, None, problem, mark)


def _explain(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong with a YAML document, and where, without any of its lines."""
    said = []
    for problem, mark in (
        (error.context, error.context_mark),
        (error.problem, error.problem_mark),
    ):
        if problem:
            place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            said.append(problem + place)
    return " ".join(_QUOTED.sub("", ": ".join(said)).split())


def find_place(text: str, steps: Sequence[str]) -> tuple[int, int] | None:
    """Find where a value stands in a YAML document.

    :param steps: the keys and the indexes that lead to it.
    :returns: the line and the column of its key, or of the item, from 1.  If it is not
        there, those of what it would stand in.  ``None`` if nothing leads there.
    """
    try:
        node = yaml.compose(text, _Loader)
    except (yaml.YAMLError, ValueError):
        return None
    mark = None
    for step in steps:
        found = _child(node, step)
        if found is None:
            break
        mark, node = found
    return None if mark is None else (mark.line + 1, mark.column + 1)


def _child(node: Node | None, step: str) -> tuple[Mark, Node] | None:
    """Find a value in a node."""
    if isinstance(node, MappingNode):
        return next(
            (((key.start_mark), value) for key, value in node.value if key.value == step), None
        )
    if isinstance(node, SequenceNode) and step.isdecimal() and int(step) < len(node.value):
        item = node.value[int(step)]
        return item.start_mark, item
    return None
