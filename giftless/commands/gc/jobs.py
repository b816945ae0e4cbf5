"""Which repositories are collected, and which git repositories each belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from giftless.auth.prefixes import Prefixes, inside
from giftless.commands import CommandError
from giftless.errors import LFSError
from giftless.interfaces import IBlocking, IHosting, IListing
from giftless.lfs.objects import Repo
from giftless.references.errors import NoReferences
from giftless.references.gathering import ObjectList
from giftless.references.git import Git
from giftless.references.sources import Source, parse_source
from giftless.usecases.listing import listed

#: How many objects are listed at once, to find the repositories.
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """Repositories that are collected together.

    :ivar repos: what is kept is the same for each of them.
    :ivar sources: the git repositories that need objects of theirs.
    :ivar lists: lists of objects to keep.
    :ivar problem: why that is not known; empty if it is.
    """

    repos: Sequence[Repo]
    sources: Sequence[Source] = ()
    lists: Sequence[ObjectList] = ()
    problem: str = ""


class Hosts:
    """The authenticators that know where git clones from.

    :param built: every part of the server, by the dotted path of its section.
    """

    def __init__(self, built: Mapping[str, object]) -> None:
        self._prefixes = prefixes = Prefixes(built)
        self._hosts = [
            (prefixes.of_section(path), part)
            for path, part in built.items()
            if IHosting.providedBy(part)
        ]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._hosts)

    def of(self, repo: Repo) -> tuple[Sequence[IHosting], Repo]:
        """Return those that are asked about a repository, and what it is called there.

        :raises LFSError: if nothing can be called so.
        """
        place = self._prefixes.of(repo.segments)
        hosts = [host for below, host in self._hosts if below == place]
        return hosts, inside(Repo.parse(place.split("/")), repo) if place else repo


class Forges:
    """The forges that a configuration names, asked with the operator's credentials.

    :param hosts: the authenticators that know where git clones from.
    :param git: has the credentials.
    """

    def __init__(self, hosts: Hosts, git: Git, blocking: IBlocking) -> None:
        self._hosts = hosts
        self._git = git
        self._blocking = blocking
        self._tokens: dict[str, str] = {}

    async def job(self, repo: Repo, names: Iterable[str]) -> Job:
        """Find the git repositories that keep their objects under a name.

        :param names: what they are called: the name itself, and its aliases.
        :returns: a job with a problem, if one of them is on no forge: then objects of it
            could not be told from garbage.
        """
        sources: list[Source] = []
        try:
            for name in names:
                urls = await self._clone_urls(Repo(tuple(name.split("/"))))
                if not urls:
                    return Job([repo], problem=f"no forge of the configuration knows {name}")
                sources += map(parse_source, urls)
        except (LFSError, NoReferences) as error:
            return Job([repo], problem=str(error))
        return Job([repo], sources)

    async def _clone_urls(self, repo: Repo) -> Sequence[str]:
        """Find a repository on every forge: those of one name share their objects here."""
        urls = []
        hosts, repo = self._hosts.of(repo)
        for host in hosts:
            root = host.git_url
            if root not in self._tokens:
                self._tokens[root] = await self._blocking.run(self._git.credential, root)
            url = await host.clone_url(repo, self._tokens[root])
            if url is not None:
                urls.append(url)
        return urls


@dataclass(frozen=True, slots=True)
class Names:
    """What the repositories of a server are called.

    :ivar aliases: the paths that they are kept under, by the names that lead there.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)

    def of(self, repo: Repo) -> Sequence[str]:
        """Return all names that lead to a repository: its own first."""
        others = {name for name, kept in self.aliases.items() if kept == repo.path}
        return [repo.path, *sorted(others - {repo.path})]

    def check(self, repo: Repo) -> None:
        """Refuse the name of a repository that is kept elsewhere.

        :raises CommandError: with the name that it is kept under.
        """
        kept = self.aliases.get(repo.path, repo.path)
        if kept != repo.path:
            raise CommandError(f"{repo} is kept under {kept}: name that one")


async def require_objects(store: IListing, repo: Repo) -> None:
    """Refuse the name of a repository that has no objects, not even in the trash.

    :raises CommandError: if it has none: its name may be mistyped.
    :raises LFSError: if the store does not say.
    """
    for trash in (False, True):
        async with aclosing(listed(store, repo, _PAGE, trash)) as pages:
            async for objects in pages:
                if objects:
                    return
    raise CommandError(f"there is no repository {repo}: it has no objects; nothing was collected")


async def stored_repositories(store: IListing) -> Sequence[Repo]:
    """Find all repositories that have objects, by listing everything.

    :raises LFSError: if the list cannot be had.
    """
    found: set[Repo] = set()
    async for objects in listed(store, None, _PAGE):
        found.update(item.key.repo for item in objects)
    return sorted(found, key=lambda repo: repo.path)
