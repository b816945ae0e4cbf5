"""Per-user grants: a small YAML file of users, repositories and access.

.. code-block:: yaml

    alice:
      acme/*: write
      acme/tools/**: admin
    "*":
      public/**: read

Grants add up: the most that any line gives counts, and no line takes away.
``*`` as a user stands for everybody who has a password or a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.patterns import compile_pattern
from giftless.base.safe_yaml import find_place, load_yaml
from giftless.base.showing import describe
from giftless.base.watched_file import FileProblem
from giftless.lfs.objects import Permission, Repo

#: Stands for every user who has a password or a key.
EVERYBODY: Final = "*"

_LEVELS: Final[Mapping[str, frozenset[Permission]]] = {
    "read": READ,
    "write": READ_WRITE,
    "admin": ADMIN,
}

_Lines = list[tuple[re.Pattern[str], frozenset[Permission]]]


class Access:
    """Who may do what.

    :param users: for each user the patterns and what they give.
    """

    def __init__(self, users: Mapping[str, _Lines]) -> None:
        self._users = users

    @classmethod
    def parse(cls, content: bytes) -> Access:
        """Read the YAML of a grants file.

        :raises FileProblem: if it is something else; the text names the line.
        """
        try:
            document = load_yaml(content)
        except ValueError as error:
            raise FileProblem(f"is not valid YAML: {error}") from None
        text = content.decode()
        users = _mapping(document, "")
        return cls({user: _lines(text, user, lines) for user, lines in users.items()})

    def permissions(self, user: str, repo: Repo) -> frozenset[Permission]:
        """Return all that ``user`` may do in ``repo``."""
        granted: frozenset[Permission] = frozenset()
        for name in (user, EVERYBODY):
            for pattern, level in self._users.get(name, ()):
                if pattern.fullmatch(repo.path):
                    granted |= level
        return granted


def _mapping(document: object, where: str) -> Mapping[str, object]:
    if document is None:
        return {}
    try:
        return msgspec.convert(document, dict[str, object])
    except msgspec.ValidationError:
        pass
    found = describe(document)
    if isinstance(document, dict):
        found = "a key that YAML does not take for text: put it in quotes"
    raise FileProblem(f"{where}found {found}, allowed is a mapping")


def _lines(text: str, user: str, document: object) -> _Lines:
    lines = []
    for pattern, level in _mapping(document, _place(text, user)).items():
        place = _place(text, user, pattern)
        try:
            compiled = compile_pattern(pattern)
        except ValueError as error:
            raise FileProblem(f"{place}the pattern cannot match: {error}") from None
        if not isinstance(level, str) or level not in _LEVELS:
            raise FileProblem(
                f"{place}found {describe(level)}, allowed is one of: {', '.join(_LEVELS)}"
            )
        lines.append((compiled, _LEVELS[level]))
    return lines


def _place(text: str, *steps: str) -> str:
    """Say where a value stands; neither users nor patterns are shown."""
    place = find_place(text, steps)
    return "" if place is None else f"line {place[0]}, column {place[1]}: "
