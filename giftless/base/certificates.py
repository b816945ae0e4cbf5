"""Certificates in files of PEM."""

from __future__ import annotations

from typing import Final

from twisted.internet.ssl import Certificate

_END: Final = b"-----END CERTIFICATE-----"


def certificates_in(pem: bytes) -> list[Certificate]:
    """Return the certificates that a file holds.

    :raises ValueError: if it holds none, or something else between them.
    """
    try:
        found = [Certificate.loadPEM(part + _END) for part in pem.split(_END)[:-1]]
    except Exception:  # of OpenSSL
        found = []
    if not found:
        raise ValueError("there are no certificates in PEM")
    return found
