"""An issuer of OpenID Connect that can be told to misbehave, over real sockets or in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from twisted.internet.defer import Deferred
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.support.issuer import jwk
from tests.support.tokens import sign

#: Who may introspect there, and with which secret; both need encoding.
CLIENT: Final = ("giftless@lfs", "s:ecret of the server")

#: What an issuer does instead of answering.
Failure = Callable[[Request], Any]


class FakeOpenID(Resource):
    """An issuer.

    :ivar url: its URL.
    :ivar keys: the keys that it publishes.
    :ivar document: what its document says beside, or instead of, where its endpoints are.
    :ivar opaque: what it says of opaque tokens when it introspects them.
    :ivar people: what its userinfo endpoint says of tokens.
    :ivar failures: what happens instead, by path.
    :ivar seen: the path of each request, in order.
    """

    isLeaf = True

    def __init__(self, url: str = "https://sso.example") -> None:
        super().__init__()
        self.url = url
        self.keys = [jwk("ES256")]
        self.document: dict[str, Any] = {}
        self.opaque: dict[str, Mapping[str, Any]] = {}
        self.people: dict[str, Any] = {}
        self.failures: dict[str, Failure] = {}
        self.seen: list[str] = []

    def listen(self, reactor: Any) -> Any:
        """Listen on the loopback interface; the URL is that from then on."""
        site = _Site(self)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        return port

    def token(self, audience: Any = "lfs", headers: Any = None, **claims: Any) -> str:
        """Sign a token that is good at the time 1000; ``None`` leaves a claim out."""
        everything = {"iss": self.url, "aud": audience, "sub": "tess", "exp": 2000, **claims}
        given = {name: value for name, value in everything.items() if value is not None}
        return sign(given, "ES256", headers={"kid": "ours", **(headers or {})})

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return self.seen.count(path)

    def render(self, request: Request) -> Any:
        """Answer, or do what is to happen instead."""
        path = request.path.decode()
        self.seen.append(path)
        failure = self.failures.get(path)
        return self._body(request) if failure is None else failure(request)

    def answer(self, request: Request) -> None:
        """Answer a request that was held."""
        request.write(self._body(request))
        request.finish()

    def _body(self, request: Request) -> bytes:
        answers = {
            "/.well-known/openid-configuration": self._document,
            "/keys": lambda _: {"keys": self.keys},
            "/introspect": self._introspect,
            "/userinfo": self._userinfo,
        }
        answer = answers[request.path.decode()](request)
        if answer is None:
            request.setResponseCode(401)
            answer = {"error": "invalid_token"}
        return json.dumps(answer).encode()

    def _document(self, request: Request) -> Any:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "introspection_endpoint": f"{self.url}/introspect",
            "userinfo_endpoint": f"{self.url}/userinfo",
            **self.document,
        }

    def _introspect(self, request: Request) -> Any:
        assert request.method == b"POST" and request.content is not None
        form = dict(parse_qsl(request.content.read().decode(), strict_parsing=True))
        sent = request.getHeader("authorization")
        if sent is None:
            given = form["client_id"], form["client_secret"]
        else:
            name, _, secret = base64.b64decode(sent.partition(" ")[2]).decode().partition(":")
            given = unquote_plus(name), unquote_plus(secret)
        return self.opaque.get(form["token"], {"active": False}) if given == CLIENT else None

    def _userinfo(self, request: Request) -> Any:
        sent = request.getHeader("authorization") or ""
        return self.people.get(sent.removeprefix("Bearer "))


class _Site(Site):
    noisy = False

    def log(self, request: HTTPRequest) -> None:
        """Write no access log."""


def never(request: Request) -> int:
    """Do not answer."""
    request.notifyFinish().addErrback(lambda _: None)
    return NOT_DONE_YET


def answer(status: int, body: bytes = b"", **headers: str) -> Failure:
    """Answer something else."""

    def respond(request: Request) -> bytes:
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body

    return respond


def cut(request: Request) -> int:
    """Cut the connection."""
    transport: Any = request.transport
    transport.abortConnection()
    return NOT_DONE_YET


def hold(issuer: FakeOpenID, path: str) -> Deferred[Request]:
    """Let a path never answer by itself.

    :returns: fires with the first request for it.
    """
    begun: Deferred[Request] = Deferred()

    def wait(request: Request) -> int:
        if not begun.called:
            begun.callback(request)
        return never(request)

    issuer.failures[path] = wait
    return begun
