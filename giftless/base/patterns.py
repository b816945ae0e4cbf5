"""Patterns of repositories, such as ``acme/*``, in grants files and in options."""

from __future__ import annotations

import re
from typing import Final


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Make an expression that matches the paths of repositories.

    ``*`` stands for any characters within one segment, ``?`` for one, and
    ``**`` as a whole segment for any number of segments: none or more, but at
    the end at least one, so that ``acme/**`` is what lies below ``acme``.

    :raises ValueError: if it has empty segments, or ``**`` beside something.
    """
    segments = pattern.split("/")
    expression = ""
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            expression += ".+" if last else "(?:.+/)?"
            continue
        if not segment:
            raise ValueError("it begins or ends with '/', or has '//' inside")
        if "**" in segment:
            raise ValueError("'**' must be a whole segment, as in 'acme/**'")
        expression += "".join(_GLOBS.get(char, re.escape(char)) for char in segment)
        expression += "" if last else "/"
    return re.compile(expression, re.DOTALL)


_GLOBS: Final = {"*": "[^/]*", "?": "[^/]"}
