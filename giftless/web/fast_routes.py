"""The short way from a plain request to its endpoint, past Klein.

Klein needs as long for a route as a batch of ten objects needs for everything
else.  What is not plainly one of the endpoints (another method, another URL)
still goes to Klein, which has the words for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from giftless.web.endpoint import Route
from giftless.web.request import StreamingRequest

#: A variable of a route, as Klein writes it.
_VARIABLE: Final = re.compile(r"<string:(\w+)>")

#: Starts to answer a request to a repository, given the URL's other variables.
Start = Callable[..., object]


class Shortcut(Resource):
    """A resource in front of Klein's.

    :param endpoints: routes, and what starts to answer their requests.
    :param klein: answers everything else.
    """

    isLeaf = True

    def __init__(self, endpoints: Iterable[tuple[Route, Start]], klein: IResource) -> None:
        super().__init__()
        self._klein = klein
        self._endpoints: dict[bytes, list[tuple[re.Pattern[str], Start]]] = {}
        # As with Klein, names come before variables.
        for route, start in sorted(endpoints, key=lambda pair: pair[0].path.count("<")):
            url = re.compile("/(?P<repo>.+?)/" + _VARIABLE.sub(r"(?P<\1>[^/]+)", route.path))
            for method in route.methods:
                self._endpoints.setdefault(method.encode(), []).append((url, start))

    def match(self, method: bytes, path: str) -> tuple[Start, dict[str, Any]] | None:
        """Return what starts to answer a request, and the variables of its URL.

        :param path: decoded.
        """
        for url, start in self._endpoints.get(method, ()):
            if found := url.fullmatch(path):
                return start, found.groupdict()
        return None

    def render(self, request: StreamingRequest) -> Any:
        """See :meth:`twisted.web.resource.IResource.render`."""
        found = self.match(request.method, "/" + b"/".join(request.postpath or ()).decode())
        if found is None:
            return self._klein.render(request)
        start, variables = found
        start(request, **variables)
        return NOT_DONE_YET
