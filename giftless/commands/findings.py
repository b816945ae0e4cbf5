"""What ``giftless doctor`` and ``giftless check`` find: each finding says what to do, and who can.

A finding is printed as soon as it is known: in words for people, or as a JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from giftless.commands.harmless import harmless

#: The option for programs.
JSON: Final = ["json", None, "Print JSON lines: one for each finding, and a summary at the end."]

#: How a check ends.  ``skipped``: it could not be made, or is of no use here.
Verdict = Literal["ok", "warning", "failed", "skipped"]

#: How wide a line of words is, in columns, and where the words begin.
_WIDTH: Final = 90
_INDENT: Final = 22

#: How failures stand out in a list.
_LABELS: Final = {"ok": "ok", "warning": "WARNING", "failed": "FAILED", "skipped": "skipped"}

#: How colours begin, by verdict, and how they end.
_COLOURS: Final = {"ok": "\x1b[32m", "warning": "\x1b[33m", "failed": "\x1b[31m", "skipped": ""}
_PLAIN: Final = "\x1b[0m"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check has found.

    :ivar check: the check's name: a word.
    :ivar found: what was found, in a sentence.
    :ivar user: what somebody who uses Git can do about it; empty if that is nothing.
    :ivar operator: what an operator of the server can do about it, in the same way.
    """

    check: str
    verdict: Verdict
    found: str
    user: str = ""
    operator: str = ""


class Summary(msgspec.Struct, frozen=True):
    """How many checks have ended how."""

    ok: int
    warning: int
    failed: int
    skipped: int


class Report:
    """Prints findings to stdout, and counts them.

    :param lines: whether they are printed as JSON lines.
    :param you: who reads it: ``user`` or ``operator``.
    :param write: writes a text; by default to stdout.
    """

    def __init__(
        self,
        lines: bool,
        you: Literal["user", "operator"],
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._lines = lines
        self._you = you
        self._write = write or _write
        self._coloured = write is None and _shows_colours()
        self._counts: Counter[str] = Counter()

    @property
    def failed(self) -> bool:
        """Whether a check has failed."""
        return self._counts["failed"] > 0

    def add(self, finding: Finding) -> None:
        """Print a finding."""
        self._counts[finding.verdict] += 1
        if self._lines:
            self._write_json(finding)
        else:
            self._write(self._words(finding))

    def end(self) -> None:
        """Print how many checks have ended how."""
        counts = Summary(**{verdict: self._counts[verdict] for verdict in _LABELS})
        if self._lines:
            self._write_json({"summary": counts})
        else:
            told = [f"{counts.failed} failed", _plural(counts.warning, "warning")]
            told += [f"{counts.ok} ok", f"{counts.skipped} skipped"]
            self._write(f"\n{', '.join(told)}\n")

    def _write_json(self, value: object) -> None:
        # ASCII, so that no terminal obeys what a server says.
        text = json.dumps(msgspec.to_builtins(value)).replace("\x7f", "\\u007f")
        self._write(f"{text}\n")

    def _words(self, finding: Finding) -> str:
        label = f"{_LABELS[finding.verdict]:<8}"
        if self._coloured:
            label = f"{_COLOURS[finding.verdict]}{label}{_PLAIN}"
        found = _wrapped(finding.found)
        lines = [f"{label} {finding.check:<{_INDENT - 10}} {found[0]}"]
        lines += [" " * _INDENT + line for line in found[1:]]
        for who, advice in (("user", finding.user), ("operator", finding.operator)):
            if advice:
                lines += [" " * _INDENT + line for line in _wrapped(f"{self._name(who)}: {advice}")]
        return "\n".join(lines) + "\n"

    def _name(self, who: str) -> str:
        if who == self._you:
            return "-> You can"
        return "-> The server's operator can" if who == "operator" else "-> Users can"


def ok(check: str, found: str) -> Finding:
    """Make a finding: all is well."""
    return Finding(check, "ok", found)


def skipped(check: str, found: str, *, user: str = "", operator: str = "") -> Finding:
    """Make a finding: there is nothing to check, or no way to."""
    return Finding(check, "skipped", found, user, operator)


def warning(check: str, found: str, *, user: str = "", operator: str = "") -> Finding:
    """Make a finding: it works, but not as it should."""
    return Finding(check, "warning", found, user, operator)


def failed(check: str, found: str, *, user: str = "", operator: str = "") -> Finding:
    """Make a finding: something does not work."""
    return Finding(check, "failed", found, user, operator)


def _wrapped(text: str) -> list[str]:
    # What is found may quote a server, in as many lines as it likes.
    clean = harmless(" ".join(text.split()))
    return textwrap.wrap(
        clean,
        _WIDTH - _INDENT,
        subsequent_indent="   " if clean.startswith("->") else "",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        # Whoever waits for the next check sees what the others have found.
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more; what has begun, such as a lock, comes to its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _shows_colours() -> bool:
    dumb = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR")
    return sys.stdout.isatty() and not dumb
