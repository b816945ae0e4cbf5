"""The lines of OpenSSH's ``authorized_keys`` files: options, a key, a comment (sshd(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from giftless.auth.keys.public_keys import TYPES, PublicKey, parse_words
from giftless.base.watched_file import FileProblem, lines_of

#: The longest line, in bytes.
_MAX_LINE: Final = 32 * 1024

#: An option, and its value in quotes, in which only quotes are escaped.
_OPTION: Final = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\")*)")?')


class Line(msgspec.Struct, frozen=True):
    """A line with a key.

    :ivar number: which line it is, from 1.
    :ivar options: the values of its options, by their names in lower case; empty for those
        without a value.
    :ivar key: the key.
    """

    number: int
    options: dict[str, str]
    key: PublicKey


def parse_lines(content: bytes) -> Iterator[Line]:
    """Read a file's content.

    :raises FileProblem: at the first line that cannot be used; the text says which and why.
    """
    for number, text in lines_of(content, _MAX_LINE):
        try:
            yield _parse(number, text)
        except ValueError as error:
            raise FileProblem(f"line {number}: {error}") from None


def _parse(number: int, text: str) -> Line:
    options: dict[str, str] = {}
    if text.split(None, 1)[0] not in TYPES:
        options, text = _options(text)
    words = text.split(None, 2)
    if len(words) < 2:
        raise ValueError("is no key: a type, and the key in base64")
    return Line(number, options, parse_words(words[0], words[1]))


def _options(text: str) -> tuple[dict[str, str], str]:
    """Read the options of a line.

    :returns: them, and what follows.
    """
    options: dict[str, str] = {}
    position = 0
    while found := _OPTION.match(text, position):
        name = found[1].lower()
        if name in options:
            raise ValueError("has an option twice")
        options[name] = (found[2] or "").replace('\\"', '"')
        position = found.end()
        following = text[position : position + 1]
        if following.isspace():
            return options, text[position:]
        if following != ",":
            break
        position += 1
    raise ValueError("is neither a key nor options and a key")
