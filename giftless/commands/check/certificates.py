"""Certificates: those that endpoints name, and the one that clients are shown."""

from __future__ import annotations

import datetime
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from giftless.commands.findings import Finding, failed, ok, skipped, warning

#: How many days before its end a certificate should have been renewed.
_SOON: Final = 14

#: How long a server may take to show its certificate, in seconds.
_TIMEOUT: Final = 10.0

_RENEW: Final = "renew it, and reload the daemon or the proxy that shows it"

#: One part of an endpoint: its colons are escaped.
_PART: Final = re.compile(r"((?:[^:\\]|\\.)*)(?::|$)")


def look_at_certificates(endpoints: Sequence[str], now: float) -> Iterator[Finding]:
    """Look at the certificates that endpoints name.  Blocks.

    :param endpoints: Twisted server endpoint strings.
    :param now: the time, in seconds since the epoch.
    """
    for description in endpoints:
        options = _options(description)
        file = options.get("certKey") or options.get("privateKey")
        if file is None:
            continue
        yield _look_at_file(file, options.get("privateKey", file), now)


def _options(description: str) -> dict[str, str]:
    """Return the options ``name=value`` of an endpoint that shows a certificate.

    Without ``certKey`` the certificate is in the file of the private key, which is
    ``server.pem`` if nothing names it.
    """
    parts = [part.replace("\\", "") for part in _PART.findall(description)]
    options = {name: value for name, equals, value in (p.partition("=") for p in parts) if equals}
    if "ssl" in parts[:1]:
        options.setdefault("privateKey", "server.pem")
    return options


def _look_at_file(path: str, key_path: str, now: float) -> Finding:
    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        with open(key_path, "rb") as file:
            key = load_pem_private_key(file.read(), None)
    except OSError as error:
        return failed(
            "certificates",
            f"{error.filename} cannot be read: {error.strerror}",
            operator="let the daemon's user read it (root binds endpoints with twistd --uid)",
        )
    except (TypeError, ValueError):
        return failed(
            "certificates",
            f"{path} and {key_path} are no certificate and key as PEM, without a passphrase",
            operator="name the certificate that the authority has sent, and its key",
        )
    if certificate.public_key() != key.public_key():
        return failed(
            "certificates",
            f"the key in {key_path} is not that of the certificate in {path}",
            operator="name the key that the certificate was requested with",
        )
    return _judge(path, certificate, now)


def _judge(name: str, certificate: x509.Certificate, now: float) -> Finding:
    at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    end = certificate.not_valid_after_utc
    days = (end - at).days
    if at >= end:
        return failed("certificates", f"{name} expired on {end:%Y-%m-%d}", operator=_RENEW)
    if at < certificate.not_valid_before_utc:
        return failed(
            "certificates",
            f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            operator="set the clock right, or wait",
        )
    found = f"{name} is valid until {end:%Y-%m-%d}, for {days} days"
    if days < _SOON:
        return warning("certificates", found, operator=_RENEW)
    return ok("certificates", found)


def look_at_server(
    url: str, now: float, context: Callable[[], ssl.SSLContext] = ssl.create_default_context
) -> Finding | None:
    """Look at the certificate that clients of an https URL are shown.  Blocks.

    :param url: the server's.
    :param now: the time, in seconds since the epoch.
    :param context: makes what trusts the system's authorities.
    :returns: ``None`` if the URL is not https.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    host, port = parts.hostname, parts.port or 443
    shown = f"the certificate of https://{host}:{port}"
    try:
        der = _shown(host, port, context())
    except ssl.SSLCertVerificationError as error:
        return failed(
            "certificates",
            f"{shown} is not trusted here: {error.verify_message}",
            operator="show a certificate of this name, with those of the authorities between"
            " (the full chain), that has not expired",
        )
    except ssl.SSLError as error:
        reason = (error.reason or "no TLS").lower().replace("_", " ")
        return failed(
            "certificates",
            f"https://{host}:{port} does not speak TLS as it should: {reason}",
            operator="let the proxy, or an endpoint ssl:, take TLS on that port",
        )
    except OSError as error:
        return skipped(
            "certificates",
            f"https://{host}:{port} cannot be reached from here: {error.strerror or error}",
        )
    return _judge(shown, x509.load_der_x509_certificate(der), now)


def _shown(host: str, port: int, context: ssl.SSLContext) -> bytes:
    # As other clients of this machine do, for authorities of one's own.
    if os.environ.get("SSL_CERT_FILE"):
        context.load_verify_locations(os.environ["SSL_CERT_FILE"])
    with (
        socket.create_connection((host, port), _TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=host) as encrypted,
    ):
        certificate = encrypted.getpeercert(binary_form=True)
    return certificate or b""
