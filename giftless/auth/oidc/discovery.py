"""Where an issuer has its keys and endpoints: OpenID Connect Discovery 1.0, section 4.

The issuer tells that in a document below its URL.  It is fetched when it is needed, and again
when it is old; if that fails, what it said before goes on.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.auth.cache import Errand
from giftless.auth.oidc.options import is_safe
from giftless.auth.tokens.jwks import INTERVAL, INTERVAL_WITHOUT_KEYS, TIMEOUT
from giftless.base.http_client import get
from giftless.base.reaching_client import ReachingClient
from giftless.base.urls import check_url
from giftless.errors import ConfigError, IdentityUnavailable

#: Where the document is, below the issuer's URL.
_PATH: Final = "/.well-known/openid-configuration"

#: How large it may be, in bytes.
_MAX_BYTES: Final = 256 * 1024


class Metadata(msgspec.Struct, frozen=True):
    """What the document says that is of use here.

    :ivar issuer: whose it is.
    :ivar jwks_uri: where the keys are.
    :ivar introspection_endpoint: where to ask whether a token is good, if anywhere.
    :ivar introspection_endpoint_auth_methods_supported: how to log in there, if it says that.
    :ivar userinfo_endpoint: where to ask whose a token is, if anywhere.
    """

    issuer: str
    jwks_uri: str
    introspection_endpoint: str | None = None
    introspection_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    userinfo_endpoint: str | None = None

    def check(self, issuer: str) -> None:
        """Check that the document is the issuer's, and leads nowhere that is not safe.

        :raises ValueError: if it does not; the text quotes nothing.
        """
        if self.issuer != issuer:
            raise ValueError("the document is another issuer's; is 'issuer' written as there?")
        for name in ("jwks_uri", "introspection_endpoint", "userinfo_endpoint"):
            url = getattr(self, name)
            try:
                usable = not url or is_safe(check_url(name, url, query=True))
            except ConfigError:
                usable = False
            if not usable:
                raise ValueError(f"{name} is no URL that begins with https://")
        if not self.jwks_uri:
            raise ValueError("jwks_uri is empty")


class Discovery:
    """The document of an issuer, kept up to date.

    :param issuer: the issuer's URL.
    :param client: connects to it.
    :param max_age: for how long a document is good, in seconds.
    :param clock: tells the time.
    """

    log = Logger()

    def __init__(
        self, issuer: str, client: ReachingClient, max_age: float, clock: IReactorTime
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._max_age = max_age
        self._clock = clock
        self._known: Metadata | None = None
        self._due_at = -math.inf
        self._fetching = Errand()
        self._failing = False

    @property
    def http(self) -> HTTPClient:
        """Sends requests to where the document leads."""
        return self._client.http

    async def metadata(self) -> Metadata:
        """Return what the document says.

        :raises IdentityUnavailable: if there is none, and none can be had.
        """
        if self._clock.seconds() >= self._due_at:
            refreshed = self._fetching.join(self._refresh)
            # Nobody waits for an issuer that was not there a moment ago, if that can be helped.
            if self._known is None or not self._failing:
                await refreshed
        if self._known is None:
            wait = max(1, math.ceil(self._due_at - self._clock.seconds()))
            raise IdentityUnavailable(
                "tokens cannot be verified now: their issuer does not answer as it should;"
                " try again later",
                wait,
            )
        return self._known

    async def check(self) -> Metadata:
        """Fetch the document, whatever is known, and return what it says.

        :raises Exception: whatever a connection can fail with, or ``ValueError`` with what is
            wrong with the document.
        """
        return await self._fetch()

    async def _refresh(self) -> None:
        try:
            self._known = await self._fetch()
        except Exception as error:  # whatever a connection can fail with
            self._failing = True
            self.log.warn(
                "{issuer} does not say where its keys are: {error!r}",
                issuer=self._issuer,
                error=error,
            )
            pause = INTERVAL_WITHOUT_KEYS if self._known is None else INTERVAL
        else:
            self._failing = False
            pause = self._max_age
        self._due_at = self._clock.seconds() + pause

    async def _fetch(self) -> Metadata:
        await self._client.begin()
        url = self._issuer.rstrip("/") + _PATH
        headers = {"Accept": "application/json"}
        answer = await get(self.http, url, headers, _MAX_BYTES, TIMEOUT, self._clock)
        if answer.status != 200:
            raise ValueError(f"the answer has status {answer.status}")
        if not answer.whole:
            raise ValueError(f"the answer has more than {_MAX_BYTES} bytes")
        try:
            metadata = msgspec.json.decode(answer.body, type=Metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"the answer is no such document: {error}") from None
        metadata.check(self._issuer)
        return metadata
