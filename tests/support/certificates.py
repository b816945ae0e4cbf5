"""A certificate for this machine that its own key has signed."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_ADDRESS: Final = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def make_certificate() -> bytes:
    """Make a key and a certificate for localhost and 127.0.0.1.

    :returns: both as PEM, the key first.
    """
    key, certificate = _make(x509.DNSName("localhost"), _ADDRESS)
    return key + certificate


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a key and a certificate for 127.0.0.1, and for no name.

    :returns: the paths of the key and of the certificate.
    """
    paths = directory / "tls.key", directory / "tls.pem"
    for path, pem in zip(paths, _make(_ADDRESS), strict=True):
        path.write_bytes(pem)
    return paths


def _make(*names: x509.GeneralName) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(names[0].value))])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate.public_bytes(Encoding.PEM)
