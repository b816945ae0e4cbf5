"""A server that does nothing but HTTP, by twisted.web: a yardstick.

    python benchmarks/trivial.py PORT

It reads each POST, to whatever URL, and answers it with the same few bytes.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class Trivial(Resource):
    """Answers everything."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        """Read the body, and answer."""
        assert request.content is not None
        request.content.read()
        request.setHeader(b"Content-Type", b"application/json")
        return b"{}"


def main() -> None:
    """Serve until SIGTERM."""
    running: Any = reactor
    running.listenTCP(int(sys.argv[1]), Site(Trivial()), 1024, "127.0.0.1")
    running.run()


if __name__ == "__main__":
    main()
