"""The resource tree: which URL is which endpoint.

The endpoints of repositories exist below any repository path, in both forms that
clients use: ``/{org}/{repo}.git/info/lfs/…`` and ``/{org}/{repo}/…``.  Those of
the server stand below its root.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from giftless.base.access_log import CLIENT_CLOSED
from giftless.base.concurrency import begin
from giftless.errors import BadRequest, Disconnected, LFSError
from giftless.lfs.objects import Repo
from giftless.web.call import Call, RepoCall
from giftless.web.fast_routes import FastRoutes
from giftless.web.links import EXAMPLE_REPO, Links, example_api
from giftless.web.proxies import ServerURL
from giftless.web.request import LFSRequest
from giftless.web.route import REPO, ROOT, Level, Route

if TYPE_CHECKING:
    from klein import Klein

#: What a repository's API is appended to for HTTP remotes (docs/api/server-discovery.md).
_INFO_LFS: Final = "/info/lfs"

#: The path of a repository that ends like this is a mistake: clients that append
#: ``.git/info/lfs`` to a URL that has it already (DVC) would get a repository of
#: their own, without any object.
_INFO_LFS_AGAIN: Final = re.compile(r"/+info/+lfs(\.git)?(/+\.git)?\Z", re.IGNORECASE)

#: How many repositories' URLs are kept, if they are short: most requests name the same.
_PLACES: Final = 256
_SHORT_PATH: Final = 512


class LFSResource:
    """The HTTP API: all endpoints.

    :param routes: the endpoints.
    :param server_url: the root of all URLs that are handed out.
    """

    def __init__(self, routes: Iterable[Route], server_url: ServerURL) -> None:
        self._server_url = server_url
        self._place = lru_cache(_PLACES)(self._find_place)
        self._endpoints = [(route, self._handle(route)) for route in routes]

    def resource(self) -> IResource:
        """Return the root of the resource tree."""
        return FastRoutes(self._endpoints, lambda: self.tree)

    @cached_property
    def app(self) -> Klein:
        """All endpoints, as Klein knows them."""
        # Not before: it takes memory, and most workers never need it.
        from giftless.web.klein_tree import build_tree

        return build_tree(self._endpoints, self._not_found)

    @cached_property
    def tree(self) -> IResource:
        """The resource tree by which Klein answers requests."""
        return self.app.resource()

    def _handle(self, route: Route) -> Callable[..., Deferred[None] | None]:
        """Turn the handler of a route into Klein's.

        Klein cancels a handler whose client leaves.  These run to their end
        instead, so that they always clean up; the body tells them of the loss.
        """

        def handle(request: LFSRequest, /, **variables: str) -> Deferred[None] | None:
            running = begin(self._run(route, request, variables))
            if not isinstance(running, Deferred):
                return None
            answered: Deferred[None] = Deferred(lambda _: None)

            def end(_: object) -> None:
                if not answered.called:
                    answered.callback(None)

            running.addBoth(end)
            request.context.connections.handles(running)
            return answered

        return handle

    async def _run(self, route: Route, request: LFSRequest, variables: dict[str, str]) -> None:
        request.route = route.template or ROOT
        try:
            if route.level is Level.SERVER:
                call = Call(request, request.address)
            else:
                call = self._repo_call(request, variables.pop(REPO))
            await route.handler(call, **variables)
        except LFSError as error:
            request.respond_error(error)
            _forget_frames(error)
        except Disconnected as error:
            request.abandon(CLIENT_CLOSED)
            _forget_frames(error)
        except (Exception, SystemExit):
            request.processingFailed(Failure())

    def _repo_call(self, request: LFSRequest, path: str) -> RepoCall:
        find = self._place if len(path) <= _SHORT_PATH else self._find_place
        repo, links, short = find(self._server_url.for_client(request), path)
        request.repo = repo
        return RepoCall(request, request.address, repo, links, short)

    def _find_place(self, base_url: str, path: str) -> tuple[Repo, Links, bool]:
        """Return the repository that a URL names, its endpoints there, and whether it is short."""
        # Clients that append to a URL with a slash at its end send two (JGit).
        url = f"/{path.rstrip('/')}"
        root = url.removesuffix(_INFO_LFS)
        short = root == url
        root = root.rstrip("/")
        if not root:
            raise BadRequest(_no_repository(base_url))
        if _INFO_LFS_AGAIN.search(root):
            raise BadRequest(_info_lfs_again(base_url, root))
        names = root[1:].split("/")
        links = Links(base_url, names if short else [*names, "info", "lfs"])
        return Repo.parse(names), links, short

    def _not_found(self, request: LFSRequest) -> str:
        """Say why a URL is no endpoint's."""
        path = "/" + b"/".join(request.postpath or ()).decode()
        base_url = self._server_url.in_words(request)
        if path.rstrip("/") in ("", _INFO_LFS) or self._lacks_repository(path):
            return _no_repository(base_url)
        return (
            "there is no such endpoint on this server;"
            f" lfs.url is of the form {example_api(base_url)}"
        )

    def _lacks_repository(self, path: str) -> bool:
        """Whether a path would be an endpoint's behind a repository."""
        return any(
            route.level is Level.REPOSITORY and route.pattern.fullmatch(f"/{REPO}{path}")
            for route, _ in self._endpoints
        )


def _forget_frames(error: Exception) -> None:
    """Free what the handler of a request had, which may be much of its body.

    A body keeps the error that ended it, and the error its handler's frames, which know
    the body: without this they would wait for the garbage collector.
    """
    error.__traceback__ = None


def _info_lfs_again(base_url: str, root: str) -> str:
    """Say how the URL of a repository is written.

    :param root: what stands in front of its API, and ends in ``info/lfs``.
    """
    while found := _INFO_LFS_AGAIN.search(root):
        root = root[: found.start()]
    git = f"{base_url}{quote(root) or EXAMPLE_REPO}"
    return (
        "the URL has 'info/lfs' twice, or in capital letters: write lfs.url as"
        f" {git}/info/lfs; a client that appends that itself needs {git}"
    )


def _no_repository(base_url: str) -> str:
    return f"the URL names no repository: write lfs.url as {example_api(base_url)}"
