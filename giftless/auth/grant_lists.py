"""Grant lists: for each name of a user or a group, repositories and what is allowed there.

.. code-block:: yaml

    developers:
      acme/*: write
      acme/tools/**: admin
    "*":
      public/**: read

Grants add up: the most that any line gives counts, and no line takes away.
``*`` as a name stands for everybody who has been identified.

They stand in a file of their own (``giftless.auth.passwords.grants_file``), or in the
configuration as an option of an authenticator that knows groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.patterns import compile_pattern
from giftless.base.schema import expand
from giftless.base.showing import describe
from giftless.errors import ConfigError
from giftless.lfs.objects import Permission, Repo

#: Stands for everybody who has been identified.
EVERYBODY: Final = "*"

#: The type of an option that holds grant lists; :meth:`GrantLists.of_option` checks it.
GrantsOption = dict[str, Any]

_LEVELS: Final[Mapping[str, frozenset[Permission]]] = {
    "read": READ,
    "write": READ_WRITE,
    "admin": ADMIN,
}

_Lines = Sequence[tuple[re.Pattern[str], frozenset[Permission]]]


class GrantProblem(Exception):
    """Something is no grant list.

    :param problem: what was found and what is allowed; it quotes nothing.
    :param steps: where it is: nothing, a name, or a name and a pattern.
    """

    def __init__(self, problem: str, *steps: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps = steps


class GrantLists:
    """Who may do what.

    :param document: the grant lists as plain data; ``None`` for none.
    :raises GrantProblem: if it is something else.
    """

    def __init__(self, document: object) -> None:
        self._lists = {name: _lines(name, lines) for name, lines in _mapping(document).items()}

    @classmethod
    def of_option(cls, name: str, value: GrantsOption) -> GrantLists:
        """Read an option.

        :param name: what it is called in its section.
        :raises ConfigError: at the first name or pattern that cannot be used.
        """
        try:
            return cls({each: expand(lines) for each, lines in value.items()})
        except GrantProblem as error:
            # The last step may be no name but a secret whose colon is missing.
            *above, key = (name, *error.steps)
            if error.steps:
                raise ConfigError(".".join(above), error.problem, key) from None
            raise ConfigError(name, error.problem) from None

    def permissions(self, names: Iterable[str], repo: Repo) -> frozenset[Permission]:
        """Return all that somebody may do in ``repo``.

        :param names: the user's name, or the groups that the user is in.
        """
        granted: frozenset[Permission] = frozenset()
        for name in {*names, EVERYBODY} & self._lists.keys():
            for pattern, level in self._lists[name]:
                if pattern.fullmatch(repo.path):
                    granted |= level
        return granted


def _mapping(document: object, *steps: str) -> Mapping[str, object]:
    if document is None:
        return {}
    try:
        return msgspec.convert(document, dict[str, object])
    except msgspec.ValidationError:
        pass
    found = describe(document)
    if isinstance(document, dict):
        found = "a key that YAML does not take for text: put it in quotes"
    raise GrantProblem(f"found {found}, allowed is a mapping", *steps)


def _lines(name: str, document: object) -> _Lines:
    lines = []
    for pattern, level in _mapping(document, name).items():
        try:
            compiled = compile_pattern(pattern)
        except ValueError as error:
            raise GrantProblem(f"the pattern cannot match: {error}", name, pattern) from None
        if not isinstance(level, str) or level not in _LEVELS:
            allowed = ", ".join(_LEVELS)
            problem = f"found {describe(level)}, allowed is one of: {allowed}"
            raise GrantProblem(problem, name, pattern)
        lines.append((compiled, _LEVELS[level]))
    return lines
