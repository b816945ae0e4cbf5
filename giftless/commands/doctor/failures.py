"""Why a server cannot be talked to, and what users and operators can do about each reason."""

from __future__ import annotations

from typing import Final, Literal

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import TimeoutError
from twisted.internet.error import (
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    UserError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError

from giftless.client.errors import ServerError

#: What went wrong.
Kind = Literal["name", "refused", "silent", "certificate", "identity", "tls", "protocol", "other"]


class Unreachable(ServerError):
    """There is no answer.

    :param problem: why, in words.
    """

    def __init__(self, problem: str, kind: Kind) -> None:
        super().__init__(problem)
        self.kind = kind


def unreachable(error: BaseException) -> Unreachable:
    """Say why there is no answer."""
    inner = _innermost(error)
    kind = _kind(inner)
    words = _WORDS.get(kind)
    if words is None:
        text = " ".join(str(inner).split())[:200]
        words = f"{type(inner).__name__}: {text}" if text else type(inner).__name__
    return Unreachable(words, kind)


def _innermost(error: BaseException) -> BaseException:
    """Return what is at the bottom: errors of connections come wrapped in what they did."""
    reasons = getattr(error, "reasons", None)
    if reasons and isinstance(reasons[0], Failure) and reasons[0].value is not None:
        return _innermost(reasons[0].value)
    return error


def _kind(error: BaseException) -> Kind:
    if isinstance(error, VerificationError):
        return "identity"
    if isinstance(error, SSL.Error):
        return "certificate" if "certificate verify failed" in str(error) else "tls"
    for kinds, kind in _KINDS:
        if isinstance(error, kinds):
            return kind
    return "other"


_KINDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Kind], ...]] = (
    (DNSLookupError, "name"),
    (ConnectionRefusedError, "refused"),
    ((ConnectTimeout, TCPTimedOutError, NoRouteError, TimeoutError, UserError), "silent"),
    (ParseError, "protocol"),
)

_WORDS: Final = {
    "name": "its name is unknown (DNS)",
    "refused": "nothing listens there (connection refused)",
    "silent": "there is no answer in time",
    "certificate": "its certificate is not trusted, or has expired",
    "identity": "its certificate is for another name",
    "tls": "it does not speak TLS as https:// needs it",
    "protocol": "it does not speak HTTP",
}

#: What users can do.
USER: Final = {
    "name": "correct the host in that setting, or connect to the network (VPN) that knows it",
    "refused": "correct the port in that setting; otherwise the server is down",
    "silent": "look whether this machine needs a VPN, or a proxy (git config http.proxy)",
    "certificate": "if the server's authority is your own, name its file: git config --global"
    " http.sslCAInfo FILE (GIT_SSL_CAINFO in the environment comes first)",
    "identity": "write the host in that setting as the certificate names it",
    "tls": "write http:// if the server really speaks no TLS; look at http.proxy as well",
    "protocol": "write https:// instead of http:// if the server speaks TLS there",
    "other": "try again; look at http.proxy (git config --get-all http.proxy)",
}

#: What operators can do.
OPERATOR: Final = {
    "name": "publish the name in DNS",
    "refused": "start the server, and let it listen where clients can reach it",
    "silent": "open the port in the firewall",
    "certificate": "renew the certificate, and show the authorities between as well (full chain)",
    "identity": "show a certificate that names this host",
    "tls": "let the server or its proxy take TLS on that port",
    "protocol": "tell users the right URL",
    "other": "look into the log of the proxy and of the server",
}
