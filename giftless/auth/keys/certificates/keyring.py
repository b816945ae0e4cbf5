"""``ssh: {keys: [{type: certificates}]}``: users whom an authority has signed a key for.

The user is a principal of the certificate, as in OpenSSH's sshd: the one that the client
logs in as, or else the only one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence, Set
from typing import Final

import msgspec
from twisted.logger import Logger
from zope.interface import implementer

from giftless.auth.keys.certificates.authorities import Revoked, parse_authorities
from giftless.auth.keys.certificates.certificate import USER, Certificate, parse_certificate
from giftless.auth.keys.certificates.signatures import is_signed
from giftless.auth.keys.public_keys import PublicKey
from giftless.auth.keys.users import is_user
from giftless.auth.realms import shown_name
from giftless.base.ssh_wire import Reader
from giftless.base.watched_file import WatchedFile
from giftless.interfaces import (
    Environment,
    IKeyring,
    KeyOwner,
    KnownKey,
    OfferedKey,
    WallClock,
)

#: The only critical option that is kept.
_SOURCE_ADDRESS: Final = "source-address"


class CertificateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``ssh: {keys: [{type: certificates}]}``.

    :ivar authorities_file: the file of the authorities' public keys.
    :ivar revoked_file: the file that says what is revoked; empty if nothing is.
    :ivar realm: the realm that the users are in.
    """

    authorities_file: str
    revoked_file: str = ""
    realm: str = "basic"


@implementer(IKeyring)
class CertificateKeyring:
    """Knows the users whom authorities have signed keys for.

    :param authorities: the keys of the authorities.
    :param revoked: what is revoked of what they have signed; ``None`` if nothing is.
    :param realm: the text of the realm that the users are in.
    :param wall_clock: is compared with the certificates' times.
    """

    log = Logger()

    def __init__(
        self,
        authorities: WatchedFile[Set[PublicKey]],
        revoked: WatchedFile[Revoked] | None,
        realm: str,
        wall_clock: WallClock,
    ) -> None:
        self.realm = realm
        self._authorities = authorities
        self._revoked = revoked
        self._wall_clock = wall_clock

    async def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """See :meth:`giftless.interfaces.IKeyring.owner`."""
        certificate = parse_certificate(offered.blob)
        if certificate is None:
            return None
        if certificate.authority not in await self._authorities.current():
            return None
        if not is_signed(certificate.authority, certificate.signed, certificate.signature):
            return None
        user = _user(certificate, offered.login)
        problem = await self._problem(certificate, offered.address)
        if problem or user is None:
            # An authority has signed all that is said here.
            self.log.info(
                "the certificate {key_id} with the serial number {serial} is refused: {problem}",
                key_id=shown_name(certificate.key_id),
                serial=certificate.serial,
                problem=problem or "it does not say which one of its users is meant",
            )
            return None
        return KeyOwner(user, self.realm)

    async def keys(self) -> Sequence[KnownKey]:
        """Certificates cannot be listed: nobody knows which have been signed."""
        return ()

    async def _problem(self, certificate: Certificate, address: str) -> str:
        """Say why a certificate is not taken; empty if it is."""
        if certificate.purpose != USER:
            return "it is not a user's"
        now = self._wall_clock()
        if now < certificate.valid_after:
            return "it is not valid yet"
        if now >= certificate.valid_before:
            return "it has expired"
        if self._revoked is not None and (await self._revoked.current()).has(certificate):
            return "it is revoked"
        for name, data in certificate.critical.items():
            if name != _SOURCE_ADDRESS:
                return "it has a critical option that cannot be kept here"
            if not _is_from(data, address):
                return "it is not for the address of this client"
        return ""


def _user(certificate: Certificate, login: str) -> str | None:
    """Return the user that is meant; ``None`` if that is not said."""
    principals = certificate.principals
    user = login if login in principals else principals[0] if len(principals) == 1 else ""
    return user if is_user(user) else None


def _is_from(data: bytes, address: str) -> bool:
    """Tell whether an address is in one of the networks of ``source-address``."""
    reader = Reader(data)
    try:
        networks = [ipaddress.ip_network(text) for text in reader.text().split(",")]
        client = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped is not None:
        client = client.ipv4_mapped
    return reader.ended and any(client in network for network in networks)


class CertificateFactory:
    """Builds :class:`CertificateKeyring` from :class:`CertificateOptions`."""

    Options = CertificateOptions

    def build(self, options: CertificateOptions, environment: Environment) -> CertificateKeyring:
        """See :meth:`giftless.interfaces.IKeyringFactory.build`.

        :raises ConfigError: if a file cannot be read or used.
        """
        lent = (environment.blocking, environment.reactor)
        revoked = None
        if options.revoked_file:
            revoked = WatchedFile(options.revoked_file, Revoked.parse, "revoked_file", *lent)
        return CertificateKeyring(
            WatchedFile(options.authorities_file, parse_authorities, "authorities_file", *lent),
            revoked,
            options.realm,
            environment.wall_clock,
        )
