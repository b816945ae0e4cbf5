"""Patterns of repositories, such as ``acme/*``, in grants files and in options."""

from __future__ import annotations

import re


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Make an expression that matches the paths of repositories.

    ``*`` stands for any characters within one segment, ``?`` for one, and
    ``**`` as a whole segment for any number of segments: none or more, but at
    the end at least one, so that ``acme/**`` is what lies below ``acme``.

    A match takes at most as many steps as the product of both lengths.

    :raises ValueError: if it has empty segments, or ``**`` beside something.
    """
    *others, last = pattern.split("/")
    parts = [""]
    for segment in others:
        if segment == "**":
            parts.append("")
        else:
            parts[-1] += f"{_segment(segment)}/"
    parts[-1] += ".+" if last == "**" else _segment(last)
    return re.compile(_join(parts, "(?:|.+?/)"), re.DOTALL)


def _segment(segment: str) -> str:
    if not segment:
        raise ValueError("it begins or ends with '/', or has '//' inside")
    if "**" in segment:
        raise ValueError("'**' must be a whole segment, as in 'acme/**'")
    parts = (re.escape(part).replace(r"\?", "[^/]") for part in segment.split("*"))
    return _join([*parts], "[^/]*?")


def _join(parts: list[str], gap: str) -> str:
    """Join expressions by gaps of any length.

    An atomic group matches each part between two gaps at the first place where it fits.
    Later places need no trial: whatever can follow one of them can follow the first too.
    Trying them for each part would take exponential time.
    """
    first, *others = parts
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>{gap}{part})" for part in middle) + gap + last
