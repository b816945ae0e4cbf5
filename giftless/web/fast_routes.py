"""Lead plain requests to their endpoints without Klein.

Klein needs as long for a route as a batch of ten objects needs for everything
else.  What is not plainly one of the endpoints (another method, another URL)
still goes to Klein, which has the words for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.web.resource import IResource, Resource

from giftless.web.request import LFSRequest
from giftless.web.resource_request import NOT_DONE_YET
from giftless.web.route import Level, Route

#: Starts to answer a request, given the variables of its URL.
Start = Callable[..., object]


class FastRoutes(Resource):
    """A resource that starts to answer plain requests, and hands others to Klein.

    :param endpoints: routes, and what starts to answer their requests.
    :param klein: returns what answers everything else; called when that is needed.
    """

    isLeaf = True

    def __init__(
        self, endpoints: Iterable[tuple[Route, Start]], klein: Callable[[], IResource]
    ) -> None:
        super().__init__()
        self._klein = klein
        self._fixed: dict[tuple[bytes, str], Start] = {}
        self._endpoints: dict[bytes, list[tuple[str, re.Pattern[str], Start]]] = {}
        # As with Klein, names come before variables, of which a repository is one.
        for route, start in sorted(endpoints, key=lambda pair: pair[0].precedence):
            end, pattern = route.end, route.pattern
            for method in map(str.encode, route.methods):
                if route.level is Level.SERVER and not route.variables:
                    self._fixed.setdefault((method, route.rule), start)
                else:
                    self._endpoints.setdefault(method, []).append((end, pattern, start))

    def match(self, method: bytes, path: str) -> tuple[Start, dict[str, Any]] | None:
        """Return what starts to answer a request, and the variables of its URL.

        :param path: decoded.
        """
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        for end, pattern, start in self._endpoints.get(method, ()):
            # The end is compared much faster, and is wrong for nearly all of them.
            if path.endswith(end) and (found := pattern.fullmatch(path)):
                return start, found.groupdict()
        return None

    def render(self, request: LFSRequest) -> Any:
        """See :meth:`twisted.web.resource.IResource.render`."""
        path = request.path
        if b"%" in path:
            path = unquote_to_bytes(path)
        found = self.match(request.method, path.decode())
        if found is None:
            return self._klein().render(request)
        start, variables = found
        start(request, **variables)
        return NOT_DONE_YET
