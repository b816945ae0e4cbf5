"""What an issuer is asked about a token: whether it is good, and whose it is.

The former is introspection (:rfc:`7662`), the latter the userinfo endpoint (OpenID Connect
Core 1.0, section 5.3).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.auth.oidc.claims import Claims, subject_of
from giftless.auth.oidc.discovery import Discovery
from giftless.auth.oidc.options import OIDCOptions
from giftless.auth.oidc.signed import refuse_bound, refuse_others
from giftless.auth.tokens.verifying import Dates, check_dates
from giftless.base.dialling import AddressRefused
from giftless.base.http_client import Answer, ask
from giftless.errors import IdentityUnavailable, UnfitCredential
from giftless.interfaces import WallClock

#: The most that is read of an answer, in bytes.
_MAX_BYTES: Final = 256 * 1024

#: How many questions may wait for the issuer at once: each other is refused.
MOST_AT_ONCE: Final = 64

#: What clients are told to wait while the issuer does not answer, in seconds.
_RETRY_AFTER: Final = 30

#: For how many seconds the issuer is not asked after it could not be reached, and the log is
#: not told again what is wrong with it.
PAUSE: Final = 5.0

#: The kinds of token that are good without a proof (``token_type``), in lower case.
_BEARER: Final = ("bearer", "access_token")

#: What no client brings about, not even by leaving.
_UNREACHABLE: Final = (ConnectError, TimeoutError, OSError, AddressRefused)

_FORM: Final = "application/x-www-form-urlencoded"


class _Introspection(Dates, frozen=True, kw_only=True):
    """What the issuer says of a token (RFC 7662 section 2.2)."""

    active: bool
    iss: str | None = None
    aud: str | list[str] | None = None
    client_id: str | None = None
    token_type: str | None = None
    cnf: Any = None


class Questions:
    """Asks an issuer about tokens.

    :param discovery: tells where.
    :param options: what a token must fulfil.
    :param secret: this server's own at the issuer; ``None`` not to ask whether a token is good.
    :param clock: tells when to give up waiting.
    :param wall_clock: is compared with the tokens' dates.
    """

    log = Logger()

    def __init__(
        self,
        discovery: Discovery,
        options: OIDCOptions,
        secret: str | None,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._discovery = discovery
        self._options = options
        self._secret = secret
        self._clock = clock
        self._wall_clock = wall_clock
        self._running = 0
        self._asked_again_at = self._told_again_at = -math.inf

    async def introspect(self, token: str) -> Claims | None:
        """Ask whether a token is good.

        :returns: what is said about it; ``None`` if the issuer takes it for none.
        :raises UnfitCredential: if it is good, but not here and now.
        :raises IdentityUnavailable: if the issuer does not tell.
        """
        metadata = await self._discovery.metadata()
        if not metadata.introspection_endpoint:
            raise self._unavailable("has no introspection endpoint")
        methods = metadata.introspection_endpoint_auth_methods_supported or ()
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {"Content-Type": _FORM}
        if not methods or "client_secret_basic" in methods:
            headers["Authorization"] = self._basic()
        elif "client_secret_post" in methods:
            form |= {"client_id": self._options.client_id, "client_secret": self._secret or ""}
        else:
            raise self._unavailable("takes no secret where it introspects")
        body = urlencode(form).encode()
        answer = await self._ask("POST", metadata.introspection_endpoint, headers, body)
        if answer.status != HTTPStatus.OK:
            raise self._unavailable(f"refuses to introspect, with status {answer.status}")
        claims = self._read(answer)
        try:
            said = msgspec.convert(claims, _Introspection)
        except msgspec.ValidationError:
            raise self._unavailable("gives an answer that makes no sense") from None
        if not said.active:
            return None
        self._check(said)
        return claims

    async def userinfo(self, token: str) -> Claims | None:
        """Ask whose a token is.

        :returns: what is said; ``None`` if the issuer does not take the token there.
        :raises IdentityUnavailable: if the issuer does not tell.
        """
        metadata = await self._discovery.metadata()
        if not metadata.userinfo_endpoint:
            raise self._unavailable("has no userinfo endpoint")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._ask("GET", metadata.userinfo_endpoint, headers, None)
        if answer.status in (
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
        ):
            return None
        if answer.status != HTTPStatus.OK:
            raise self._unavailable(f"tells nobody's claims, with status {answer.status}")
        claims = self._read(answer)
        if not subject_of(claims):
            raise self._unavailable("does not say whose a token is")
        return claims

    def _check(self, said: _Introspection) -> None:
        options = self._options
        check_dates(said, self._wall_clock(), options.leeway, needs_end=False)
        issuer = options.issuer if said.iss is None else said.iss
        # Many issuers do not say for whom a token is, but who has been given it.
        audience = said.aud if isinstance(said.aud, str) else said.aud or said.client_id or ""
        refuse_others(issuer, audience, options)
        refuse_bound(said.cnf)
        if said.token_type is not None and said.token_type.lower() not in _BEARER:
            raise UnfitCredential("the token is no access token (token_type)")

    def _basic(self) -> str:
        """Log in as RFC 6749 section 2.3.1 wants: both parts are form-encoded first."""
        pair = f"{quote_plus(self._options.client_id)}:{quote_plus(self._secret or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if self._clock.seconds() < self._asked_again_at:
            raise _unavailable()
        if self._running >= MOST_AT_ONCE:
            raise self._unavailable("has too many questions to answer")
        self._running += 1
        timeout = self._options.timeout
        headers = {"Accept": "application/json", **headers}
        http = self._discovery.http
        try:
            return await ask(http, method, url, headers, body, _MAX_BYTES, timeout, self._clock)
        except Exception as error:  # whatever a connection can fail with
            if _is_given_up(error):
                raise  # nobody waits any more
            if isinstance(error, _UNREACHABLE):
                self._asked_again_at = self._clock.seconds() + PAUSE
            raise self._unavailable(f"cannot be asked: {type(error).__name__}") from None
        finally:
            self._running -= 1

    def _read(self, answer: Answer) -> Claims:
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._unavailable("gives an answer that makes no sense") from None

    def _unavailable(self, problem: str) -> IdentityUnavailable:
        """Make the error for an issuer that does not tell, and log why."""
        now = self._clock.seconds()
        if now >= self._told_again_at:
            self._told_again_at = now + PAUSE
            self.log.warn("{issuer} {problem}", issuer=self._options.issuer, problem=problem)
        return _unavailable()


def _is_given_up(error: Exception) -> bool:
    """Whether a request has failed because it was cancelled."""
    reasons = getattr(error, "reasons", ())
    return isinstance(error, CancelledError) or any(each.check(CancelledError) for each in reasons)


def _unavailable() -> IdentityUnavailable:
    return IdentityUnavailable(
        "your access cannot be checked now, because the issuer of tokens does not answer as it"
        " should; try again later",
        _RETRY_AFTER,
    )
