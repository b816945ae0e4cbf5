"""Count HTTP requests, each once, when its response has ended."""

from __future__ import annotations

from typing import Final

from giftless.monitoring.metrics import Metrics

#: The methods that are told apart: clients may send any word.
METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}

#: What others are called.
OTHER_METHOD: Final = "other"

#: The route of a request that is no endpoint's, or was refused before one was looked for.
NO_ROUTE: Final = "none"


class HTTPCounter:
    """Counts requests by route, method and status, and how long they take.

    :param metrics: where they are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._requests, self._seconds = metrics.http_requests, metrics.http_seconds
        self._values = metrics.http_requests.values
        self._places: dict[tuple[str, bytes, int], tuple[int, int]] = {}

    def finished(self, route: str, method: bytes, status: int, seconds: float) -> None:
        """Count a request.

        :param route: the template of its endpoint's path; empty if it has none.
        :param status: of its response; 499 if the client left before that was complete.
        :param seconds: how long it took, from the end of its headers.
        """
        places = self._places.get((route, method, status))
        if places is None:
            places = self._find(route, method, status)
        self._values[places[0]] += 1.0
        self._seconds.observe_at(places[1], seconds)

    def _find(self, route: str, method: bytes, status: int) -> tuple[int, int]:
        labels = (route or NO_ROUTE, METHODS.get(method, OTHER_METHOD))
        places = (self._requests.place((*labels, str(status))), self._seconds.place(labels))
        if method in METHODS:
            self._places[route, method, status] = places
        return places
