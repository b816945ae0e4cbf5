"""What errors may show of a configuration: nothing that could be a secret.

Any value may be one: a key in the wrong place, a password whose colon is missing.
So errors describe values and never quote them.  Who is told the file, the line and
the key, or the variable, can look for himself.
"""

from __future__ import annotations

import datetime
import os
import re
import traceback
from collections.abc import Mapping
from typing import Final

#: What texts of libraries quote: names, hosts, parts of connection strings.
_QUOTED: Final = re.compile(r"""(["'`\u201c])(?=\S).*?(["'`\u201d])(?!\w)""", re.DOTALL)


#: Numbers from here on may be a secret.
_LARGE: Final = 100_000


def describe(value: object) -> str:
    """Describe what was found, without showing it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and abs(value) < _LARGE:
        return f"{value!r}"
    if value == []:
        return "an empty list"
    for kinds, words in _KINDS:
        if isinstance(value, kinds):
            return words
    return "an empty text" if value == "" else "text" if isinstance(value, str) else "nothing"


_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (Mapping, "a section"),
    ((list, tuple, set), "a list"),
    ((int, float), "a number"),
    ((datetime.date, datetime.time), "a date"),
    (bytes, "binary data"),
)


def describe_number(value: object) -> str:
    """Describe what was found where a number belongs: one that does not fit is shown."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value!r}"
    return describe(value)


def file_name(path: str) -> str:
    """Return a file's name for an error, with a space behind it.

    A secret may stand where the name of its file belongs.  So only a path in a folder
    that exists is shown, and of another the part that exists.

    :returns: the name in quotes and a space; empty if it must not be shown.
    """
    folder = os.path.dirname(path)
    if os.path.lexists(path) or (folder.strip(os.sep) and os.path.lexists(folder)):
        return f"{path!r} "
    while folder.strip(os.sep) and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return f"'{folder}/…' " if folder.strip(os.sep) else ""


def without_quotes(text: object) -> str:
    """Leave out what a library's error quotes, and make one line of it."""
    return " ".join(_QUOTED.sub(r"\1…\2", str(text)).split())


def describe_failure(error: BaseException) -> str:
    """Say what kind of error it is and where it comes from, but not its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
