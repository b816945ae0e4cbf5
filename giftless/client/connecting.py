"""Connections as git would make them: its proxy, its certificates, for each server its own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ProxyAgent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from giftless.base.certificates import certificates_in
from giftless.base.git_settings import Settings, proxy_of
from giftless.base.http_client import KEPT_CONNECTIONS, KEPT_SECONDS, quiet_pool
from giftless.base.urls import DEFAULT_PORTS
from giftless.client.errors import ServerError
from giftless.interfaces import IBlocking

#: How long the making of a connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 30

#: The longest answer of a proxy to CONNECT, in bytes.
_LONGEST_HEAD: Final = 64 * 1024

#: Makes the endpoint of a host and a port, before TLS.
Dial = Callable[[str, int], IStreamClientEndpoint]


@implementer(IAgent)
class GitAgent:
    """Sends requests as git would: through its proxy, with its certificates.

    :param reactor: the reactor that connects.
    :param blocking: runs git, which knows the settings.
    :param settings: tells how to connect to the server of a URL; it blocks.
    :param dial: makes the endpoints of servers that no proxy leads to.
    """

    def __init__(
        self,
        reactor: Any,
        blocking: IBlocking,
        settings: Callable[[str], Settings],
        dial: Dial | None = None,
    ) -> None:
        self._reactor = reactor
        self._blocking = blocking
        self._settings = settings
        self._dial = dial or self._any
        self._agents: dict[tuple[str, str], tuple[IAgent, str]] = {}
        # It keeps connections by scheme, host and port: all of one origin have the same settings.
        self._pool = quiet_pool(reactor)
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = KEPT_SECONDS

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :meth:`twisted.web.iweb.IAgent.request`.

        :raises ServerError: if the settings cannot be used.
        """
        return Deferred.fromCoroutine(self._request(method, uri, headers, bodyProducer))

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    async def _request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        bodyProducer: IBodyProducer | None,
    ) -> IResponse:
        url = uri.decode("ascii")
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin not in self._agents:
            settings = await self._blocking.run(self._settings, url)
            self._agents[origin] = self._agent(settings, url)
        agent, authorization = self._agents[origin]
        if authorization:
            headers = Headers() if headers is None else headers.copy()
            headers.setRawHeaders("Proxy-Authorization", [authorization])
        return await agent.request(method, uri, headers, bodyProducer)

    def _agent(self, settings: Settings, url: str) -> tuple[IAgent, str]:
        """Make what sends requests to one server, and what its proxy wants to see in them."""
        proxy = proxy_of(settings, url)
        if not proxy:
            return self._over(settings, self._dial), ""
        endpoint, authorization = self._proxy(settings, proxy)
        if urlsplit(url).scheme == "http":
            return ProxyAgent(endpoint, self._reactor, self._pool), authorization

        def through(host: str, port: int) -> IStreamClientEndpoint:
            return _Tunnel(self._reactor, endpoint, host, port, authorization)

        return self._over(settings, through), ""

    def _over(self, settings: Settings, dial: Dial) -> IAgent:
        factory = _Endpoints(settings, dial)
        agent: IAgent = Agent.usingEndpointFactory(self._reactor, factory, self._pool)
        return agent

    def _proxy(self, settings: Settings, url: str) -> tuple[IStreamClientEndpoint, str]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise ServerError(
                "git's configuration or the environment names a proxy that is neither http://"
                " nor https://; see http.proxy"
            )
        endpoint = self._any(host, port or 1080)
        if parts.scheme == "https":
            endpoint = wrapClientTLS(_tls(host, settings), endpoint)
        authorization = ""
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(user.encode()).decode()}"
        return endpoint, authorization

    def _any(self, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(self._reactor, host.encode(), port, _CONNECT_TIMEOUT)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Makes the endpoints of one server."""

    def __init__(self, settings: Settings, dial: Dial) -> None:
        self._settings = settings
        self._dial = dial

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See :meth:`twisted.web.iweb.IAgentEndpointFactory.endpointForURI`."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint = self._dial(host, uri.port)
        if uri.scheme == b"https":
            return wrapClientTLS(_tls(host, self._settings), endpoint)
        return endpoint


def _tls(host: str, settings: Settings) -> IOpenSSLClientConnectionCreator:
    """Make what begins TLS with a host.

    :raises ServerError: if the certificates cannot be read.
    """
    try:
        own = _own_certificate(settings)
        if not settings.verify:
            return _Unverified(host, own)
        trusted: Any = platformTrust()
        if settings.ca_file or settings.ca_path:
            trusted = _trusted(settings.ca_file, settings.ca_path)
        return optionsForClientTLS(host, trusted, own)
    except (OSError, ValueError, SSL.Error, crypto.Error) as error:
        raise ServerError(
            f"the certificates cannot be read ({type(error).__name__}); see http.sslCAInfo and"
            " http.sslCert in git-config(1)"
        ) from None


def _own_certificate(settings: Settings) -> PrivateCertificate | None:
    if not settings.cert_file:
        return None
    certificate = Certificate.loadPEM(Path(settings.cert_file).read_bytes())
    pem = Path(settings.key_file or settings.cert_file).read_bytes()
    # A key with a passphrase would have to be asked for.
    key = KeyPair(crypto.load_privatekey(crypto.FILETYPE_PEM, pem, b""))
    own: PrivateCertificate = PrivateCertificate.fromCertificateAndKeyPair(certificate, key)
    return own


def _trusted(file: str | None, folder: str | None) -> Any:
    """Return whom to believe: the certificates of a file and of a folder, and no others."""
    pem = Path(file).read_bytes() if file else b""
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if path.is_file():
            pem += b"\n" + path.read_bytes()
    return trustRootFromCertificates(certificates_in(pem))


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Begins TLS without a look at the certificate, as http.sslVerify=false asks for."""

    def __init__(self, host: str, own: PrivateCertificate | None) -> None:
        self._host = host
        self._context = CertificateOptions(
            privateKey=None if own is None else own.privateKey.original,
            certificate=None if own is None else own.original,
        ).getContext()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See :class:`twisted.internet.interfaces.IOpenSSLClientConnectionCreator`."""
        connection = SSL.Connection(self._context, None)
        connection.set_tlsext_host_name(self._host.encode())
        return connection


@implementer(IStreamClientEndpoint)
class _Tunnel:
    """A host and a port that a proxy leads to (RFC 9110 section 9.3.6)."""

    def __init__(
        self, clock: Any, proxy: IStreamClientEndpoint, host: str, port: int, authorization: str
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        self._request = "\r\n".join([*lines, "", ""]).encode()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :meth:`twisted.internet.interfaces.IStreamClientEndpoint.connect`."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        protocol = _Tunnelled(self._request, factory)
        await self._proxy.connect(Factory.forProtocol(lambda: protocol))
        return await protocol.ready.addTimeout(_CONNECT_TIMEOUT, self._clock)


class _Tunnelled(Protocol):
    """Asks a proxy for a tunnel, and then passes on what comes through it."""

    transport: Any

    def __init__(self, request: bytes, factory: IProtocolFactory) -> None:
        self._request = request
        self._factory = factory
        self._head = b""
        self._inner: Any = None
        self.ready: Deferred[IProtocol] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        """Ask the proxy for a tunnel."""
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Take the proxy's answer, or what the server sends."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > _LONGEST_HEAD:
                self._refuse("the proxy's answer is too long")
            return
        status = head.split(b" ")[1:2]
        if status != [b"200"]:
            words = head.partition(b"\r\n")[0].decode("latin-1")[:200]
            self._refuse(f"the proxy answers {words!r}")
            return
        self._inner = self._factory.buildProtocol(self.transport.getPeer())
        self._inner.makeConnection(self.transport)
        self.ready.callback(self._inner)
        if rest:
            self._inner.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the end of the connection."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.ready.called:
            self.ready.errback(ConnectError(string="the proxy has closed the connection"))

    def _refuse(self, words: str) -> None:
        if not self.ready.called:
            self.ready.errback(ConnectError(string=words))
        self.transport.abortConnection()
