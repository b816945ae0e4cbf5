"""The resource tree: which URL is which endpoint.

The endpoints of repositories exist below any repository path, in both forms that
clients use: ``/{org}/{repo}.git/info/lfs/…`` and ``/{org}/{repo}/…``.  Those of
the server stand below its root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug import exceptions
from werkzeug.routing import PathConverter

from giftless.errors import BadRequest, Disconnected, LFSError, MethodNotAllowed, NoEndpoint
from giftless.lfs.objects import Repo
from giftless.web.call import Call, RepoCall
from giftless.web.fast_routes import FastRoutes
from giftless.web.links import Links
from giftless.web.proxies import Proxies
from giftless.web.request import CLIENT_CLOSED, StreamingRequest
from giftless.web.route import REPO, Level, Route

#: What a repository's API is appended to for HTTP remotes (docs/api/server-discovery.md).
_INFO_LFS: Final = ("info", "lfs")


class _RepoConverter(PathConverter):
    """Matches everything in front of an endpoint."""

    part_isolating = False
    regex = ".+?"


class LFSResource:
    """The HTTP API: all endpoints.

    :param routes: the endpoints.
    :param proxies: whose word about URLs is taken.
    :param public_url: the root of all URLs that are handed out; empty to
        build it from each request.
    """

    def __init__(self, routes: Iterable[Route], proxies: Proxies, public_url: str) -> None:
        self._proxies = proxies
        self._public_url = public_url.rstrip("/")
        self.app = Klein()
        self.app.url_map.converters = {**self.app.url_map.converters, REPO: _RepoConverter}
        self.app.url_map.merge_slashes = False
        self._endpoints = [(route, self._handle(route)) for route in routes]
        for number, (route, handle) in enumerate(self._endpoints):
            self.app.route(route.rule, methods=route.methods, endpoint=str(number))(handle)
        self.app.handle_errors(exceptions.HTTPException)(self._routing_failed)  # type: ignore[arg-type]  # Klein wants IRequest

    def resource(self) -> IResource:
        """Return the root of the resource tree."""
        return FastRoutes(self._endpoints, self.app.resource())

    def _handle(self, route: Route) -> Callable[..., Deferred[None]]:
        """Turn the handler of a route into Klein's.

        Klein cancels a handler whose client leaves.  These run to their end
        instead, so that they always clean up; the body tells them of the loss.
        """

        def handle(request: StreamingRequest, /, **variables: str) -> Deferred[None]:
            answered: Deferred[None] = Deferred(lambda _: None)

            def end(_: object) -> None:
                if not answered.called:
                    answered.callback(None)

            running = Deferred.fromCoroutine(self._run(route, request, variables))
            running.addBoth(end)
            request.context.connections.handles(running)
            return answered

        return handle

    async def _run(
        self, route: Route, request: StreamingRequest, variables: dict[str, str]
    ) -> None:
        try:
            if route.level is Level.SERVER:
                call = Call(request, self._proxies.client(request))
            else:
                call = self._repo_call(request, variables.pop(REPO))
            await route.handler(call, **variables)
        except LFSError as error:
            request.respond_error(error)
        except Disconnected:
            request.abandon(CLIENT_CLOSED)
        except (Exception, SystemExit):
            request.processingFailed(Failure())

    def _repo_call(self, request: StreamingRequest, path: str) -> RepoCall:
        segments = path.split("/")
        short = tuple(segments[-2:]) != _INFO_LFS
        request.repo = repo = Repo.parse(segments if short else segments[:-2])
        base_url = self._public_url or self._proxies.base_url(request)
        client = self._proxies.client(request)
        return RepoCall(request, client, repo, Links(base_url, segments), short)

    def _routing_failed(self, request: StreamingRequest, failure: Failure) -> None:
        """No endpoint has this URL, or not with this method."""
        problem = failure.value
        if isinstance(problem, exceptions.MethodNotAllowed):
            allowed = tuple(sorted(problem.valid_methods or ()))
            request.respond_error(MethodNotAllowed(f"use one of: {', '.join(allowed)}", allowed))
        elif isinstance(problem, exceptions.NotFound):
            request.respond_error(NoEndpoint("there is no such endpoint on this server"))
        else:
            request.respond_error(BadRequest("the URL is malformed"))
