"""Health on the endpoints that clients use, for load balancers (``admin.public_health``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from giftless.monitoring.health import Health
from giftless.web.call import Call
from giftless.web.route import Level, Route


def health_routes(health: Health) -> Sequence[Route]:
    """Return the endpoints that tell whether this worker lives and can do its work.

    Anybody may ask: they name the part that does not work, and keep the reason, which
    may hold paths and hosts, for the admin endpoints.

    :param health: looks whether the parts work.
    """

    async def live(call: Call) -> None:
        """``GET /health/live``: does the worker answer?"""
        _answer(call, True, {"status": "alive"})

    async def ready(call: Call) -> None:
        """``GET /health/ready``: do the store and the locks work?"""
        report = await health.report()
        parts = {
            part: "not well" if problem else "well" for part, problem in report.problems.items()
        }
        status = "ready" if report.ready else "not ready"
        _answer(call, report.ready, {"status": status, "parts": parts})

    return (
        Route("health/live", ("GET",), live, Level.SERVER),
        Route("health/ready", ("GET",), ready, Level.SERVER),
    )


def _answer(call: Call, well: bool, facts: Any) -> None:
    headers = {"Content-Type": "application/json"}
    call.request.respond_whole(200 if well else 503, headers, msgspec.json.encode(facts))
