"""Text of strangers, for a terminal: it shows what it is, and does nothing else."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Kinds of characters that control something, have no shape, or are none: among them
#: escape sequences, and what turns the direction of writing.
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

#: Kinds of characters that are put above or below the one before.
_MARKS: Final = {"Mn", "Me"}

#: Directions of writing that would reorder a line.
_FROM_RIGHT: Final = {"R", "AL", "AN"}

#: What stands for a text that was cut.
_CUT: Final = "…"


def harmless(text: str) -> str:
    """Write what a terminal could obey, or could show elsewhere, as its code."""
    if text.isascii() and text.isprintable():
        return text
    shown = []
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        if kind in _HIDDEN or kind in _MARKS or unicodedata.bidirectional(char) in _FROM_RIGHT:
            shown.append(char.encode("unicode_escape").decode())
        else:
            shown.append(char)
    return "".join(shown)


def width(text: str) -> int:
    """Return how many columns a harmless text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def fit(text: str, columns: int) -> str:
    """Make a text harmless, and as wide as a column: cut or filled up.

    :param columns: how wide; at least 1.
    """
    text = harmless(text)
    if width(text) > columns:
        kept = ""
        for char in text:
            if width(kept + char) > columns - 1:
                break
            kept += char
        text = kept + _CUT
    return text + " " * (columns - width(text))
