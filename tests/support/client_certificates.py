"""An authority that signs certificates of clients."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)

#: When all of it begins: before now, and before the Clock of a test.
BEGINNING = datetime.datetime(1999, 1, 1)

_CLIENTS: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,)


class Issued:
    """A certificate and its key.

    :ivar pem: the certificate.
    :ivar key_pem: the key.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.pem = certificate.public_bytes(Encoding.PEM)
        self.der = certificate.public_bytes(Encoding.DER)
        self.key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both.

        :returns: the paths of the certificate and of the key.
        """
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content in zip(paths, (self.pem, self.key_pem), strict=True):
            path.write_bytes(content)
        return paths


class Authority:
    """Signs certificates.

    :param name: what it is called.
    :param signed_by: who has signed its own certificate; itself if ``None``.
    :ivar pem: its certificate.
    """

    def __init__(self, name: str = "The authority", signed_by: Authority | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = signed_by or self
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = (
            _builder(self._name, signer._name, self._key)
            .not_valid_after(BEGINNING + 36500 * DAY)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(usage, critical=True)
        )
        self.certificate = builder.sign(signer._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *users: str,
        groups: Sequence[str] = (),
        alternatives: Sequence[x509.GeneralName] = (),
        days: int = 36000,
        uses: Sequence[x509.ObjectIdentifier] = _CLIENTS,
    ) -> Issued:
        """Sign a certificate.

        :param users: the common names of its subject.
        :param groups: the units of its subject.
        :param days: for how many days from 1999 on it is valid.
        :param uses: what it is for; nothing in particular if empty.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, each) for each in groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in users]
        )
        builder = _builder(subject, self._name, key).not_valid_after(BEGINNING + days * DAY)
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        if uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return Issued(builder.sign(self._key, hashes.SHA256()), key)

    def revoke(self, *revoked: Issued, days: int = 36000) -> bytes:
        """Return a list of what is revoked, as PEM.

        :param days: for how many days from 1999 on it is good.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(BEGINNING)
            .next_update(BEGINNING + days * DAY)
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(BEGINNING).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINNING)
    )
