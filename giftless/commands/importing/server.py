"""``giftless import server``: import what another LFS server has, by its batch API."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.python import usage

from giftless.base.addresses import Network, parse_network
from giftless.base.dialling import Lookups
from giftless.base.reach import Reach
from giftless.client.connections import Connections
from giftless.client.endpoints import Endpoint, endpoint_of, endpoint_of_remote
from giftless.client.errors import ServerError
from giftless.client.fetching import Remote
from giftless.commands.arguments import repository
from giftless.commands.importing.choosing import ChoosingCommand
from giftless.commands.importing.objects import FLAGS
from giftless.commands.output import counted
from giftless.commands.pointers import pointers_of
from giftless.importing.assignments import Assignment
from giftless.importing.offers import Offer, in_pages
from giftless.interfaces import Environment
from giftless.lfs.objects import ObjectKey, Oid
from giftless.references.git import Git

#: What the URL of an endpoint ends with beside that of its git repository.
_SUFFIX: Final = "/info/lfs"


class ImportServer(ChoosingCommand):
    """The command line of ``giftless import server``."""

    synopsis = (
        "[--config FILE] [--from CLONE-OR-URL... | --list FILE] [--network NETWORK...]"
        " [--rate SIZE] [--jobs NUMBER] [--dry-run] [--json] URL REPO"
    )
    longdesc = (
        "Store in REPO what the LFS server at URL has of it, and verify each object.  URL is that"
        " of a git repository (it ends with .git, or is one of SSH), or what lfs.url would be."
        "  What there is to import is told by the refs of the git repository, of a clone or"
        " another URL (--from), or by a list of lines 'OID SIZE'.  Credentials are those of git:"
        " its helpers, ~/.netrc and SSH.  Exits with 2 if an object could not be imported."
    )
    optFlags: Any = FLAGS

    def __init__(self) -> None:
        super().__init__()
        self._networks: list[Network] = []

    def opt_network(self, text: str) -> None:
        """Let the server lead to these addresses, too, such as 10.0.0.0/8 (repeatable)."""
        try:
            self._networks.append(parse_network(text))
        except ValueError:
            raise usage.UsageError(f"--network: {text!r} is no network") from None

    def parseArgs(self, *arguments: str) -> None:
        """Take the server and the repository."""
        if len(arguments) != 2:
            raise usage.UsageError("say which server, and where its objects go: URL REPO")
        try:
            self._endpoint, self._git_url = _read_url(arguments[0])
        except ServerError as error:
            raise usage.UsageError(error.problem) from None
        self.repo = repository(arguments[1])

    def postOptions(self) -> None:
        """Find out who tells what there is to import."""
        if not self.chooses:
            if not self._git_url:
                raise usage.UsageError(
                    "this URL names no git repository that tells what to import: name one by"
                    " --from, or a list by --list"
                )
            self.opt_from(self._git_url)
        super().postOptions()

    async def work(self, environment: Environment) -> None:
        """Import what the server has."""
        reactor: Any = environment.reactor
        git = Git(self["git-timeout"])
        # Killed in time, so that this process can end.
        reactor.addSystemEventTrigger("before", "shutdown", git.stop)
        chosen = await environment.blocking.run(self._choose, git)
        reach = Reach(reactor, Lookups(reactor), self._networks)
        await reach.begin_at(urlsplit(self._endpoint.url).hostname or "")
        ask = sys.stdin.isatty() and self["list"] != "-"
        connections = Connections(reactor, environment.blocking, ask=ask, dial=reach.dial)
        try:
            remote = Remote(connections.server(self._endpoint), reactor)
            await self.take_in(
                environment,
                lambda: remote.pages(in_pages(self._offers(chosen))),
                remote.open,
                lambda: _notes(chosen),
            )
        finally:
            await connections.close()

    def _offers(self, chosen: Sequence[Assignment]) -> Iterator[Offer]:
        for each in chosen:
            yield Offer(ObjectKey(each.repo, each.oid), each.size, self._endpoint.name)

    def _choose(self, git: Git) -> Sequence[Assignment]:
        """Tell what to import; blocks."""
        assert self.repo is not None, "it is an argument"
        sizes: dict[Oid, int | None] = {}
        if self["list"] is not None:
            for each in self.listed():
                sizes[each.oid] = each.size or sizes.get(each.oid)
        for source in self.sources:
            for pointer in pointers_of(git, source):
                if sizes.get(pointer.oid) is None:
                    sizes[pointer.oid] = pointer.size
        return [Assignment(self.repo, oid, size) for oid, size in sorted(sizes.items())]


def _read_url(url: str) -> tuple[Endpoint, str]:
    """Tell where the server is, and which git repository goes with it; empty if unknown.

    :raises ServerError: if it is no URL of a server.
    """
    if url.startswith(("http://", "https://")) and not url.rstrip("/").endswith(".git"):
        bare = url.rstrip("/")
        return endpoint_of(url), bare.removesuffix(_SUFFIX) if bare.endswith(_SUFFIX) else ""
    return endpoint_of_remote(url), url


def _notes(chosen: Sequence[Assignment]) -> Sequence[str]:
    unknown = sum(1 for each in chosen if each.size is None)
    if not unknown:
        return []
    return [f"The sizes of {counted(unknown, 'object')} were not known beforehand."]
