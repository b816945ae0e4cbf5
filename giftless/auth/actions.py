"""Action tokens: the short-lived credentials that batch replies carry.

A token is a JWT (RFC 7519, HS256) signed with a key that is derived from the
daemon's secret.  It is bound to one kind of action on one object of one repository
and to the object's size, so it opens nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from zope.interface import implementer

from giftless.auth.tokens.parts import decode_part, encode_part
from giftless.auth.tokens.unverified import TokenHeader, tokens_of
from giftless.errors import BadAction, ExpiredAction, Forbidden
from giftless.interfaces import (
    ActionKind,
    ActionToken,
    Credentials,
    IActionSigner,
    IActionTokens,
    IAuthenticator,
    Identity,
    IGrants,
    PartUpload,
    Pass,
    Ticket,
    WallClock,
)
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import ACTION_HEADER, NO_EXTRAS, Action, Extras, Oid, Permission, Repo

_ALGORITHM: Final = "HS256"

#: Marks a JWT as one of the daemon's own (the ``kid`` of its header).
_KEY_ID: Final = "giftless-action"

#: Asks a client to send the body of a request in chunks.
_CHUNKED: Final = {"Transfer-Encoding": "chunked"}

#: Clients that would add a Content-Length all the same, which HTTP forbids:
#: giftless-client, and JGit over Apache's library.
_NOT_CHUNKED: Final = ("python-requests/", "Apache-HttpClient/")

#: Clients that ask their user for a credential, whatever an action says, unless it has
#: an ``Authorization`` of its own: git-lfs before 2.0, when it verifies an upload.
_ASKING: Final = ("git-lfs/0.", "git-lfs/1.")

#: How many signers are kept: those of parts ask for the same ones again and again.
_SIGNERS: Final = 128


class ActionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``actions`` section: how long the actions of a batch reply are good, and more.

    :ivar lifetime: seconds in which an upload or a download must begin.
    :ivar multipart_lifetime: seconds in which the parts of an upload must begin.
    :ivar verify_lifetime: seconds for what comes after the upload and so must
        outlast it: the commit of parts, and the verification.
    :ivar leeway: seconds for which an expired token is still taken.
    :ivar verify: which uploads have a ``verify`` action: ``auto`` for those that clients
        send to the store directly, ``always`` for all.
    :ivar chunked_uploads: whether clients are asked to send objects through the daemon
        without a Content-Length, in chunks (RFC 9112 section 7.1).
    """

    lifetime: Annotated[int, msgspec.Meta(ge=1)] = 3600
    multipart_lifetime: Annotated[int, msgspec.Meta(ge=1)] = 43200
    verify_lifetime: Annotated[int, msgspec.Meta(ge=1)] = 86400
    leeway: Annotated[int, msgspec.Meta(ge=0)] = 10
    verify: Literal["auto", "always"] = "auto"
    chunked_uploads: bool = False


