"""The tree of all endpoints, in which Klein looks for that of a request.

Only this module imports Klein, and nothing imports this module before a request comes
that :mod:`giftless.web.fast_routes` cannot lead to an endpoint.  Clients of Git LFS send
none, and Klein takes 6 MB of a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from werkzeug import exceptions
from werkzeug.routing import PathConverter
from zope.interface import classImplements

from giftless.errors import BadRequest, MethodNotAllowed, NoEndpoint
from giftless.web.request import LFSRequest
from giftless.web.route import REPO, Route

classImplements(LFSRequest, IKleinRequest)


class _RepoConverter(PathConverter):
    """Matches everything in front of an endpoint."""

    part_isolating = False
    regex = ".+?"


def build_tree(
    endpoints: Iterable[tuple[Route, Callable[..., Deferred[None] | None]]],
    not_found: Callable[[LFSRequest], str],
) -> Klein:
    """Build the tree.

    :param endpoints: routes, and what starts to answer their requests.
    :param not_found: says why the URL of a request is no endpoint's.
    """

    def refuse(request: LFSRequest, failure: Failure) -> None:
        """No endpoint has this URL, or not with this method."""
        problem = failure.value
        if isinstance(problem, exceptions.MethodNotAllowed):
            allowed = tuple(sorted(problem.valid_methods or ()))
            request.respond_error(MethodNotAllowed(f"use one of: {', '.join(allowed)}", allowed))
        elif isinstance(problem, exceptions.NotFound):
            request.respond_error(NoEndpoint(not_found(request)))
        else:
            request.respond_error(BadRequest("the URL is malformed"))

    tree = Klein()
    tree.url_map.converters = {**tree.url_map.converters, REPO: _RepoConverter}
    tree.url_map.merge_slashes = False
    for number, (route, start) in enumerate(endpoints):
        tree.route(route.rule, methods=route.methods, endpoint=str(number))(start)
    tree.handle_errors(exceptions.HTTPException)(refuse)  # type: ignore[arg-type]  # Klein wants IRequest
    return tree
