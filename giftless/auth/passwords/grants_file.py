"""Per-user grants: a small YAML file of grant lists (:mod:`giftless.auth.grant_lists`).

``*`` as a user stands for everybody who has a password or a key.
"""

from __future__ import annotations

from giftless.auth.grant_lists import GrantLists, GrantProblem
from giftless.base.safe_yaml import find_place, load_yaml
from giftless.base.watched_file import FileProblem


def parse_grants(content: bytes) -> GrantLists:
    """Read the YAML of a grants file.

    :raises FileProblem: if it is something else; the text names the line, and shows
        neither users nor patterns.
    """
    try:
        document = load_yaml(content)
    except ValueError as error:
        raise FileProblem(f"is not valid YAML: {error}") from None
    try:
        return GrantLists(document)
    except GrantProblem as error:
        place = find_place(content.decode(), error.steps)
        where = "" if place is None else f"line {place[0]}, column {place[1]}: "
        raise FileProblem(f"{where}{error.problem}") from None
