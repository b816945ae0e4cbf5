"""Authorise requests: those that clients send, and the daemon's own.

An HMAC key signs both in the process itself.  An account signs for clients by RSA, with its
key in a thread or, if the key is not here, by asking Google (``signBlob`` of
the IAM Service Account Credentials API); the daemon's own requests carry its
token.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from giftless.errors import ConfigError
from giftless.interfaces import IBlocking, WallClock
from giftless.storage.gcs.accounts import Account, Sign
from giftless.storage.gcs.signing import (
    HMAC,
    MAX_EXPIRES,
    RSA,
    Draft,
    hmac_signature,
    prepare,
)
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.credentials import Refreshing

#: For how long the daemon signs its own requests, in seconds.
OWN_EXPIRES: Final = 900

#: For how long Google vouches for what ``signBlob`` signs, in seconds: it
#: changes the keys, and they are good for 12 hours afterwards.
MAX_LENT: Final = 12 * 3600

#: How many URLs that Google has signed are kept.
KEPT_URLS: Final = 4096


class Authority(ABC):
    """Authorises requests to a bucket."""

    #: The option that a refused signature or credential is about.
    option: str

    #: Whether the daemon's own requests carry a token: which the JSON API needs.
    has_token: bool

    @abstractmethod
    async def presign(self, draft: Draft, lifetime: int) -> tuple[str, int]:
        """Sign a request that a client sends.

        :param lifetime: the most seconds that it should be good for.
        :returns: the whole URL, and for how many seconds it is good.
        :raises StoreError: if that cannot be done now.
        """

    @abstractmethod
    async def authorize(self, draft: Draft) -> Request:
        """Make a request of the daemon's own.

        :raises StoreError: if that cannot be done now.
        """

    @abstractmethod
    async def check(self, signs: bool) -> None:
        """Try what can be tried without the bucket.

        :param signs: whether clients are going to be given signed URLs.
        :raises ConfigError: naming the option that is wrong.
        """


class HmacAuthority(Authority):
    """Signs with an HMAC key.

    :param access_key: its access id.
    :param secret: its secret.
    """

    option = "hmac_secret"
    has_token = False

    def __init__(self, access_key: str, secret: str, wall_clock: WallClock) -> None:
        self._access_key = access_key
        self._secret = secret
        self._wall_clock = wall_clock

    async def presign(self, draft: Draft, lifetime: int) -> tuple[str, int]:
        """See :meth:`Authority.presign`."""
        expires = min(lifetime, MAX_EXPIRES)
        now = self._wall_clock()
        unsigned = prepare(draft, HMAC, self._access_key, now, expires)
        return unsigned.signed(hmac_signature(self._secret, unsigned.string_to_sign)), expires

    async def authorize(self, draft: Draft) -> Request:
        """See :meth:`Authority.authorize`."""
        signed, _ = await self.presign(draft, OWN_EXPIRES)
        return Request(draft.method, signed, draft.headers)

    async def check(self, signs: bool) -> None:
        """See :meth:`Authority.check`: the store has to be asked."""


class AccountAuthority(Authority):
    """Signs as an account.

    :param accounts: the account.
    :param email: the service account that ``signBlob`` signs as, if it is not
        the account itself.
    :param iam_url: where ``signBlob`` is.
    :param client: asks there.
    :param clock: tells for how long kept URLs are still good.
    :param wall_clock: dates signatures.
    """

    option = "credentials_file"
    has_token = True

    def __init__(
        self,
        accounts: Refreshing[Account],
        email: str | None,
        iam_url: str,
        client: StoreClient,
        blocking: IBlocking,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._accounts = accounts
        self._email = email
        self._iam_url = iam_url
        self._client = client
        self._clock = clock
        self._wall_clock = wall_clock
        self._jobs = _SigningJobs(blocking, clock)
        self._kept: OrderedDict[_Wish, _Kept] = OrderedDict()

    async def presign(self, draft: Draft, lifetime: int) -> tuple[str, int]:
        """See :meth:`Authority.presign`."""
        account = (await self._accounts.get()).value
        # Somebody else's signature is not to be had with the key at hand.
        if account.sign is not None and self._email in (None, account.email):
            expires = min(lifetime, MAX_EXPIRES)
            now = self._wall_clock()
            unsigned = prepare(draft, RSA, account.email or "", now, expires)
            signature = await self._jobs.sign(account.sign, unsigned.string_to_sign)
            return unsigned.signed(signature), expires
        return await self._presign_remotely(draft, min(lifetime, MAX_LENT))

    async def _presign_remotely(self, draft: Draft, lifetime: int) -> tuple[str, int]:
        """Have a request signed, unless a URL is at hand that is good for long enough."""
        wish = (
            draft.method,
            draft.url,
            tuple(draft.parameters.items()),
            tuple(draft.headers.items()),
        )
        kept = self._kept.get(wish)
        if kept is not None:
            left = int(kept.expiry - self._clock.seconds())
            if lifetime / 2 < left <= lifetime:
                self._kept.move_to_end(wish)
                return kept.href, left
        now = self._clock.seconds()
        href = await self._ask_to_sign(draft, self._wall_clock(), lifetime)
        self._kept[wish] = _Kept(href, now + lifetime)
        self._kept.move_to_end(wish)
        if len(self._kept) > KEPT_URLS:
            self._kept.popitem(last=False)
        return href, max(1, int(now + lifetime - self._clock.seconds()))

    async def _ask_to_sign(self, draft: Draft, now: float, expires: int) -> str:
        account = (await self._accounts.get()).value
        email = self._email or account.email
        if email is None:
            raise StoreError(
                "nobody can sign: the credentials are not those of a service account;"
                " set service_account_email to one that they may sign for"
            )
        unsigned = prepare(draft, RSA, email, now, expires)
        payload = base64.b64encode(unsigned.string_to_sign.encode()).decode()

        async def ask() -> Request:
            token = (await self._accounts.get()).value.token
            return Request(
                "POST",
                f"{self._iam_url}/v1/projects/-/serviceAccounts/{email}:signBlob",
                {"authorization": f"Bearer {token}", "content-type": "application/json"},
                msgspec.json.encode({"payload": payload}),
            )

        answer = await self._client.ask(ask)
        if answer.status != 200:
            raise StoreError(_refusal(email, answer.status, answer.body))
        try:
            signed = msgspec.json.decode(answer.body, type=_SignedBlob).signedBlob
            return unsigned.signed(base64.b64decode(signed, validate=True))
        except (ValueError, RecursionError):
            raise StoreError("what signBlob answers is no signature") from None

    async def authorize(self, draft: Draft) -> Request:
        """See :meth:`Authority.authorize`."""
        token = (await self._accounts.get()).value.token
        headers = {**draft.headers, "authorization": f"Bearer {token}"}
        return Request(draft.method, draft.whole_url, headers)

    async def check(self, signs: bool) -> None:
        """See :meth:`Authority.check`."""
        try:
            await self._accounts.get()
        except StoreError as error:
            raise ConfigError("credentials_file", error.problem) from error
        if signs:
            try:
                await self.presign(Draft("GET", "https://storage.googleapis.com/"), 60)
            except StoreError as error:
                raise ConfigError("service_account_email", error.problem) from error


#: What a signed URL is good for.
_Wish = tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A URL that Google has signed.

    :ivar expiry: when it expires, in seconds of the reactor's time.
    """

    href: str
    expiry: float


