"""Change keys of a configuration that people have written, and keep everything else.

A value is replaced where it stands if it is a text or a number, at any depth.  Otherwise
the lines of its key become comments, and the new ones stand behind them.  The outcome is
read again: it must be the old configuration with these changes, or nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from giftless.base.safe_yaml import load_yaml
from giftless.setup.rendering import commented
from giftless.setup.yaml_text import in_block, in_line

#: What ends a line in YAML 1.1.
_LINE_END: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")

#: Stands in front of lines that are comments now.
_WAS: Final = "# It was, before giftless setup changed it:"

#: A stretch of the text, and what replaces it.
_Change = tuple[int, int, str]


class Refused(Exception):
    """The text cannot be changed without losing something; the words say what to do."""


def edit(text: str, changes: Mapping[str, Any]) -> str:
    """Change top-level keys.

    :param text: a YAML document whose top is a mapping, or nothing.
    :param changes: what keys become; those that are missing are added at the end.
    :raises Refused: if that cannot be done; nothing is lost then.
    """
    if not changes:
        return text
    data = _read(text)
    expected = {**data, **changes}
    for in_place in (True, False):
        edited = _edited(text, data, changes, in_place)
        if edited is not None and _same(_read(edited), expected):
            return edited
    raise Refused("the file is written in a way that cannot be changed without losing something")


def _read(text: str) -> Any:
    """Read a text; nothing counts as no keys, and what is no YAML as nothing."""
    try:
        data = load_yaml(text)
    except ValueError:
        return None
    return {} if data is None else data


def _edited(
    text: str, data: Mapping[str, Any], changes: Mapping[str, Any], in_place: bool
) -> str | None:
    """Change a text.

    :param in_place: whether single values may be replaced where they stand.
    :returns: ``None`` if that is impossible.
    """
    top = yaml.compose(text, yaml.SafeLoader)
    if top is not None and (not isinstance(top, MappingNode) or top.flow_style):
        return None
    nodes = {
        key.value: (key, value)
        for key, value in (() if top is None else top.value)
        if isinstance(key, ScalarNode)
    }
    line_end = _line_end(text)
    done: list[_Change] = []
    added = ""
    for key, new in changes.items():
        if key not in nodes:
            added += f"\n{commented(key, new)}"
            continue
        singles = _singles(nodes[key][1], data[key], new) if in_place else None
        if singles is None:
            lines = _lines_of(text, *nodes[key])
            if lines is None:
                return None
            was = text[slice(*lines)]
            # What this command has written itself need not be kept.
            written = was.rstrip() == in_block(key, data[key]).rstrip()
            kept = "" if written else _kept(was, line_end)
            singles = [(*lines, kept + in_block(key, new).replace("\n", line_end))]
        done += singles
    for start, end, words in sorted(done, reverse=True):
        text = text[:start] + words + text[end:]
    if added and text and not _LINE_END.search(text[-1:]):
        text += line_end
    return text + added.replace("\n", line_end)


def _line_end(text: str) -> str:
    """Return what ends the lines of a text: as on DOS, if the first one does."""
    found = _LINE_END.search(text)
    return "\r\n" if found is not None and found[0] == "\r\n" else "\n"


def _singles(node: Node, old: Any, new: Any) -> list[_Change] | None:
    """Replace the scalars in which a value differs; ``None`` if more than these differ."""
    if isinstance(new, dict) and isinstance(node, MappingNode) and isinstance(old, dict):
        children = {key.value: value for key, value in node.value}
        pairs = [(children.get(key), old.get(key), value) for key, value in new.items()]
        known = old.keys() == new.keys()
    elif isinstance(new, list) and isinstance(node, SequenceNode) and isinstance(old, list):
        known = len(old) == len(new) == len(node.value)
        pairs = list(zip(node.value, old, new, strict=False))
    else:
        if _same(old, new):
            return []
        if not isinstance(node, ScalarNode) or isinstance(new, dict | list):
            return None
        if node.style in ("|", ">") or node.start_mark.line != node.end_mark.line:
            return None
        return [(node.start_mark.index, node.end_mark.index, in_line(new))]
    found: list[_Change] = []
    for child, was, value in pairs if known else ():
        inner = None if child is None else _singles(child, was, value)
        if inner is None:
            return None
        found += inner
    return found if known else None


def _lines_of(text: str, key: Node, value: Node) -> tuple[int, int] | None:
    """Return where the lines of a key are; ``None`` if something else stands in the first."""
    start = int(key.start_mark.index)
    if start and not _LINE_END.search(text[start - 1 : start]):
        return None
    last = len(text[: max(key.end_mark.index, _end(value))].rstrip())
    found = _LINE_END.search(text, last)
    return start, len(text) if found is None else found.end()


def _kept(was: str, line_end: str) -> str:
    """Make comments of lines."""
    kept = _WAS + line_end + "".join(f"#{line}" for line in _lines(was))
    return kept if _LINE_END.search(kept[-1:]) else kept + line_end


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text, with their ends."""
    start = 0
    for found in _LINE_END.finditer(text):
        yield text[start : found.end()]
        start = found.end()
    if text[start:]:
        yield text[start:]


def _end(node: Node) -> int:
    """Return where a value ends: a block's mark is at what comes behind it."""
    if not isinstance(node, CollectionNode) or node.flow_style:
        return int(node.end_mark.index)
    inner = [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
    return max((_end(part) for part in inner), default=int(node.start_mark.index))


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same types: 1 is not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)
