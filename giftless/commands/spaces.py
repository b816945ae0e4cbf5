"""Base classes, arguments and output of commands on stored objects, beside a running daemon."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.commands.harmless import fit, harmless, width
from giftless.commands.parts import discard_output, use_parts
from giftless.commands.progress import Progress
from giftless.commands.units import span
from giftless.errors import LFSError
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.observers.rendering import encode
from giftless.usecases.administration import PAGE, Administration
from giftless.usecases.locks import By
from giftless.usecases.reports import ResultReport

#: How wide a name of a person or a file is at most, in columns.
_NAME: Final = 80

#: The option of commands that print one object of JSON for each line.
JSON_LINES: Final = ["json", "j", "Print one JSON object a line."]

#: The option of commands that print one object of JSON.
JSON: Final = ["json", "j", "Print one JSON object."]

#: The option of commands that cannot be undone.
REALLY: Final = ["really", None, "Do it; without this, only say what would be done."]


class SpaceCommand(Command):
    """A command on stored objects.

    :cvar publishes: whether observers are told what it does.
    :cvar name: what it is called for observers.
    :ivar administration: does the work; set when :meth:`work` is called.
    """

    administration: Administration

    optParameters: Any = [CONFIG]
    publishes: ClassVar = False
    name: ClassVar = "giftless"

    def run(self) -> None:
        """Open the store and the catalogue, and work with them."""
        parent: Any = self.parent
        file = self["config"] or parent.get("config")

        async def use(settings: Config, parts: PartBuilder) -> None:
            space = build_space(settings, parts, self.publishes)
            self.administration = Administration(space, time.time)
            parts.environment.services.startService()
            await self.work()

        use_parts(config.load(file, os.environ), use)

    async def work(self) -> None:
        """Do the command's work, once everything is open."""
        raise NotImplementedError

    @property
    def by(self) -> By:
        """Who does it."""
        return By(who(self.name))

    def progress(self, total: int | None, what: str) -> Progress:
        """Make what shows the progress; the command says itself how much was done."""
        quiet = bool(self.get("json"))
        return Progress(total, "objects", what, quiet=quiet, summary=False)


class GroupCommand(Command):
    """A command that has subcommands and does nothing itself."""

    optParameters: Any = [CONFIG]
    subCommands: Any = []

    def postOptions(self) -> None:
        """Insist on a subcommand."""
        if self.subCommand is None:
            names = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"say what to do: {names} (see --help)")

    def run(self) -> None:
        """Run the subcommand."""
        self.subOptions.run()


def repository(path: str) -> Repo:
    """Parse the path of a repository that somebody has typed.

    :raises UsageError: if it is none.
    """
    try:
        return Repo.parse(path.split("/"))
    except LFSError as error:
        raise usage.UsageError(f"{path!r} is no repository: {error.message}") from None


def oids(texts: Sequence[str]) -> Iterator[Oid]:
    """Parse oids that somebody has typed; ``-`` stands for those on stdin, one a line.

    :raises CommandError: if one is none.
    """
    for text in texts:
        for word in _words() if text == "-" else (text,):
            try:
                yield Oid.parse(word)
            except LFSError as error:
                raise CommandError(f"{harmless(word[:80])}: {error.message}") from None


def _words() -> Iterator[str]:
    for line in sys.stdin:
        if word := line.strip():
            yield word


def in_pages(repo: Repo, found: Iterable[Oid]) -> Iterator[list[ObjectKey]]:
    """Divide objects into as many as are moved at once; each is there once in a page."""
    rest = iter(found)
    while some := list(islice(rest, PAGE)):
        yield [ObjectKey(repo, oid) for oid in dict.fromkeys(some)]


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
