"""A token issuer's web server, on loopback, that can be told to misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jwt
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.support.tokens import private_key

_TO_JWK: Final[dict[str, Any]] = {
    "RS": jwt.algorithms.RSAAlgorithm.to_jwk,
    "PS": jwt.algorithms.RSAAlgorithm.to_jwk,
    "ES": jwt.algorithms.ECAlgorithm.to_jwk,
    "Ed": jwt.algorithms.OKPAlgorithm.to_jwk,
}


def jwk(algorithm: str, which: str = "ours", **members: Any) -> dict[str, Any]:
    """Return the public key for ``algorithm`` as a JWK.

    :param which: as for :func:`tests.support.tokens.private_key`; also its
        ``kid``, unless ``members`` have another.
    :param members: put in place of others; ``None`` leaves one out.
    """
    public = private_key(algorithm, which).public_key()
    key = {**_TO_JWK[algorithm[:2]](public, as_dict=True), "kid": which, **members}
    return {name: value for name, value in key.items() if value is not None}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    """Return a JWK Set."""
    return json.dumps({"keys": keys}).encode()


class Issuer(Resource):
    """Publishes a JWK Set at every path.

    :ivar body: what is published.
    :ivar status: the status that it is answered with.
    :ivar headers: more headers.
    :ivar cut: whether the connection is lost in the middle of the body.
    :ivar holding: whether requests are kept waiting, in ``held``.
    :ivar paths: the path of every request so far.
    """

    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._site = _Site(self)
        self._port: Any = None
        self._number = 0
        self._asked: Deferred[None] | None = None
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.cut = False
        self.holding = False
        self.held: list[Request] = []
        self.paths: list[bytes] = []
        self.http = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self._number}/keys"

    def publish(self, *keys: Mapping[str, Any]) -> None:
        """Publish these keys, and no others."""
        self.body = key_set(*keys)

    def listen(self) -> None:
        """Begin to answer, or begin again."""
        self._port = self._reactor.listenTCP(self._number, self._site, interface="127.0.0.1")
        self._number = self._port.getHost().port

    async def close(self) -> None:
        """Stop answering, and end all connections."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        await self._site.close()

    def asked(self) -> Deferred[None]:
        """Wait for the next request."""
        self._asked = Deferred()
        return self._asked

    def render_GET(self, request: Request) -> int:
        """Answer, or wait."""
        self.paths.append(request.path)
        if self.holding:
            self.held.append(request)
        else:
            self._answer(request)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.callback(None)
        return NOT_DONE_YET

    def release(self) -> None:
        """Answer the requests that wait."""
        held, self.held = self.held, []
        for request in held:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        request.setResponseCode(self.status)
        request.setHeader(b"Content-Length", b"%d" % len(self.body))
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if self.cut:
            request.write(self.body[: len(self.body) // 2])
            assert request.transport is not None
            request.transport.loseConnection()
        else:
            request.write(self.body)
            request.finish()


class _Site(Site):
    """A site that can end its connections."""

    noisy = False

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self._open: dict[Protocol, Deferred[None]] = {}

    def log(self, request: Request) -> None:
        """Write no access log."""

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        lost: Callable[[Any], None] = channel.connectionLost
        self._open[channel] = Deferred()

        def connection_lost(reason: Any) -> None:
            lost(reason)
            self._open.pop(channel).callback(None)

        channel.connectionLost = connection_lost
        return channel

    async def close(self) -> None:
        """End all connections, and wait for their end."""
        ends: Sequence[Deferred[None]] = list(self._open.values())
        for channel in list(self._open):
            transport: Any = channel.transport
            transport.abortConnection()
        await DeferredList(ends)
