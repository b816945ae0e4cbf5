"""Bound how many requests each client sends.

Each client has a bucket of tokens for each kind of request: a request takes one, and they
come back evenly.  The buckets lie in memory that all workers share, under keyed digests.
"""

from __future__ import annotations

import hmac
import math
from typing import Annotated, Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from giftless.base.networks import network_of_host
from giftless.base.shared_table import KEY_BYTES, SharedTable
from giftless.errors import TooManyRequests
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

#: Less than this, in seconds, is an error of rounding.
_ROUNDING: Final = 1e-6


class RateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``rates`` section: how many requests of each kind a client may send.

    :ivar per_minute: how many everybody who has a name may send in the long run; 0 for any
        number.
    :ivar burst: how many of them may come at once after a pause; 0 for as many as a minute
        has.
    :ivar anonymous_per_minute: how many anonymous requests may come from one address.
    :ivar anonymous_burst: how many of them may come at once.
    """

    per_minute: _Count = 0
    burst: _Count = 0
    anonymous_per_minute: _Count = 0
    anonymous_burst: _Count = 0

    @property
    def bounded(self) -> bool:
        """Whether anybody's requests are counted."""
        return bool(self.per_minute or self.anonymous_per_minute)


class _Limit:
    """How large a bucket is, and how fast it fills.

    :param per_minute: tokens that come back in a minute; at least 1.
    :param burst: tokens in a full bucket; 0 for as many.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self.per_minute = per_minute
        self.interval = 60.0 / per_minute
        self.depth = self.interval * (burst or per_minute)


class Rates:
    """Counts requests for all workers.

    :param table: where they are counted.
    :param secret: the daemon's secret; the digests' key is derived from it.
    :param options: the bounds.
    :param clock: tells the time, the same in all workers.
    """

    def __init__(
        self, table: SharedTable, secret: bytes, options: RateOptions, clock: IReactorTime
    ) -> None:
        self._table = table
        self._key = hmac.digest(secret, b"giftless rates", "sha256")
        self._clock = clock
        self._named = self._anonymous = None
        if options.per_minute:
            self._named = _Limit(options.per_minute, options.burst)
        if options.anonymous_per_minute:
            self._anonymous = _Limit(options.anonymous_per_minute, options.anonymous_burst)

    def take(self, identity: Identity, address: str, kind: str = "") -> None:
        """Count a request.

        :param address: the client's IP address; empty for a unix socket.
        :param kind: what kind of request it is; each has a bucket of its own.
        :raises TooManyRequests: if the client has sent too many.
        """
        if identity.anonymous:
            limit, client = self._anonymous, f"address {kind} {network_of_host(address)}"
        else:
            limit, client = self._named, f"principal {kind} {identity.principal}"
        if limit is None:
            return
        wait = self._take(limit, client)
        if wait > 0:
            raise _too_many(identity, limit.per_minute, max(1, math.ceil(wait)))

    def _take(self, limit: _Limit, client: str) -> float:
        """Take a token.

        The time at which a bucket is full again says what is in it; a full one needs no
        entry.

        :returns: after how many seconds there is one, if there is none; else 0.
        """
        key = hmac.digest(self._key, client.encode(errors="surrogatepass"), "sha256")[:KEY_BYTES]
        table, now = self._table, self._clock.seconds()
        with table.locked():
            found = table.get(key, now)
            full_at = (now if found is None else found[1]) + limit.interval
            wait = full_at - now - limit.depth
            if wait > _ROUNDING:
                return wait
            table.put(key, 1, full_at, now)
        return 0.0


@implementer(IAuthenticator)
class Rated:
    """Counts the requests of those whom an authenticator has identified.

    Who comes with the token of an action is not counted: a batch has given it out, and
    was counted itself.

    :param authenticator: identifies them.
    :param rates: counts.
    :param kind: what kind of requests these are; see :meth:`Rates.take`.
    """

    def __init__(self, authenticator: IAuthenticator, rates: Rates, kind: str) -> None:
        self._authenticator = authenticator
        self._rates = rates
        self._kind = kind

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises TooManyRequests: if the client has sent too many requests.
        """
        identity = await self._authenticator.authenticate(credentials, repo)
        if identity is not None and identity.ticket is None:
            self._rates.take(identity, credentials.address, self._kind)
        return identity


def _too_many(identity: Identity, per_minute: int, wait: int) -> TooManyRequests:
    seconds = "1 second" if wait == 1 else f"{wait} seconds"
    if identity.anonymous:
        who, whose = "this address", "anonymous requests"
    else:
        who, whose = identity.name, "requests"
    return TooManyRequests(
        f"too many {whose} from {who}: {per_minute} a minute are allowed; try again in {seconds}",
        wait,
    )
