"""``auth: [{type: certificate}]``: clients that have a certificate, and what they may do."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final, Literal

import msgspec
from cryptography import x509
from zope.interface import implementer

from giftless.auth.cache import TTLCache
from giftless.auth.chain import first_good
from giftless.auth.grant_lists import GrantLists, GrantsOption
from giftless.auth.grants import RepoGrants
from giftless.auth.realms import Realm, shown_name
from giftless.auth.x509.trust import Authorities, Revocations, Trust
from giftless.base.watched_file import WatchedFile
from giftless.errors import UnfitCredential
from giftless.interfaces import (
    Certificate,
    Credentials,
    Environment,
    IAuthenticator,
    Identity,
    IVouching,
)
from giftless.lfs.objects import Repo

#: For how long it is remembered that a certificate is good, in seconds; a change of the files
#: counts at once.
_REMEMBER: Final = 60

#: About how many it is remembered.
_HOLDERS: Final = 4096

#: The attributes of a subject that name groups.
_GROUPS: Final = {
    "ou": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
    "o": x509.NameOID.ORGANIZATION_NAME,
}


class CertificateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: certificate}]``.

    :ivar authorities_file: the certificates of the authorities that are trusted.
    :ivar revoked_file: the lists of what these have revoked; empty if there are none.
    :ivar user: what tells people apart: the subject's common name, or the only alternative
        name of a kind.
    :ivar groups: which attribute of the subject names the groups that they are in.
    :ivar grants: what the members of each group may do.
    :ivar realm: what tells the people of these authorities from those of others.
    """

    authorities_file: str
    revoked_file: str = ""
    user: Literal["cn", "email", "uri"] = "cn"
    groups: Literal["ou", "o"] = "ou"
    grants: GrantsOption = msgspec.field(default_factory=dict)
    realm: str = ""


class Holder(msgspec.Struct, frozen=True):
    """Whose a certificate is.

    :ivar user: what tells them from others.
    :ivar groups: the groups that they are in.
    """

    user: str
    groups: frozenset[str]


@implementer(IAuthenticator, IVouching)
class CertificateAuthenticator:
    """Recognises clients by the certificates of their connections.

    A certificate that none of its authorities has signed is left to the next authenticator.

    :param options: where the names of users and groups stand in a certificate.
    :param authorities: whose signatures count.
    :param revocations: what they have revoked; ``None`` if nobody keeps lists.
    :param lists: what the members of groups may do.
    :param environment: tells the time.
    """

    def __init__(
        self,
        options: CertificateOptions,
        authorities: WatchedFile[Authorities],
        revocations: WatchedFile[Revocations] | None,
        lists: GrantLists,
        environment: Environment,
    ) -> None:
        self.realm = Realm("certificate", options.realm)
        self._options = options
        self._authorities = authorities
        self._revocations = revocations
        self._lists = lists
        self._blocking = environment.blocking
        self._clock = environment.reactor
        self._wall_clock = environment.wall_clock
        self._count = partial(environment.count_lookup, "certificate")
        #: What the files said when these were found good.
        self._read: tuple[Authorities, Revocations | None] | None = None
        self._trust: Trust | None = None
        self._holders: TTLCache[bytes, Holder] = TTLCache(_HOLDERS, self._clock)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return await first_good(credentials.certificates, lambda shown: self._identify(shown, repo))

    async def _identify(self, shown: Certificate, repo: Repo) -> Identity | None:
        trust = await self._current()
        digest = hashlib.sha256(shown.der).digest()
        holder = self._holders.get(digest)
        self._count("miss" if holder is None else "hit")
        if holder is None:
            holder = await self._blocking.run(self._judge, shown, trust)
            if holder is None:
                return None
            self._holders.put(digest, holder, _REMEMBER)
        grants = RepoGrants(self._lists.permissions(holder.groups, repo))
        return Identity(shown_name(holder.user), grants, self.realm.principal(holder.user))

    async def _current(self) -> Trust:
        revocations = None
        if self._revocations is not None:
            revocations = await self._revocations.current()
        read = await self._authorities.current(), revocations
        if self._trust is None or read != self._read:
            self._read, self._trust = read, Trust(*read)
            self._holders = TTLCache(_HOLDERS, self._clock)
        return self._trust

    def _judge(self, shown: Certificate, trust: Trust) -> Holder | None:
        """Find out whose a certificate is; ``None`` if no authority here has signed it.

        Blocks: a list of what is revoked may be long.
        """
        try:
            certificate = x509.load_der_x509_certificate(shown.der)
            if not trust.accepts(certificate, self._wall_clock()):
                return None
            return self._holder(certificate)
        except ValueError:
            raise UnfitCredential(
                "your client certificate cannot be read; use another one"
            ) from None

    def _holder(self, certificate: x509.Certificate) -> Holder:
        users = _users(certificate, self._options.user)
        if len(users) != 1 or not users[0]:
            raise UnfitCredential(
                f"your client certificate does not name one user ({self._options.user});"
                " use another one"
            )
        named = certificate.subject.get_attributes_for_oid(_GROUPS[self._options.groups])
        return Holder(users[0], frozenset(str(each.value) for each in named))


def _users(certificate: x509.Certificate, kind: str) -> list[str]:
    """Return who a certificate says that its owner is."""
    if kind == "cn":
        named = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [str(each.value) for each in named]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    if kind == "email":
        return names.get_values_for_type(x509.RFC822Name)
    return names.get_values_for_type(x509.UniformResourceIdentifier)


class CertificateFactory:
    """Builds :class:`CertificateAuthenticator` from :class:`CertificateOptions`."""

    Options = CertificateOptions

    def build(
        self, options: CertificateOptions, environment: Environment
    ) -> CertificateAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if a file cannot be read or used.
        """
        lent = (environment.blocking, environment.reactor)
        authorities = WatchedFile(
            options.authorities_file, Authorities.parse, "authorities_file", *lent
        )
        revocations = None
        if options.revoked_file:
            revocations = WatchedFile(
                options.revoked_file, Revocations.parse, "revoked_file", *lent
            )
        lists = GrantLists.of_option("grants", options.grants)
        return CertificateAuthenticator(options, authorities, revocations, lists, environment)
