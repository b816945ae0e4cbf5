"""Build the store that ``storage: {type: azure}`` describes."""

from __future__ import annotations

import os
import re

from giftless.base.showing import describe
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.azure.account import (
    Account,
    decode_key,
    from_environment,
    parse_connection_string,
    public_endpoint,
)
from giftless.storage.azure.copies import CopyingContainer
from giftless.storage.azure.credentials import SigningKey, delegated, identity_chain
from giftless.storage.azure.layout import Place
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Layout
from giftless.storage.remote.credentials import Refreshing, unchanging
from giftless.storage.remote.factory import RemoteFactory
from giftless.storage.remote.options import RemoteOptions, checked_endpoints

#: The names that containers can have.
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")

#: The names that storage accounts can have.
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


class AzureOptions(RemoteOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: azure}``, beside those of every remote store.

    :ivar container: the container's name.
    :ivar account: the storage account's name.
    :ivar account_key: one of its two keys; best from the environment.
    :ivar connection_string: instead of both; best from the environment.
    """

    container: str
    account: str | None = None
    account_key: str | None = None
    connection_string: str | None = None


class AzureFactory(RemoteFactory[AzureOptions]):
    """Builds a store over a container."""

    Options = AzureOptions

    def container(
        self, options: AzureOptions, layout: Layout, client: StoreClient, environment: Environment
    ) -> CopyingContainer:
        """See :meth:`RemoteFactory.container`."""
        if _CONTAINER.fullmatch(options.container) is None:
            raise ConfigError(
                "container",
                f"found {describe(options.container)}, allowed are 3 to 63 lower-case letters,"
                " digits and single hyphens between them",
            )
        account = _account(options)
        endpoint, public = checked_endpoints(options, account.endpoint)
        place = Place(
            f"{endpoint}/{options.container}",
            f"{public}/{options.container}",
            account.name,
            options.container,
            account.option,
        )
        keys = _keys(account, endpoint, options.timeout, environment)
        return CopyingContainer(
            place, layout, keys, client, environment.reactor, environment.wall_clock
        )


def _account(options: AzureOptions) -> Account:
    if options.connection_string is not None:
        for name in ("account", "account_key"):
            if getattr(options, name) is not None:
                raise ConfigError(name, "is set beside 'connection_string'; set one of them")
        account = parse_connection_string(options.connection_string)
    elif options.account is not None and options.account_key is not None:
        key = decode_key("account_key", options.account_key)
        account = Account(options.account, public_endpoint(options.account), key, "account_key")
    elif options.account_key is not None:
        raise ConfigError("account", "is missing; set both the account and its key, or none")
    else:
        account = _account_around(options.account)
    if _ACCOUNT.fullmatch(account.name) is None:
        raise ConfigError(
            "account",
            f"found {describe(account.name)}, allowed are 3 to 24 lower-case letters and digits",
        )
    return account


def _account_around(name: str | None) -> Account:
    """Return the account whose key is not in the configuration."""
    found = from_environment(os.environ)
    if found is not None and name in (None, found.name):
        return found
    if name is None:
        raise ConfigError(
            "account",
            "is missing; set it, or 'connection_string', or AZURE_STORAGE_CONNECTION_STRING"
            " in the environment",
        )
    return Account(name, public_endpoint(name), None, "account_key")


def _keys(
    account: Account, endpoint: str, timeout: float, environment: Environment
) -> Refreshing[SigningKey]:
    if account.key is not None:
        return unchanging(account.key, environment.reactor, "Azure account key")
    try:
        get_token = identity_chain()
    except ImportError:
        raise ConfigError(
            "account_key",
            "is missing, and azure-identity, which finds an identity, is not installed;"
            " install giftless[azure]",
        ) from None
    clock = environment.reactor
    client = StoreClient(environment.http, clock, timeout, 1)
    return delegated(
        endpoint, get_token, client, environment.blocking, clock, environment.wall_clock
    )
