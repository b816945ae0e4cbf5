"""From a configuration to a site: build the parts and put them together."""

from __future__ import annotations

import math

from giftless import plugins
from giftless.auth.chain import AuthChain, EachCredential
from giftless.auth.preauth import PreAuthorizer
from giftless.auth.throttle import FailureTable, Throttled
from giftless.config import Config
from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    IAuthenticator,
    IAuthenticatorFactory,
    IObjectStore,
    IPreAuthorizer,
    IStorageFactory,
    ITransferAdapter,
    ITransferFactory,
)
from giftless.multipart import MultipartServer
from giftless.permissions import Gate
from giftless.processors import available
from giftless.secret import load_secret
from giftless.server import LFSServer
from giftless.transfer.multipart import MultipartFactory
from giftless.transfer.registry import TransferRegistry
from giftless.web.cors import Cors
from giftless.web.errors import Challenge
from giftless.web.objects import ObjectEndpoints
from giftless.web.origin import Proxies
from giftless.web.parts import PartEndpoints
from giftless.web.routes import LFSResource
from giftless.web.site import LFSSite


def number_of_workers(options: Config) -> int:
    """Return how many processes serve."""
    return available() if options.workers == "auto" else options.workers


def build_backends(
    options: Config, environment: Environment
) -> tuple[IObjectStore, list[IAuthenticator]]:
    """Build the storage and the authenticators that a configuration describes.

    :raises ConfigError: if the configuration cannot be used.
    """
    plugins.add_directories(options.plugin_path)
    plugins.report_broken()
    store = plugins.build(IStorageFactory, options.storage, "storage", environment)
    chain = [
        plugins.build(IAuthenticatorFactory, section, f"auth.{index}", environment)
        for index, section in enumerate(options.auth)
    ]
    return store, chain


def build_site(
    options: Config, environment: Environment, store: IObjectStore, chain: list[IAuthenticator]
) -> LFSSite:
    """Build the HTTP site that a configuration describes.

    :param store: where objects are.
    :param chain: the authenticators, in the order in which they are asked.
    :raises ConfigError: if the configuration cannot be used.
    """
    return LFSSite(
        build_resource(options, environment, store, chain).resource(),
        options.limits,
        Proxies(options.trusted_proxies),
        environment.reactor,
        Challenge(options.access.realm, options.access.www_authenticate),
        Cors(options.cors),
    )


def build_resource(
    options: Config, environment: Environment, store: IObjectStore, chain: list[IAuthenticator]
) -> LFSResource:
    """Build the resource tree of the site; see :func:`build_site`."""
    secret = load_secret(options.secret, options.secret_file, options.state_dir)
    preauth = PreAuthorizer(secret, options.actions, environment.reactor)
    blocking, limits = environment.blocking, options.limits
    gate = Gate(options.access.hide_private)
    transfers = _transfers(options.transfers, store, preauth)
    server = LFSServer(store, transfers, blocking, limits.object_size, gate)
    multipart = MultipartServer(store, MultipartFactory().build(store, preauth), blocking, gate)
    access = options.access
    guarded: IAuthenticator = EachCredential(AuthChain(chain))
    if access.max_failures:
        # Each worker counts for itself: together they must not allow more.
        allowed = math.ceil(access.max_failures / number_of_workers(options))
        failures = FailureTable(allowed, access.failure_window, environment.reactor)
        guarded = Throttled(guarded, failures)
    actions = AuthChain([preauth, guarded])
    endpoints = (
        ObjectEndpoints(server, guarded, actions, limits, blocking),
        PartEndpoints(multipart, actions),
    )
    routes = [route for group in endpoints for route in group.routes]
    return LFSResource(routes, Proxies(options.trusted_proxies), options.public_url)


def _transfers(names: list[str], store: IObjectStore, preauth: IPreAuthorizer) -> TransferRegistry:
    available = plugins.find(ITransferFactory)
    adapters: list[ITransferAdapter] = []
    for index, name in enumerate(names):
        if name not in available:
            raise ConfigError(
                f"transfers.{index}",
                f"found {name!r}, available: {', '.join(sorted(available))}",
            )
        adapter = available[name].build(store, preauth)
        if adapter is not None:
            adapters.append(adapter)
    if not adapters:
        raise ConfigError("transfers", f"the storage can serve none of: {', '.join(names)}")
    return TransferRegistry(adapters)
