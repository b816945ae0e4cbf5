"""``giftless import config``: translate a configuration of the Flask giftless."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any, Final

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.commands import Command, CommandError
from giftless.commands.harmless import harmless
from giftless.commands.importing.objects import INCOMPLETE
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.output import as_json_line, counted
from giftless.errors import ConfigError
from giftless.importing.flask.keys import Note
from giftless.importing.flask.translation import Translation, translate
from giftless.importing.offers import NoSource

#: What stands for standard input.
_STDIN: Final = "-"

#: How results are told in words.
_WORDS: Final = {
    "translated": "translated",
    "changed": "translated with a difference",
    "unneeded": "not needed",
    "not-translatable": "not translatable",
}


class _Summary(msgspec.Struct, frozen=True):
    """The last line of JSON: how many keys had each result."""

    summary: dict[str, int]


class ImportConfig(Command):
    """The command line of ``giftless import config``."""

    synopsis = "[--output FILE] [--json] FILE"
    longdesc = (
        "Translate FILE, a configuration of the Flask giftless 0.6 (GIFTLESS_CONFIG_FILE); - is"
        " stdin. The result is printed, or written to a new file that its owner alone may read."
        " What becomes of each key is told: on stderr, or on stdout if there is an --output."
        " Exits with 2 if a key cannot be translated."
    )
    optParameters: Any = [["output", "o", None, "Where to write the configuration."]]
    optFlags: Any = [JSON_LINES]

    def parseArgs(self, *arguments: str) -> None:
        """Take the file."""
        if len(arguments) != 1:
            raise usage.UsageError("say which configuration: FILE")
        self["file"] = arguments[0]

    def postOptions(self) -> None:
        """Check what belongs together."""
        if self["json"] and self["output"] is None:
            raise usage.UsageError("--json needs --output, for stdout has the JSON lines")

    def run(self) -> None:
        """Translate, and tell what became of each key."""
        try:
            translation = translate(_read(self["file"]))
        except NoSource as error:
            raise CommandError(harmless(f"{self['file']}: {error}")) from None
        text = translation.as_yaml()
        problem = _problem_in(text)
        if self["output"] is None:
            sys.stdout.write(text)
            self._report(translation, problem, sys.stderr)
        else:
            _write(self["output"], text)
            self._report(translation, problem, sys.stdout)
        if problem or not translation.notes.is_complete:
            raise SystemExit(INCOMPLETE)

    def _report(self, translation: Translation, problem: str, stream: Any) -> None:
        notes = translation.notes.items
        counts: Counter[str] = Counter(note.result for note in notes)
        if self["json"]:
            lines = [*map(as_json_line, notes), as_json_line(_Summary(dict(counts)))]
        else:
            lines = [harmless(_line(note)) for note in notes]
            told = [
                f"{counted(counts[result], 'key')} {words}"
                for result, words in _WORDS.items()
                if counts[result]
            ]
            lines.append(f"{'; '.join(told) or 'no keys'}.")
            if problem:
                lines.append(harmless(f"The result cannot be used yet: {problem}"))
        stream.write("".join(f"{line}\n" for line in lines))


def _line(note: Note) -> str:
    parts = [f"{note.result:<16}  {note.key}"]
    if note.to:
        parts.append(f" -> {note.to}")
    if note.words:
        parts.append(f": {note.words}")
    return "".join(parts)


def _problem_in(text: str) -> str:
    """Tell why a configuration cannot be used as it is; empty if it can."""
    try:
        config.parse("", text, {})
    except ConfigError as error:
        return str(error)
    return ""


def _read(name: str) -> str:
    try:
        if name == _STDIN:
            return sys.stdin.read()
        with open(name, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise NoSource(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NoSource("is no text") from None


def _write(name: str, text: str) -> None:
    """Write a new file for its owner alone: it may hold secrets.

    :raises CommandError: if it is there already, or cannot be written.
    """
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(harmless(f"{name} cannot be written: {error.strerror}")) from None
