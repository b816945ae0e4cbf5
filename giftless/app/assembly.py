"""From a configuration to the fronts: put together all that a worker serves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from giftless.app.backends import Backends
from giftless.app.config import Config
from giftless.app.services import Services, build_services
from giftless.app.transfers import build_transfers, choose_factories
from giftless.auth.aliases import Aliased
from giftless.auth.chain import AuthChain
from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    IAuthenticator,
    IFront,
    ILockForwarding,
    IObjectStore,
    IResumableStore,
)
from giftless.monitoring.http import HTTPCounter
from giftless.monitoring.measuring import MeasuredAuthenticator
from giftless.usecases.events import Events
from giftless.usecases.multipart import MultipartServer
from giftless.usecases.resumable import ResumableServer
from giftless.web.adapter_endpoints import AdapterEndpoints
from giftless.web.admin_pages import AdminPages
from giftless.web.administration.endpoints import AdministrationEndpoints
from giftless.web.cors import Cors
from giftless.web.errors import Challenge
from giftless.web.forwarded_locks import ForwardedLockEndpoints
from giftless.web.front import HTTPFront
from giftless.web.health import health_routes
from giftless.web.landing import Landing
from giftless.web.locks import LockEndpoints, routes_without_locks
from giftless.web.objects import ObjectEndpoints
from giftless.web.parts import PartEndpoints
from giftless.web.protected_resource import ProtectedResource
from giftless.web.proxies import Proxies, ServerURL
from giftless.web.route import Route
from giftless.web.routes import LFSResource
from giftless.web.site import LFSSite
from giftless.web.tus import TusEndpoints

#: What the name of a header may be that proxies set.
_HEADER: Final = re.compile("[A-Za-z0-9-]{1,100}")


def build_fronts(options: Config, environment: Environment, backends: Backends) -> Sequence[IFront]:
    """Build the ways by which clients reach the server; endpoints choose by name.

    :raises ConfigError: if the configuration cannot be used.
    """
    events = Events(backends.observers, backends.arrivals)
    services = build_services(options, environment, backends, events)
    site = build_site(options, environment, backends, services)
    fronts: list[IFront] = [HTTPFront(site)]
    if options.ssh.enabled:
        # Not before: it takes memory.
        from giftless.app.ssh import build_ssh_front

        fronts.append(build_ssh_front(options, environment, backends, services, site.memory))
    return fronts


def build_site(
    options: Config, environment: Environment, backends: Backends, services: Services
) -> LFSSite:
    """Build the HTTP site that a configuration describes.

    :raises ConfigError: if the configuration cannot be used.
    """
    access, log_in = options.access, protected_resource(options, backends)
    return LFSSite(
        build_resource(options, environment, backends, services, log_in).resource(),
        options.limits,
        Proxies(options.trusted_proxies, _certificate_header(options)),
        environment.reactor,
        Challenge(
            access.realm,
            access.www_authenticate,
            None if log_in is None else log_in.challenge,
            lambda request: backends.prefixes.of_url(request.path),
        ),
        Cors(options.cors),
        services.events,
        None if backends.metrics is None else HTTPCounter(backends.metrics),
    )


def protected_resource(options: Config, backends: Backends) -> ProtectedResource | None:
    """Build what tells clients where to log in; ``None`` if they do so nowhere."""
    if not backends.log_ins:
        return None
    server_url = ServerURL(Proxies(options.trusted_proxies), options.public_url)
    return ProtectedResource(backends.log_ins, server_url, options.access.realm, backends.prefixes)


def _certificate_header(options: Config) -> str:
    name = options.certificate_header
    if name and not _HEADER.fullmatch(name):
        raise ConfigError("certificate_header", "found something else than the name of a header")
    if name and not options.trusted_proxies:
        raise ConfigError(
            "certificate_header", "needs trusted_proxies: nobody else is believed what it says"
        )
    return name


def build_resource(
    options: Config,
    environment: Environment,
    backends: Backends,
    services: Services,
    log_in: ProtectedResource | None = None,
) -> LFSResource:
    """Build the resource tree of the site; see :func:`build_site`.

    :param log_in: tells clients where to log in; ``None`` if they do so nowhere.
    """
    transfers = build_transfers(
        choose_factories(options.transfers),
        backends.store,
        backends.secret,
        options.actions,
        environment.wall_clock,
    )
    blocking, limits, resumes = environment.blocking, options.limits, transfers.resumes
    gate, presence = services.gate, backends.space.presence
    server = services.server(transfers.registry)
    multipart = MultipartServer(
        backends.store,
        transfers.planner,
        blocking,
        gate,
        environment.reactor,
        services.events,
        services.quotas,
        presence,
    )
    counted = services.counted
    tokens: IAuthenticator = transfers.tokens
    if presence is not None:
        # They name the repository as it was called when they were made.
        tokens = Aliased(tokens, {}, backends.space.moved)
    if backends.metrics is not None:
        tokens = MeasuredAuthenticator(tokens, "action", backends.metrics)
    actions = AuthChain([tokens, counted])
    server_url = ServerURL(Proxies(options.trusted_proxies), options.public_url)
    routes = (
        *Landing(server_url).routes,
        *ObjectEndpoints(server, services.api, actions, limits, blocking).routes,
        *PartEndpoints(multipart, actions).routes,
        *(_tus_routes(options, environment, backends, services, actions) if resumes else ()),
        *_lock_routes(services, backends.store),
        *(health_routes(backends.health) if options.admin.public_health else ()),
    )
    for_admins = AdministrationEndpoints(
        backends.administration,
        counted,
        gate,
        server_url,
        options.admin.public_pages,
        backends.prefixes,
    )
    routes = (*routes, *for_admins.routes)
    if log_in is not None:
        routes = (*routes, *log_in.routes)
    if options.admin.public_pages and backends.pages is not None:
        pages = AdminPages(backends.pages, services.guarded, gate, server_url, options.access.realm)
        routes = (*routes, *pages.routes)
    brought = AdapterEndpoints(counted, actions, gate, server, blocking)
    routes = (*routes, *brought.routes(transfers.adapters, routes))
    return LFSResource(routes, server_url)


def _tus_routes(
    options: Config,
    environment: Environment,
    backends: Backends,
    services: Services,
    actions: IAuthenticator,
) -> Sequence[Route]:
    store, size = backends.store, options.limits.object_size
    assert IResumableStore.providedBy(store), "the adapter was built for it"
    server = ResumableServer(
        store,
        environment.state_dir,
        environment.blocking,
        size,
        services.gate,
        services.events,
        services.quotas,
        backends.space.presence,
    )
    return TusEndpoints(server, services.counted, actions, size).routes


def _lock_routes(services: Services, store: IObjectStore) -> Sequence[Route]:
    if ILockForwarding.providedBy(store):
        return ForwardedLockEndpoints(store, services.api_locks).routes
    if services.locks is None:
        return routes_without_locks()
    return LockEndpoints(services.locks, services.api_locks).routes
