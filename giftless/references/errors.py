"""The error that ends a search for references."""

from __future__ import annotations


class NoReferences(Exception):
    """It cannot be told which objects are needed; the text says why, in one line.

    Whoever gets one must delete nothing.
    """
