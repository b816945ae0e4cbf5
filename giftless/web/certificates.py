"""The certificate of a client: shown to this server in TLS, or to a proxy that tells it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from giftless.errors import BadRequest
from giftless.interfaces import Certificate
from giftless.web.borrowed import lends_certificate

if TYPE_CHECKING:
    from giftless.web.request import LFSRequest

_PEM: Final = re.compile(
    rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*"
)


def client_certificate(request: LFSRequest) -> Certificate | None:
    """Return the certificate of the client that has sent a request, if it has shown one.

    One that a browser shows for a page of another site does not count
    (:func:`~giftless.web.borrowed.lends_certificate`).

    :raises BadRequest: if a trusted proxy tells something else in the header for it.
    """
    certificate = _shown(request)
    return certificate if certificate is not None and lends_certificate(request) else None


def _shown(request: LFSRequest) -> Certificate | None:
    proxies = request.context.proxies
    secure = request.isSecure()
    if not secure and not proxies.certificate_header:
        return None
    if proxies.forwards(request):
        # One that the proxy itself may have shown is no client's.
        header = proxies.certificate_header
        values = request.requestHeaders.fields.get(header, ()) if header else ()
        return _parse(values) if any(values) else None
    connection = request.connection
    shown = connection.transport.getPeerCertificate() if secure and connection else None
    if shown is None:
        return None
    # There is TLS, so this costs no import.
    from OpenSSL import crypto

    return Certificate(crypto.dump_certificate(crypto.FILETYPE_ASN1, shown))


def _parse(values: Sequence[bytes]) -> Certificate:
    """Read a header: PEM escaped as in URLs (nginx), or RFC 9440 (``:base64:``)."""
    # Two of them would be the client's own, and the proxy's.
    if len(values) == 1:
        value = values[0].strip()
        if len(value) > 2 and value[:1] == value[-1:] == b":":
            text = value[1:-1]
        else:
            found = _PEM.fullmatch(unquote_to_bytes(value))
            text = b"".join(found[1].split()) if found else b""
        try:
            der = base64.b64decode(text, validate=True)
        except binascii.Error:
            der = b""
        if der:
            return Certificate(der)
    raise BadRequest(
        "the proxy in front of this server tells no single certificate in the header for it; tell"
        " the server's operator"
    )
