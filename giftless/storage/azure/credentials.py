"""The keys that sign for Azure: an account's, or one that Azure lends to an identity.

Without an account's key, ``azure-identity`` finds an identity (environment,
workload, managed identity, command line …).  Azure lends it a *user delegation
key*, good for days, that signs here without further questions.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import Answer
from giftless.base.showing import without_quotes
from giftless.interfaces import IBlocking, WallClock
from giftless.storage.azure import answers
from giftless.storage.azure.signing import VERSION, AccountKey, DelegationKey, stamp
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.credentials import Expiring, Refreshing

#: What signs.
SigningKey = AccountKey | DelegationKey

#: For how long a delegation key is asked for, in seconds; Azure lends it for at
#: most seven days.
DELEGATED: Final = 2 * 86_400

#: How long before its end a new one is asked for, in seconds.
EARLY: Final = 86_400

#: How far the clocks of this machine and Azure may differ, in seconds.
SKEW: Final = 300

#: What a token must be good for.
_SCOPE: Final = "https://storage.azure.com/.default"

#: Gets a token for Azure's storage; it may block.
GetToken = Callable[[], str]


def delegated(
    endpoint: str,
    get_token: GetToken,
    client: StoreClient,
    blocking: IBlocking,
    clock: IReactorTime,
    wall_clock: WallClock,
) -> Refreshing[SigningKey]:
    """Get user delegation keys for an identity, and keep them fresh.

    :param endpoint: the URL of the account's Blob service.
    :param client: asks for keys, and for nothing else: those who wait for a
        key occupy their own client's places.
    """

    async def fetch() -> Expiring[SigningKey]:
        running: Awaitable[str] = blocking.run(get_token)
        token = await running

        async def prepare() -> Request:
            now = wall_clock()
            body = (
                '<?xml version="1.0" encoding="utf-8"?>'
                f"<KeyInfo><Start>{stamp(now - SKEW)}</Start>"
                f"<Expiry>{stamp(now + DELEGATED)}</Expiry></KeyInfo>"
            )
            headers = {
                "authorization": f"Bearer {token}",
                "content-type": "application/xml",
                "x-ms-version": VERSION,
            }
            url = f"{endpoint}/?restype=service&comp=userdelegationkey"
            return Request("POST", url, headers, body.encode())

        try:
            answer = await client.ask(prepare)
        except StoreError as error:
            raise StoreError(f"{endpoint} lends no key: {error.problem}") from error
        if answer.status != 200:
            raise _refusal(endpoint, answer)
        key = read_delegation_key(answer.body)
        expiry = datetime.fromisoformat(key.expiry).timestamp()
        return Expiring(key, expiry, expiry - EARLY)

    return Refreshing(fetch, clock, wall_clock, "Azure user delegation key")


def _refusal(endpoint: str, answer: Answer) -> StoreError:
    problem = f"{endpoint} lends no key: {answers.describe(answer).problem}"
    if answer.status == 403:
        problem += (
            "; the identity may not ask for user delegation keys: give it the role"
            " 'Storage Blob Data Contributor' or 'Storage Blob Delegator'"
        )
    return StoreError(problem)


def read_delegation_key(body: bytes) -> DelegationKey:
    """Read Azure's answer to "Get User Delegation Key".

    :raises StoreError: if it is none.
    """
    found = dict(re.findall(r"<(\w+)>([^<]*)</\1>", body.decode("utf-8", "replace")))
    try:
        datetime.fromisoformat(found["SignedExpiry"])
        return DelegationKey(
            base64.b64decode(found["Value"], validate=True),
            found["SignedOid"],
            found["SignedTid"],
            found["SignedStart"],
            found["SignedExpiry"],
            found["SignedService"],
            found["SignedVersion"],
        )
    except (KeyError, ValueError):
        raise StoreError("what Azure sends is no user delegation key") from None


def identity_chain() -> GetToken:
    """Return what asks azure-identity's chain for a token.

    :raises ImportError: if azure-identity is not installed.
    """
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    # It logs what it raises, over many lines.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    credential = DefaultAzureCredential()

    def get_token() -> str:
        try:
            token: str = credential.get_token(_SCOPE).token
        except AzureError as error:
            # Its text has a line for each member of the chain.
            problem = without_quotes(error)
            raise StoreError(f"no Azure identity can be had: {problem}") from error
        return token

    return get_token
