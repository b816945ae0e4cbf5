"""Errors that are told to operators, or to nobody."""

from __future__ import annotations


class Disconnected(Exception):
    """The peer went away; there is no one left to tell."""


class ConfigError(Exception):
    """The configuration cannot be used.

    :param path: the key's dotted path, e.g. ``storage.path``; empty for the whole file.
    :param problem: what was found and what is allowed, without the path, and without
        any value: it may be a secret.
    :param key: a key below the path that nobody knows.  It is where the problem is, and
        is not shown, because it may be a secret as well.
    """

    def __init__(self, path: str, problem: str, key: str | None = None) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem
        self.key = key

    def __str__(self) -> str:
        text = f"{self.path}: {self.problem}" if self.path else self.problem
        # One line, whatever keys and values contain.
        return " ".join(text.splitlines())
