"""What signs for Azure: an account's key, or a key that an identity is lent.

An account's key stands in the configuration, or in the environment variables
that Azure's own tools read.  Without one, ``azure-identity`` finds an identity
(environment, workload, managed identity, command line …); Azure lends it a
*user delegation key*, good for days, that signs here without further questions.
"""

from __future__ import annotations

import base64
import binascii
import re
from calendar import timegm
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import strptime
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime

from giftless.errors import ConfigError
from giftless.interfaces import IBlocking
from giftless.outgoing import Answer
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


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account as the configuration or the environment has it.

    :ivar name: the account's name.
    :ivar endpoint: the URL of its Blob service, without a slash at its end.
    :ivar key: its key; ``None`` to use an identity.
    :ivar option: the option that the credential is from; empty if none.
    """

    name: str
    endpoint: str
    key: AccountKey | None
    option: str


def parse_connection_string(option: str, text: str) -> Account:
    """Read a connection string, as Azure's portal shows it.

    :param option: the option that it is from, for errors; these do not quote
        it, since it holds a key.
    :raises ConfigError: if it does not name an account and its key.
    """
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";") if part.strip())
    values = {name.lower(): value for name, value in parts.items()}
    name, key = values.get("accountname"), values.get("accountkey")
    if values.get("usedevelopmentstorage", "").lower() == "true":
        name, key = DEVELOPMENT
        values.setdefault("blobendpoint", f"http://127.0.0.1:10000/{name}")
    if not name or not key:
        raise ConfigError(
            option,
            "has no AccountName and AccountKey; a shared access signature cannot sign others",
        )
    suffix = values.get("endpointsuffix", "core.windows.net")
    protocol = values.get("defaultendpointsprotocol", "https").lower()
    endpoint = values.get("blobendpoint") or f"{protocol}://{name}.blob.{suffix}"
    return Account(name, endpoint.rstrip("/"), decode_key(option, key), option)


#: The account that every Azurite has; its key is public.
DEVELOPMENT: Final = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)


def decode_key(option: str, text: str) -> AccountKey:
    """Read an account's key.

    :param option: the option that it is from, for errors.
    :raises ConfigError: if it is not base64.
    """
    try:
        value = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not value:
        raise ConfigError(option, "is no account key: that is base64, as Azure's portal shows it")
    return AccountKey(value)


def account_of_endpoint(endpoint: str) -> str:
    """Return the account that an endpoint is of: the first label of its host."""
    host = urlsplit(endpoint).hostname or ""
    return host.partition(".")[0] if ".blob." in host else ""


def from_environment(environ: Mapping[str, str]) -> Account | None:
    """Return the account that the variables of Azure's tools name with its key, if any.

    :raises ConfigError: if they are not usable.
    """
    if text := environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        try:
            return parse_connection_string("connection_string", text)
        except ConfigError as error:
            raise ConfigError(
                "connection_string", f"AZURE_STORAGE_CONNECTION_STRING {error.problem}"
            ) from None
    name, key = environ.get("AZURE_STORAGE_ACCOUNT"), environ.get("AZURE_STORAGE_KEY")
    if not name or not key:
        return None
    return Account(name, public_endpoint(name), decode_key("account_key", key), "account_key")


def public_endpoint(account: str) -> str:
    """Return the Blob service's URL of an account in Azure's public cloud."""
    return f"https://{account}.blob.core.windows.net"


def static(key: AccountKey, clock: IReactorTime) -> Refreshing[SigningKey]:
    """Always return an account's key."""

    async def fetch() -> Expiring[SigningKey]:
        return Expiring(key)

    return Refreshing(fetch, clock, "Azure account key")


def delegated(
    endpoint: str,
    get_token: GetToken,
    client: StoreClient,
    blocking: IBlocking,
    clock: IReactorTime,
) -> Refreshing[SigningKey]:
    """Let an identity borrow keys, and keep them fresh.

    :param endpoint: the URL of the account's Blob service.
    """

    async def fetch() -> Expiring[SigningKey]:
        running: Awaitable[str] = blocking.run(get_token)
        token = await running

        async def prepare() -> Request:
            now = clock.seconds()
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

        answer = await client.ask(prepare)
        if answer.status != 200:
            raise _refusal(answer)
        key = read_delegation_key(answer.body)
        expiry = float(timegm(strptime(key.expiry, "%Y-%m-%dT%H:%M:%SZ")))
        return Expiring(key, expiry, expiry - EARLY)

    return Refreshing(fetch, clock, "Azure user delegation key")


def _refusal(answer: Answer) -> StoreError:
    problem = answers.describe(answer).problem
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

    credential = DefaultAzureCredential()

    def get_token() -> str:
        try:
            token: str = credential.get_token(_SCOPE).token
        except AzureError as error:
            # Its text has a line for each member of the chain.
            problem = " ".join(str(error).split())
            raise StoreError(f"no Azure identity can be had: {problem}") from error
        return token

    return get_token
