"""Read the name, the endpoint and the key of a storage account.

They stand in the configuration, or in the environment variables that Azure's own
tools read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from giftless.errors import ConfigError
from giftless.storage.azure.signing import AccountKey

#: The account that every Azurite has; its key is public.
DEVELOPMENT: Final = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account.

    :ivar name: the account's name.
    :ivar endpoint: the URL of its Blob service.
    :ivar key: its key; ``None`` to use an identity.
    :ivar option: the option that the key is (or would be) from.
    """

    name: str
    endpoint: str
    key: AccountKey | None
    option: str


def public_endpoint(account: str) -> str:
    """Return the Blob service's URL of an account in Azure's public cloud."""
    return f"https://{account}.blob.core.windows.net"


def parse_connection_string(text: str) -> Account:
    """Read a connection string, as Azure's portal shows it.

    :raises ConfigError: if it does not name an account and its key; the text
        does not quote it.
    """
    parts = (part.strip().partition("=") for part in text.split(";"))
    values = {name.lower(): value for name, _, value in parts}
    name, key = values.get("accountname"), values.get("accountkey")
    if values.get("usedevelopmentstorage", "").lower() == "true":
        name, key = DEVELOPMENT
        values.setdefault("blobendpoint", f"http://127.0.0.1:10000/{name}")
    if not name or not key:
        raise ConfigError(
            "connection_string",
            "has no AccountName and AccountKey; a shared access signature cannot sign others",
        )
    suffix = values.get("endpointsuffix", "core.windows.net")
    protocol = values.get("defaultendpointsprotocol", "https")
    endpoint = values.get("blobendpoint") or f"{protocol}://{name}.blob.{suffix}"
    return Account(name, endpoint, decode_key("connection_string", key), "connection_string")


def decode_key(option: str, text: str) -> AccountKey:
    """Read an account's key.

    :param option: the option that it is from, for the error.
    :raises ConfigError: if it is not base64; the text does not quote it.
    """
    try:
        value = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not value:
        raise ConfigError(option, "holds no account key: that is base64, as Azure's portal has it")
    return AccountKey(value)


def from_environment(environ: Mapping[str, str]) -> Account | None:
    """Return the account that the variables of Azure's tools name, if any.

    :raises ConfigError: if they are not usable.
    """
    try:
        if text := environ.get("AZURE_STORAGE_CONNECTION_STRING"):
            return parse_connection_string(text)
        if name := environ.get("AZURE_STORAGE_ACCOUNT"):
            key = environ.get("AZURE_STORAGE_KEY")
            decoded = decode_key("account_key", key) if key else None
            return Account(name, public_endpoint(name), decoded, "account_key")
    except ConfigError as error:
        raise ConfigError(error.path, f"in the environment {error.problem}") from None
    return None
