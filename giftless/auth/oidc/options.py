"""The options of ``auth: {type: oidc}``, and what they must fulfil together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from giftless.auth.grant_lists import GrantsOption
from giftless.auth.tokens.signatures import Algorithm, is_symmetric
from giftless.base.addresses import nearness
from giftless.base.files import read_file
from giftless.base.showing import describe
from giftless.base.urls import check_url
from giftless.errors import ConfigError

#: What a scope can be (RFC 6749 section 3.3).
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

#: How near this machine itself is.
_LOOPBACK: Final = 2

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class OIDCOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: oidc}]``.

    :ivar issuer: the URL of the issuer, exactly as its tokens have it (``iss``).
    :ivar audience: for whom a token must be (``aud``): one of these.
    :ivar grants: what the members of each group may do; ``*`` stands for everybody.
    :ivar groups_claim: the claim that lists the groups; dots lead into claims.
    :ivar name_claim: the claim that people are shown.
    :ivar algorithms: which signatures are accepted, and no others.
    :ivar leeway: for how many seconds clocks may disagree.
    :ivar jwks_max_age: after how many seconds the issuer's document and its keys are fetched
        again.
    :ivar client_id: what this server is called at the issuer, where it asks about tokens
        that are no JSON Web Tokens (RFC 7662); empty if it does not.
    :ivar client_secret: the secret that belongs to it; better in ``client_secret_file``.
    :ivar client_secret_file: a file that holds it.
    :ivar userinfo: when the issuer's userinfo endpoint is asked: ``never``; for ``claims`` that
        a good token lacks; or also to find out whether any of its ``tokens`` is good, although
        it does not tell for whom that is.
    :ivar ttl: for how many seconds an answer of the issuer is remembered.
    :ivar cache_size: how many answers are remembered.
    :ivar timeout: how many seconds the issuer has for one answer.
    :ivar scopes: what clients are told to ask the issuer for.
    :ivar networks: where the issuer's document may lead although that is nearer to this server
        than the issuer itself.
    """

    issuer: str
    audience: _Text | list[_Text]
    grants: GrantsOption
    groups_claim: _Text = "groups"
    name_claim: _Text = "preferred_username"
    algorithms: list[Algorithm] = msgspec.field(
        default_factory=lambda: ["RS256", "PS256", "ES256", "EdDSA"]
    )
    leeway: Annotated[int, msgspec.Meta(ge=0)] = 10
    jwks_max_age: Annotated[int, msgspec.Meta(ge=60)] = 3600
    client_id: str = ""
    client_secret: str | None = None
    client_secret_file: str | None = None
    userinfo: Literal["never", "claims", "tokens"] = "never"
    ttl: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 60
    cache_size: Annotated[int, msgspec.Meta(ge=1)] = 4096
    timeout: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    scopes: list[str] = msgspec.field(default_factory=lambda: ["openid"])
    networks: list[str] = []

    def __repr__(self) -> str:
        """Leave out everything: it may hold a secret."""
        return "<OIDCOptions>"

    @property
    def audiences(self) -> Sequence[str]:
        """For whom a token may be."""
        return [self.audience] if isinstance(self.audience, str) else self.audience

    def check(self) -> None:
        """Check what types cannot say.

        :raises ConfigError: if something cannot work.
        """
        check_url("issuer", self.issuer)
        if not is_safe(self.issuer):
            problem = "found a URL that begins with http://, allowed is https:// (or this machine)"
            raise ConfigError("issuer", problem)
        for name, items in (("audience", self.audiences), ("algorithms", self.algorithms)):
            if not items:
                raise ConfigError(name, "found an empty list, allowed is one item or more")
        for algorithm in self.algorithms:
            if is_symmetric(algorithm):
                raise ConfigError(
                    "algorithms",
                    f"found {algorithm}, but an issuer publishes public keys; name its"
                    " algorithms, such as RS256 or ES256",
                )
        for index, scope in enumerate(self.scopes):
            if not _SCOPE.fullmatch(scope):
                problem = f"found {describe(scope)}, allowed is one scope without spaces"
                raise ConfigError(f"scopes.{index}", problem)

    def secret(self) -> str | None:
        """Return the secret of this server at the issuer.  May block.

        :returns: ``None`` if it does not ask about tokens there.
        :raises ConfigError: if there is a secret without a client, or the reverse, or two.
        """
        given = [
            name
            for name in ("client_secret", "client_secret_file")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ConfigError(given[1], f"is set beside {given[0]}; set one of them")
        if bool(given) != bool(self.client_id):
            missing = "client_id" if given else "client_secret_file"
            raise ConfigError(missing, "is needed: a client has an id and a secret")
        if self.client_secret_file is None:
            return self.client_secret
        try:
            return read_file(self.client_secret_file, "client_secret_file").decode().strip()
        except UnicodeDecodeError:
            raise ConfigError("client_secret_file", "names a file that is not UTF-8") from None


def is_safe(url: str) -> bool:
    """Whether nobody on the way can read or change what is said at a URL.

    :param url: a well-formed URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    return host == "localhost" or nearness(host) == _LOOPBACK
