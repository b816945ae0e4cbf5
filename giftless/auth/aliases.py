"""Names of repositories that are kept under another name.

The operator's configuration says so, or the catalogue, since a repository was renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from zope.interface import implementer

from giftless.base.showing import describe
from giftless.errors import BadRequest, ConfigError
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo


class Moved:
    """Where repositories are kept that were renamed, as far as this process knows."""

    def __init__(self) -> None:
        self._exact: dict[str, Repo] = {}
        self._folded: dict[str, Repo] = {}

    def update(self, aliases: Mapping[str, str]) -> None:
        """Know these and no others.

        :param aliases: paths, and the paths that they are kept under.  None of the latter
            is among the former.
        """
        self._exact = {name: Repo(tuple(kept.split("/"))) for name, kept in aliases.items()}
        self._folded = {name.lower(): kept for name, kept in self._exact.items()}

    def kept(self, repo: Repo, folded: bool = False) -> Repo | None:
        """Return where a repository is kept; ``None`` if it is where its name says.

        :param folded: whether upper and lower case are the same.
        """
        if folded:
            return self._folded.get(repo.path.lower())
        return self._exact.get(repo.path)


@implementer(IAuthenticator)
class Aliased:
    """Tells of identities under what names their repositories are kept.

    Who may do what is decided before, by the name that the request or a forge gives.
    An alias of the configuration is looked up once, so two names may be exchanged.  What
    it leads to may have been renamed since.

    :param authenticator: identifies, and may know what a repository is called.
    :param aliases: paths of repositories, and the paths that they are kept under.
    :param moved: where others are kept; ``None`` if nothing is renamed.
    :raises ConfigError: if one is no path of a repository, or is there twice.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        aliases: Mapping[str, str],
        moved: Moved | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._moved = moved or Moved()
        self._exact: dict[str, Repo] = {}
        self._folded: dict[str, Repo] = {}
        for name, kept in aliases.items():
            path = _parse(name, "a name", name).path
            self._exact[path] = self._folded[path.lower()] = _parse(name, describe(kept), kept)
        if len(self._folded) < len(aliases):
            raise ConfigError("aliases", "two names differ in upper and lower case only")

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        identity = await self._authenticator.authenticate(credentials, repo)
        if identity is None:
            return None
        told = identity.repo
        # A name that a forge tells is the same in any case.
        kept = self._exact.get(repo.path) if told is None else self._folded.get(told.path.lower())
        moved = self._moved.kept(kept or told or repo, kept is None and told is not None)
        kept = moved or kept
        return identity if kept is None else replace(identity, repo=kept)


def _parse(name: str, found: str, path: str) -> Repo:
    """Parse one side of an alias.

    :param name: the key of the alias, for the place of an error.
    :param found: describes ``path`` without showing it.
    :raises ConfigError: if it is no path of a repository.
    """
    try:
        return Repo.parse(path.split("/"))
    except BadRequest as error:
        problem = f"found {found}, allowed is the path of a repository: {error.message}"
        raise ConfigError("aliases", problem, key=name) from None
