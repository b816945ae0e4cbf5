"""``auth: [{type: mirror}]``: let the server behind ``storage: {type: mirror}`` decide.

Whoever asks may do everything here, and the storage shows the credential of the request to
the other server, which knows whose it is.  Nothing is compared and nothing is kept.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from typing import Final

import msgspec
from zope.interface import implementer

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.auth.realms import Realm
from giftless.auth.tokens.unverified import TokenHeader
from giftless.base.files import derived_key
from giftless.errors import UnfitCredential
from giftless.interfaces import (
    Bearer,
    Credential,
    Credentials,
    Environment,
    IDeferring,
    Identity,
    Password,
)
from giftless.lfs.objects import Repo

#: What those are called whose credential has no name that could be shown.
_UNNAMED: Final = "somebody"

#: Names that are no token: shorter than any, and not begun like one.  Git remotes may have a
#: token where the name of the user belongs.
_NAME: Final = re.compile(
    r"(?!gh[opusr]_|github_pat_|gl[a-z]+-)[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,30})", re.ASCII
)

#: What the tokens of a giftless say that they are signed with begins so.
_OWN: Final = "giftless-"

#: Passwords beside which the user is a token.
_IN_USER: Final = frozenset({"", "x-oauth-basic"})


class MirrorAuthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There are none."""


@implementer(IDeferring)
class MirrorAuthenticator:
    """Gives every caller an identity that carries the credential of the request.

    :param key: what principals are made with: they stand in logs, and must not tell a
        password that can be guessed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._grants = RepoGrants(READ_WRITE)
        self._realm = Realm("mirror")
        self._anonymous = Identity(
            "anonymous", self._grants, self._realm.principal("anonymous"), anonymous=True
        )

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises UnfitCredential: if a credential is a token of giftless: no other server must
            see one.
        """
        if not credentials.given:
            return self._anonymous
        for item in credentials.items:
            if isinstance(item, Password) or (isinstance(item, Bearer) and not item.in_url):
                _refuse_own_tokens(item)
                return self._identity(item)
        return None

    def _identity(self, credential: Password | Bearer) -> Identity:
        shown = "\0".join(_texts(credential)).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, shown, "sha256").hex()
        return Identity(
            _name(credential),
            self._grants,
            self._realm.principal(f"credential:{digest[:32]}"),
            credential=credential,
        )


class MirrorAuthFactory:
    """Builds :class:`MirrorAuthenticator`."""

    Options = MirrorAuthOptions

    def build(self, options: MirrorAuthOptions, environment: Environment) -> MirrorAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        :raises ConfigError: if the state directory cannot be used.
        """
        return MirrorAuthenticator(derived_key(environment.state_dir, "mirror-key", b"principals"))


def _name(credential: Credential) -> str:
    if not isinstance(credential, Password) or credential.password in _IN_USER:
        return _UNNAMED
    return credential.user if _NAME.fullmatch(credential.user) else _UNNAMED


def _texts(credential: Password | Bearer) -> Iterator[str]:
    """Yield what may be a token."""
    if isinstance(credential, Password):
        yield credential.user
        yield credential.password
    else:
        yield credential.token


def _refuse_own_tokens(credential: Password | Bearer) -> None:
    for text in _texts(credential):
        header = TokenHeader.of(text)
        if header is not None and (header.kid or "").startswith(_OWN):
            raise UnfitCredential(
                "this token is one of this server's own and opens nothing here; send the"
                " credential of the server that is mirrored"
            )
