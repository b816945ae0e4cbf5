"""Paths below which repositories have authenticators of their own.

A server may stand before several forges: ``github.com/acme/rocket`` is ``acme/rocket`` on
one of them, and ``git.example.com/acme/rocket`` on another.  Whoever may look at a
credential is decided here by the path alone, before anybody has seen the credential.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from giftless.errors import BadRequest, ConfigError, NotFound
from giftless.interfaces import IConfined
from giftless.lfs.objects import Repo

#: Where an authenticator with a path of its own stands in the configuration.
_SECTION: Final = re.compile(r"auth\.\d+")


class Prefixes:
    """The paths that have authenticators of their own.

    A repository belongs to the longest of them that its path begins with, and to none of
    the others.

    :param built: every part of the server, by the dotted path of its section.
    :raises ConfigError: if two have the same path, or one stands inside another part, which
        then would be asked first.
    """

    def __init__(self, built: Mapping[str, object]) -> None:
        self._of_section: dict[str, str] = {}
        sections: dict[tuple[str, ...], str] = {}
        for section, part in built.items():
            if not IConfined.providedBy(part):
                continue
            if not _SECTION.fullmatch(section):
                raise ConfigError(
                    f"{section}.type",
                    "has to stand in auth itself, not inside another part; write the whole path"
                    " there: the longest one holds",
                )
            key = folded(part.path.segments)
            if key in sections:
                raise ConfigError(
                    f"{section}.path",
                    f"is that of {sections[key]} as well; put the authenticators of both into one",
                )
            sections[key] = section
            self._of_section[section] = part.path.path
        self._paths = [
            (key, self._of_section[sections[key]])
            for key in sorted(sections, key=len, reverse=True)
        ]

    @property
    def paths(self) -> Sequence[str]:
        """The paths, the longest first."""
        return [path for _, path in self._paths]

    def of(self, segments: Sequence[str]) -> str:
        """Return the path that a repository is below; empty if it is below none.

        :param segments: the path of the repository, or what is behind it, too.
        """
        if not self._paths:
            return ""
        names = folded(segments)
        return next((path for key, path in self._paths if names[: len(key)] == key), "")

    def of_url(self, path: bytes) -> str:
        """Do the same for the path of a request, as it was sent.

        :param path: from the root of the server on.
        """
        if not self._paths:
            return ""
        return self.of([unquote(part) for part in path.decode("latin-1")[1:].split("/")])

    def of_section(self, section: str) -> str:
        """Return below which path the part is asked that stands in a section.

        :param section: its dotted path.
        """
        return self._of_section.get(".".join(section.split(".")[:2]), "")


def folded(segments: Sequence[str]) -> tuple[str, ...]:
    """Return what all spellings of a path have in common that people take for one.

    ``GitHub.com`` and ``github.com.`` are the same host.
    """
    return tuple(unicodedata.normalize("NFKC", each).casefold().rstrip(".") for each in segments)


def inside(path: Repo, repo: Repo) -> Repo:
    """Return what a repository below a path is called there.

    :raises NotFound: if the path is spelled in another way: there would be two repositories
        where people see one.
    :raises BadRequest: if nothing can be called so there.
    """
    length = len(path.segments)
    if repo.segments[:length] != path.segments:
        spelled = "/".join(repo.segments[:length])
        raise NotFound(f"there is no {spelled} here; write it as {path}")
    *parents, name = repo.segments[length:] or ("",)
    if not name:
        raise BadRequest(f"the URL names no repository below {path}: write its path behind that")
    # Parsing drops one ".git", and a repository's name may end like that too.
    return Repo.parse([*parents, f"{name}.git"])


def outside(path: Repo, repo: Repo) -> Repo:
    """Return what a repository is called here that is called otherwise below a path.

    :raises BadRequest: if nothing can be called so.
    """
    *parents, name = repo.segments
    return Repo.parse([*path.segments, *parents, f"{name}.git"])