class _BatchClaims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tokens of a batch have in common.

    :ivar op: the name of their kind.
    :ivar sub: the name of the identity that they are made for.
    :ivar who: its principal.
    :ivar w: whether it may write to the repository.
    """

    exp: int
    op: str
    repo: str
    sub: str
    who: str = ""
    w: bool = False


class _ObjectClaims(msgspec.Struct, omit_defaults=True):
    """What a token says of its object.

    :ivar until: when it expires, if that is before the others of its batch; else 0.
    :ivar passed: the text of its :class:`~giftless.interfaces.Pass`.
    """

    oid: str
    size: int
    x: Mapping[str, Any] = {}
    part_size: int = 0
    upload: str = ""
    until: int = 0
    passed: str = ""


_JOSE_HEADER: Final = encode_part(
    msgspec.json.encode({"alg": _ALGORITHM, "kid": _KEY_ID, "typ": "JWT"})
)


class _Mac:
    """HMAC-SHA256 (RFC 2104) under one key, begun with one text.

    :param key: at most 64 bytes.
    :param begun: what all messages begin with.
    """

    def __init__(self, key: bytes, begun: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + begun)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, rest: bytes) -> bytes:
        """Return the authentication code of the message that goes on with ``rest``."""
        # The module "hmac" does the same, in twice the time.
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(rest)
        outer.update(inner.digest())
        return outer.digest()


@implementer(IActionSigner)
class _Signer:
    """Makes actions whose tokens begin alike: that part is encoded and signed once.

    A general library takes ten times as long for a token (JWS compact
    serialization, RFC 7515 section 7.1), and a batch needs two hundred.

    :param key: what tokens are signed with.
    :param claims: what they have in common.
    :param lifetime: for how many seconds the actions are good.
    :param wall_clock: tells for how long those are that end before.
    :param header: what the actions' headers have beside the token.
    :param asking: whether the client asks its user unless there is an ``Authorization``.
    """

    def __init__(
        self,
        key: bytes,
        claims: _BatchClaims,
        lifetime: int,
        wall_clock: WallClock,
        header: Mapping[str, str],
        asking: bool,
    ) -> None:
        begun = msgspec.json.encode(claims)[:-1] + b","
        # base64 goes on without a seam after a multiple of three bytes.
        begun += b" " * (-len(begun) % 3)
        text = _JOSE_HEADER + b"." + encode_part(begun)
        self._mac = _Mac(key, text)
        self._text = text
        self._expiry = claims.exp
        self._lifetime = lifetime
        self._wall_clock = wall_clock
        self._header = header
        self._name, self._scheme = ("Authorization", "Bearer ") if asking else (ACTION_HEADER, "")

    def action(
        self,
        oid: Oid,
        href: str,
        size: int,
        extras: Extras = NO_EXTRAS,
        upload: PartUpload | None = None,
        passed: Pass | None = None,
    ) -> Action:
        """See :meth:`giftless.interfaces.IActionSigner.action`."""
        claims = (
            _ObjectClaims(str(oid), size, extras)
            if upload is None
            else _ObjectClaims(str(oid), size, extras, upload.plan.part_size, upload.id)
        )
        lifetime = self._lifetime
        if passed is not None:
            claims.passed = passed.text
            if passed.expires_at is not None and passed.expires_at < self._expiry:
                claims.until = passed.expires_at
                # Clients take 0 for "unlimited".
                lifetime = max(1, min(lifetime, claims.until - int(self._wall_clock())))
        rest = encode_part(msgspec.json.encode(claims)[1:])
        token = self._text + rest + b"." + encode_part(self._mac.digest(rest))
        header = {self._name: self._scheme + token.decode(), **self._header}
        return Action(href, header, lifetime)


@implementer(IAuthenticator, IActionTokens)
class ActionTokens:
    """Makes the tokens of actions, and recognises them when they come back.

    :param secret: the daemon's secret; the signing key is derived from it.
    :param options: lifetimes, in seconds.
    :param kinds: all kinds of action that there are.
    :param wall_clock: tells when tokens expire.
    :raises ValueError: if two kinds have the same name.
    """

    def __init__(
        self,
        secret: bytes,
        options: ActionOptions,
        kinds: Iterable[ActionKind],
        wall_clock: WallClock,
    ) -> None:
        self._key = hmac.digest(secret, b"giftless action tokens", "sha256")
        self._mac = _Mac(self._key, b"")
        self.lifetime = options.lifetime
        self.multipart_lifetime = options.multipart_lifetime
        self.always_verify = options.verify == "always"
        self._kinds: dict[str, ActionKind] = {}
        for kind in kinds:
            if self._kinds.setdefault(kind.name, kind) != kind:
                raise ValueError(f"there are two kinds of action called {kind.name!r}")
        self._lifetimes: dict[str, int] = {
            name: getattr(options, kind.lifetime.value) for name, kind in self._kinds.items()
        }
        self._leeway = options.leeway
        self._chunked_uploads = options.chunked_uploads
        self._wall_clock = wall_clock
        self._signer = lru_cache(_SIGNERS)(self._make_signer)

    def signer(self, kind: ActionKind, repo: Repo, identity: Identity, client: str = "") -> _Signer:
        """See :meth:`giftless.interfaces.IActionTokens.signer`."""
        if self._kinds.get(kind.name) != kind:
            raise ValueError(f"the factory of a transfer does not name the kind {kind.name!r}")
        expiry = int(self._wall_clock()) + self._lifetimes[kind.name]
        chunked = self._chunked_uploads and kind.sends_bytes and not client.startswith(_NOT_CHUNKED)
        ticket = identity.ticket
        writes = identity.grants.allows(Permission.WRITE, None) if ticket is None else ticket.writer
        return self._signer(
            _BatchClaims(expiry, kind.name, repo.path, identity.name, identity.principal, writes),
            chunked,
            client.startswith(_ASKING),
        )

    def _make_signer(self, claims: _BatchClaims, chunked: bool, asking: bool) -> _Signer:
        lifetime, header = self._lifetimes[claims.op], self._kinds[claims.op].header
        if chunked:
            header = {**header, **_CHUNKED}
        return _Signer(self._key, claims, lifetime, self._wall_clock, header, asking)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        A token may also come where others do: links can carry it in their URL only.

        :raises Forbidden: if a token is the daemon's own, or claims to be, and is
            bad.  Not 401: it was given out with ``authenticated: true``, and clients
            answer 401 to that by trying again at once, for ever.
        """
        refusal: Forbidden | None = None
        for token in self._own(credentials):
            try:
                return self._redeem(token, repo)
            except Forbidden as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    def _own(self, credentials: Credentials) -> Iterator[str]:
        """Return the tokens that are the daemon's, or claim to be."""
        for item in credentials.items:
            if isinstance(item, ActionToken):
                yield item.token
        for token in tokens_of(credentials):
            header = TokenHeader.of(token)
            if header is not None and header.kid == _KEY_ID:
                yield token

    def _redeem(self, token: str, repo: Repo) -> Identity:
        try:
            payload = self._payload(token)
            common = msgspec.json.decode(payload, type=_BatchClaims)
            claims = msgspec.json.decode(payload, type=_ObjectClaims)
        except (ValueError, RecursionError):
            raise _not_genuine() from None
        now = self._wall_clock()
        if common.exp + self._leeway < now or (claims.until and claims.until <= now):
            raise ExpiredAction("this action has expired; ask for a new batch")
        if common.repo != repo.path:
            raise BadAction("this action's token is for another repository")
        kind = self._kinds.get(common.op)
        if kind is None:
            raise BadAction("this action's token is for what this server does not do any more")
        return Identity(
            common.sub,
            _ObjectGrants(Oid(claims.oid), kind.permission),
            common.who,
            ticket=Ticket(
                common.op, claims.size, claims.x, _upload_of(claims), common.w, claims.passed
            ),
        )

    def _payload(self, token: str) -> bytes:
        """Return what a token says, if it is one of the daemon's own.

        A general library takes ten times as long, and is needed for what others
        sign.

        :raises Forbidden: if it is not.
        """
        signed, _, signature = token.rpartition(".")
        expected = encode_part(self._mac.digest(signed.encode()))
        if not hmac.compare_digest(signature.encode(), expected):
            raise _not_genuine()
        return decode_part(signed.partition(".")[2])


def _not_genuine() -> BadAction:
    return BadAction("this action's token is not genuine; ask for a new batch")


def _upload_of(claims: _ObjectClaims) -> PartUpload | None:
    if claims.part_size < 1:
        return None
    return PartUpload(claims.upload, PartPlan(claims.size, claims.part_size))


@implementer(IGrants)
class _ObjectGrants:
    def __init__(self, oid: Oid, permission: Permission) -> None:
        self._oid = oid
        self._permission = permission

    def allows(self, permission: Permission, oid: Oid | None) -> bool:
        return permission is self._permission and oid == self._oid
