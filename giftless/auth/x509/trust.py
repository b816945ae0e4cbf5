"""Which certificates are good: those that an authority has signed, and has not revoked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from giftless.base.watched_file import FileProblem
from giftless.errors import IdentityUnavailable, UnfitCredential

#: Results of OpenSSL (``X509_V_ERR_…``): the time has not come, or has passed.
_NOT_NOW: Final = (9, 10)

#: It is revoked.
_REVOKED: Final = 23

#: There is no list of the authority, or it is of another time, or not the authority's.
_NO_LIST: Final = (3, 4, 6, 8, 11, 12)

#: What clients are told to wait until there is a new list, in seconds.
_RETRY_AFTER: Final = 300

#: What no signature may be made with any more.
_WEAK: Final = (hashes.MD5, hashes.SHA1)


class Authorities:
    """The authorities that are trusted.

    :ivar certificates: their certificates.
    """

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        self.certificates = tuple(certificates)

    @classmethod
    def parse(cls, content: bytes) -> Authorities:
        """Read a file of certificates in PEM.

        :raises FileProblem: if it is something else.
        """
        try:
            return cls(x509.load_pem_x509_certificates(content))
        except ValueError:
            raise FileProblem("found no certificates in PEM") from None


class Revocations:
    """What authorities have revoked.

    :ivar lists: their lists (RFC 5280 section 5).
    """

    def __init__(self, lists: Sequence[x509.CertificateRevocationList]) -> None:
        self.lists = tuple(lists)

    @classmethod
    def parse(cls, content: bytes) -> Revocations:
        """Read a file of revocation lists in PEM.

        :raises FileProblem: if it is something else.
        """
        mark = b"-----END X509 CRL-----"
        parts = [part + mark for part in content.split(mark)[:-1]]
        try:
            lists = [x509.load_pem_x509_crl(part) for part in parts]
        except ValueError:
            lists = []
        if not lists:
            raise FileProblem("found no revocation lists (X509 CRL) in PEM")
        return cls(lists)


class Trust:
    """Judges certificates.

    :param authorities: whose signatures count.
    :param revocations: what they have revoked; ``None`` if nobody keeps lists.
    """

    def __init__(self, authorities: Authorities, revocations: Revocations | None) -> None:
        self._authorities = authorities
        self._revocations = revocations

    def _store(self, now: float) -> crypto.X509Store:
        # A store goes on with the time that it was given first, so each time needs another.
        store = crypto.X509Store()
        store.set_time(datetime.datetime.fromtimestamp(now, datetime.UTC))
        # Each authority is trusted by itself, whoever may have signed it.
        flags = crypto.X509StoreFlags.PARTIAL_CHAIN
        for authority in self._authorities.certificates:
            store.add_cert(crypto.X509.from_cryptography(authority))
        if self._revocations is not None:
            flags |= crypto.X509StoreFlags.CRL_CHECK
            for each in self._revocations.lists:
                store.add_crl(each)
        store.set_flags(flags)
        return store

    def accepts(self, certificate: x509.Certificate, now: float) -> bool:
        """Tell whether one of the authorities has signed a client's certificate.  Blocks.

        :param now: seconds since 1970.
        :raises UnfitCredential: if one has, and it is not good for this, or not any more.
        :raises IdentityUnavailable: if it cannot be known whether it is revoked.
        :raises ValueError: if OpenSSL cannot read it.
        """
        try:
            shown = crypto.X509.from_cryptography(certificate)
        except crypto.Error:
            raise ValueError("OpenSSL reads certificates more strictly") from None
        try:
            crypto.X509StoreContext(self._store(now), shown).verify_certificate()
        except crypto.X509StoreContextError as error:
            code = error.errors[0]
            if code in _NO_LIST:
                raise IdentityUnavailable(
                    "your certificate cannot be checked now, because the list of those that are"
                    " revoked is too old or missing; tell the server's operator",
                    _RETRY_AFTER,
                ) from None
            if code in _NOT_NOW:
                raise _unfit("has expired, or is not valid yet") from None
            if code == _REVOKED:
                raise _unfit("is revoked") from None
            return False
        if isinstance(certificate.signature_hash_algorithm, _WEAK):
            raise _unfit("is signed in a way that can be forged")
        if not _is_for_clients(certificate):
            raise _unfit("is not for clients")
        return True


def _is_for_clients(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is for this use (RFC 5280 section 4.2.1.12)."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(
        use in uses
        for use in (
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        )
    )


def _unfit(problem: str) -> UnfitCredential:
    return UnfitCredential(f"your client certificate {problem}; use another one")
