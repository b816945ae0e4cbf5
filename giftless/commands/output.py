"""Print what was done to objects, for people and as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from giftless.commands import CommandError
from giftless.commands.harmless import fit, harmless, width
from giftless.commands.parts import discard_output
from giftless.commands.units import span
from giftless.observers.rendering import encode
from giftless.usecases.reports import ResultReport

#: How wide a name of a person or a file is at most, in columns.
_NAME: Final = 80


def write_lines(lines: Iterable[str]) -> None:
    """Print lines that somebody may read only the first of.

    :raises BrokenPipeError: if nobody reads any more, which ends a command quietly.
    """
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def report_results(reports: Sequence[ResultReport], as_json: bool) -> None:
    """Print what became of objects; that nobody reads it must not end what is being done."""
    show = as_json_line if as_json else _result_line
    lines = [show(report) for report in reports]
    try:
        write_lines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def _result_line(report: ResultReport) -> str:
    words = f"  {short(report.problem, 200)}" if report.problem else ""
    return f"{report.result:<8}  {report.oid}{words}"


def as_json_line(report: msgspec.Struct) -> str:
    """Write a report as one line of JSON.

    It is ASCII, so that a terminal has nothing to obey.
    """
    text = msgspec.json.encode(report).decode()
    if text.isascii() and "\x7f" not in text:
        return text
    return encode(msgspec.to_builtins(report))


def counted(count: int, noun: str) -> str:
    """Write how many things there are."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def age(at: float, now: float | None = None) -> str:
    """Write how long something is ago, for people."""
    return span((time.time() if now is None else now) - at)


def short(text: str, columns: int = _NAME) -> str:
    """Make a name harmless, and cut it; ``-`` stands for none."""
    if not text:
        return "-"
    plain = harmless(text)
    return plain if width(plain) <= columns else fit(plain, columns).rstrip()


def must_be_complete(reports: Iterable[ResultReport], done: str) -> None:
    """End with an error unless everything was done.

    :param done: the result of an object for which it was.
    :raises CommandError: otherwise.
    """
    left = [report.result for report in reports if report.result != done]
    if left:
        count = f"{len(left):,} of the objects {'was' if len(left) == 1 else 'were'}"
        raise CommandError(f"{count} not {done}: {', '.join(sorted(set(left)))}")