class _SignedBlob(msgspec.Struct, frozen=True):
    signedBlob: str


class _Refused(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: _Refused = _Refused()


def _refusal(email: str, status: int, body: bytes) -> str:
    try:
        message = msgspec.json.decode(body, type=_Refusal).error.message
    except (ValueError, RecursionError):
        message = ""
    text = f"signBlob for {email} answers with status {status}"
    if message:
        text += f": {' '.join(message.split())}"
    if status == 403:
        text += (
            "; the credentials need the role 'Service Account Token Creator'"
            " (iam.serviceAccounts.signBlob) on this service account"
        )
    return text


class _SigningJobs:
    """Makes RSA signatures in a thread: all that are wanted at one time in one job.

    RSA leaves the interpreter to others meanwhile, but each trip to a thread
    and back costs the reactor a turn.
    """

    def __init__(self, blocking: IBlocking, clock: IReactorTime) -> None:
        self._blocking = blocking
        self._clock = clock
        self._waiting: list[tuple[Sign, bytes, Deferred[bytes]]] = []

    async def sign(self, sign: Sign, text: str) -> bytes:
        """Return the signature of ``text``."""
        waiter: Deferred[bytes] = Deferred()
        self._waiting.append((sign, text.encode(), waiter))
        if len(self._waiting) == 1:
            self._clock.callLater(0, self._begin)
        return await waiter

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        Deferred.fromCoroutine(self._run(waiting))

    async def _run(self, waiting: Sequence[tuple[Sign, bytes, Deferred[bytes]]]) -> None:
        try:
            running: Awaitable[list[bytes]] = self._blocking.run(
                _sign_all, [(sign, text) for sign, text, _ in waiting]
            )
            signatures = await running
        except Exception:
            failure = Failure()
            for _, _, waiter in waiting:
                if not waiter.called:
                    waiter.errback(failure)
            return
        for (_, _, waiter), signature in zip(waiting, signatures, strict=True):
            if not waiter.called:
                waiter.callback(signature)


def _sign_all(texts: Sequence[tuple[Sign, bytes]]) -> list[bytes]:
    return [sign(text) for sign, text in texts]
