"""Build what plugins provide: the storage, the authenticators, the locks, and the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from giftless.app import plugins
from giftless.app.config import Config
from giftless.app.forwarding import is_forwarding
from giftless.app.plugins import PartBuilder
from giftless.app.quotas import QuotaParts, build_quota_parts
from giftless.app.secret import load_secret
from giftless.app.upkeep import build_scrub_look, build_scrubbing, build_upkeep
from giftless.auth.prefixes import Prefixes
from giftless.auth.realms import check_realms
from giftless.base.metrics.counts import Counts
from giftless.base.repeated import Repeated
from giftless.base.shared_table import SharedTable
from giftless.catalogue.recorder import Recorder
from giftless.errors import ConfigError
from giftless.interfaces import (
    IAuthenticator,
    IAuthenticatorFactory,
    ICaching,
    ICatalogue,
    ICatalogueFactory,
    IConfined,
    ILockStore,
    ILockStoreFactory,
    ILogIn,
    IObjectStore,
    IObserver,
    IObserverFactory,
    IStorageFactory,
)
from giftless.monitoring.activity import Activity
from giftless.monitoring.events import EventCounter
from giftless.monitoring.health import Health
from giftless.monitoring.measuring import MeasuredAuthenticator, measured_store
from giftless.monitoring.metrics import Metrics
from giftless.observers.rendering import name_of
from giftless.usecases.administration import Administration
from giftless.usecases.events import Events
from giftless.usecases.jobs import Jobs
from giftless.usecases.locks import LockPolicy
from giftless.usecases.space import Space, make_space
from giftless.usecases.upkeep import Refreshing
from giftless.web.admin_pages import PageMaker
from giftless.web.administration.api import AdministrationAPI

if TYPE_CHECKING:
    from giftless.auth.keys.keyrings import Keyrings


@dataclass(frozen=True, slots=True)
class Backends:
    """What plugins have built, and what they are not told.

    :ivar secret: what tokens are signed with.
    :ivar store: where objects are.
    :ivar chain: the authenticators, in the order in which they are asked.
    :ivar prefixes: the paths below which some of them decide alone.
    :ivar log_ins: those of them, or inside them, whose people log in at an issuer, by these
        paths.
    :ivar keyrings: who knows whose keys of SSH are; ``None`` if nothing is served over SSH.
    :ivar locks: where locks are; ``None`` if there are to be none.
    :ivar catalogue: what is known of objects; ``None`` if nothing is kept of that.
    :ivar quotas: what may be stored and downloaded; ``None`` if there are no quotas.
    :ivar space: what is stored, and all that can be done with it.
    :ivar refreshing: asks the catalogue what is to be known; ``None`` if there is no trash.
    :ivar scrubbing: reads everything again and again; ``None`` if nothing does.
    :ivar administration: answers who looks at it and changes it.
    :ivar observers: who is told of events, by the dotted paths of their sections.
    :ivar arrivals: the same for who is told of stored objects alone.
    :ivar health: looks whether the store, the locks and the catalogue work.
    :ivar shared: what all workers count together.
    :ivar metrics: what this worker counts; ``None`` if nobody is told.
    :ivar activity: what it has done lately, in the same way.
    :ivar pages: makes the operators' pages; ``None`` if nothing does.
    """

    secret: bytes = field(repr=False)
    store: IObjectStore
    chain: Sequence[IAuthenticator]
    prefixes: Prefixes
    log_ins: Mapping[str, Sequence[ILogIn]]
    keyrings: Keyrings | None
    locks: ILockStore | None
    catalogue: ICatalogue | None
    quotas: QuotaParts | None
    space: Space
    refreshing: Refreshing | None
    scrubbing: Repeated | None
    administration: AdministrationAPI
    observers: Mapping[str, IObserver]
    arrivals: Mapping[str, IObserver]
    health: Health
    shared: SharedTable
    metrics: Metrics | None = None
    activity: Activity | None = None
    pages: PageMaker | None = None


def build_metrics(options: Config, counts: Counts | None) -> Metrics | None:
    """Build what a process counts with, unless the configuration lets nobody see it.

    Counting makes an event for each refused object: count only if somebody can read it.

    :param counts: where this process counts; ``None`` if nobody is told.
    """
    return Metrics(counts) if counts is not None and options.admin.shown else None


def build_backends(
    options: Config,
    parts: PartBuilder,
    shared: SharedTable | None = None,
    metrics: Metrics | None = None,
    pages: PageMaker | None = None,
) -> Backends:
    """Build the storage, the authenticators, the lock store, the catalogue and the observers.

    :param parts: builds each, with what is nested in it.
    :param shared: what all workers count together; ``None`` if this process serves alone.
    :param metrics: what this process counts with, from :func:`build_metrics`.
    :param pages: makes the operators' pages; ``None`` if nothing does.
    :raises ConfigError: if the configuration cannot be used.
    """
    plugins.add_directories(options.plugin_path)
    plugins.report_broken_files()
    # First, because it tells best what is wrong with the state directory.
    secret = load_secret(options.secret, options.secret_file, options.state_dir)
    store = parts.build(IStorageFactory, options.storage, "storage")
    chain = build_authenticators(options, parts)
    check_realms(parts.built)
    prefixes = Prefixes(parts.built)
    log_ins: dict[str, list[ILogIn]] = {}
    for path, part in parts.built.items():
        if ILogIn.providedBy(part):
            log_ins.setdefault(prefixes.of_section(path), []).append(part)
    # What another server keeps is not kept here as well.
    keeps = not is_forwarding(options, store, chain, parts.built)
    keyrings = _keyrings(options, parts)
    locks = build_lock_store(options, parts) if keeps else None
    catalogue = build_catalogue(options, parts) if keeps else None
    quotas = build_quota_parts(options, catalogue, parts.environment)
    observers = build_observers(options, parts)
    around = parts.environment
    arrivals = {}
    if catalogue is not None:
        recorder = Recorder(catalogue, store, around.reactor, around.wall_clock)
        recorder.setServiceParent(around.services)
        arrivals["catalogue"] = recorder
    if quotas is not None and quotas.rules.budgeted:
        observers = {**observers, "quotas": quotas.budgets}
    # The store itself: what is asked for this is not counted.
    filled = None if quotas is None else quotas.levels.filled
    look = build_scrub_look(options, around)
    caches = [part for part in parts.built.values() if ICaching.providedBy(part)]
    health = Health(store, locks, around.reactor, catalogue, filled, look, caches)
    unmeasured = store
    activity = None
    if metrics is not None:
        seconds = around.reactor.seconds
        activity = Activity(name_of, seconds, around.wall_clock, os.getpid())
        kind = options.storage["type"]
        store = measured_store(store, kind, metrics, seconds, activity.watched)
        chain = [
            _measured(part, section, metrics)
            for part, section in zip(chain, options.auth, strict=True)
        ]
        observers = {**observers, "metrics": EventCounter(metrics), "activity": activity}
    shared = shared or SharedTable()
    space = build_space_over(options, parts, store, catalogue, locks, Events(observers))
    return Backends(
        secret,
        store,
        chain,
        prefixes,
        log_ins,
        keyrings,
        locks,
        catalogue,
        quotas,
        space,
        build_upkeep(options, parts.environment, space),
        build_scrubbing(options, around, unmeasured, space, secret, metrics),
        _administration(options, parts, space),
        observers,
        arrivals,
        health,
        shared,
        metrics,
        activity,
        pages,
    )


def build_authenticators(options: Config, parts: PartBuilder) -> list[IAuthenticator]:
    """Build the authenticators alone, in the order of the configuration.

    :raises ConfigError: if the configuration cannot be used.
    """
    return [
        parts.build(IAuthenticatorFactory, section, f"auth.{index}")
        for index, section in enumerate(options.auth)
    ]


def _measured(
    authenticator: IAuthenticator, section: Mapping[str, Any], metrics: Metrics
) -> IAuthenticator:
    """Count what an authenticator says, or what each inside of it says.

    :param section: its section of the configuration.
    """
    if not IConfined.providedBy(authenticator):
        return MeasuredAuthenticator(authenticator, section["type"], metrics)
    confined: IConfined = authenticator
    return confined.each(lambda index, part: _measured(part, section["auth"][index], metrics))


def _keyrings(options: Config, parts: PartBuilder) -> Keyrings | None:
    """Build what knows whose keys of SSH are; ``None`` if nothing is served over SSH.

    :raises ConfigError: if the configuration cannot be used.
    """
    ssh = options.ssh
    if ssh.endpoints and not ssh.keys:
        raise ConfigError(
            "ssh.keys", "is needed by ssh.endpoints: without a keyring nobody can log in there"
        )
    if ssh.enabled:
        # Not before: it takes memory.
        from giftless.app.keyrings import build_keyrings

        return build_keyrings(options, parts)
    if ssh.keys:
        problem = "would let nobody in without ssh.endpoints, ssh.socket or ssh.trusted"
        raise ConfigError("ssh.keys", problem)
    return None


def build_space_over(
    options: Config,
    parts: PartBuilder,
    store: IObjectStore,
    catalogue: ICatalogue | None,
    locks: ILockStore | None,
    events: Events,
) -> Space:
    """Build what moves objects, over parts that have been built."""
    lent = parts.environment
    return make_space(
        store,
        catalogue,
        locks,
        events,
        lent.reactor,
        lent.wall_clock,
        options.trash.keep,
        options.aliases,
    )


def _administration(options: Config, parts: PartBuilder, space: Space) -> AdministrationAPI:
    """Build what answers owners and operators."""
    lent = parts.environment
    directory = os.path.join(options.state_dir, "operations")
    jobs = Jobs(directory, lent.reactor, lent.blocking, lent.wall_clock)
    return AdministrationAPI(Administration(space, lent.wall_clock), jobs)


def build_lock_store(options: Config, parts: PartBuilder) -> ILockStore | None:
    """Build the lock store alone, for commands that need nothing else.

    :raises ConfigError: if the configuration cannot be used.
    """
    store: ILockStore | None = parts.build(
        ILockStoreFactory, options.locks, "locks", LockPolicy.__struct_fields__
    )
    return store


def build_catalogue(options: Config, parts: PartBuilder) -> ICatalogue | None:
    """Build the catalogue alone, for commands that need nothing else.

    :raises ConfigError: if the configuration cannot be used.
    """
    catalogue: ICatalogue | None = parts.build(ICatalogueFactory, options.catalogue, "catalogue")
    return catalogue


def build_observers(options: Config, parts: PartBuilder) -> Mapping[str, IObserver]:
    """Build the observers of events, by the dotted paths of their sections.

    :raises ConfigError: if the configuration cannot be used.
    """
    sections = {f"observers.{index}": part for index, part in enumerate(options.observers)}
    return {
        path: parts.build(IObserverFactory, section, path) for path, section in sections.items()
    }
