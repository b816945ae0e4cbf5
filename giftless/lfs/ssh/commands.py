"""The command lines that git-lfs has run over SSH.

They are meant for a shell, but no shell sees them here.  git-lfs joins the words with
spaces, quotes some of them in some versions, and its users' SSH clients add quotes of
their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from giftless.errors import BadRequest
from giftless.lfs.objects import Operation, Repo

#: The longest command line that is looked at, in characters.
MAX_LENGTH: Final = 8192

#: A word as shells quote it: plain characters, and parts in quotes.
_WORD: Final = re.compile(
    r"""(?: [^\s'"\\] | \\. | '[^']*' | "(?:[^"\\]|\\.)*" )+""", re.VERBOSE | re.DOTALL
)

#: The parts of such a word.
_PART: Final = re.compile(
    r"""
    (?P<plain> [^'"\\]+ )
    | \\(?P<escaped> . )
    | '(?P<single> [^']* )'
    | "(?P<double> (?: [^"\\] | \\. )* )"
    """,
    re.VERBOSE | re.DOTALL,
)

#: What a backslash takes its meaning from inside double quotes.
_ESCAPED: Final = re.compile(r'\\([$`"\\])')

#: What a URL of Git LFS ends with, where users have put one in place of the path.
_ENDPOINT: Final = ("info", "lfs")


class Program(Enum):
    """What can be run.

    :cvar TRANSFER: moves objects and works on locks, by pkt-lines.
    :cvar AUTHENTICATE: tells how to do that over HTTP.
    """

    TRANSFER = "git-lfs-transfer"
    AUTHENTICATE = "git-lfs-authenticate"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that makes sense.

    :ivar program: what is to be run.
    :ivar repo: for which repository.
    :ivar operation: what for: it bounds what the client may do.
    """

    program: Program
    repo: Repo
    operation: Operation


def parse_command(line: str) -> Command:
    """Parse a command line.

    :raises BadRequest: if it is none of Git LFS's, or names no repository.
    """
    words = line[: MAX_LENGTH + 1].strip()
    if len(words) > MAX_LENGTH:
        raise BadRequest(f"the command line has more than {MAX_LENGTH} characters")
    name, _, rest = words.partition(" ")
    try:
        program = Program(_unquoted(name))
    except ValueError:
        raise BadRequest(
            "only git-lfs-transfer and git-lfs-authenticate can be run here, by git-lfs"
        ) from None
    path, _, last = rest.strip().rpartition(" ")
    try:
        operation = Operation(_unquoted(last))
    except ValueError:
        raise BadRequest(
            f"{program.value} needs a path and an operation, 'upload' or 'download'"
        ) from None
    return Command(program, _parse_path(_unquoted(path.strip())), operation)


def _parse_path(path: str) -> Repo:
    segments = path.strip("/").split("/")
    if len(segments) > len(_ENDPOINT) and tuple(segments[-2:]) == _ENDPOINT:
        del segments[-2:]
    return Repo.parse(segments)


def _unquoted(text: str) -> str:
    """Return the word that a shell would make of a text; if it is none, the text itself."""
    if not _WORD.fullmatch(text):
        return text
    return "".join(map(_meaning, _PART.finditer(text)))


def _meaning(part: re.Match[str]) -> str:
    if part["double"] is not None:
        return _ESCAPED.sub(r"\1", part["double"])
    return part["plain"] or part["escaped"] or part["single"] or ""
