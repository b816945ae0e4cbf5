"""Serve a configuration in one process: build its parts, start them, and stop them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from twisted.application.service import MultiService

from giftless.app import config
from giftless.app.assembly import build_fronts
from giftless.app.backends import Backends, build_backends, build_metrics
from giftless.app.config import Config, Loaded
from giftless.app.cpus import number_of_workers
from giftless.app.plugins import PartBuilder
from giftless.app.selfcheck import run_checks
from giftless.base.concurrency import settle
from giftless.base.late_client import late_client
from giftless.base.metrics.counts import Counts
from giftless.base.pages import PAGE, PageReply, PageRequest
from giftless.base.shared_table import SharedTable
from giftless.base.showing import describe
from giftless.base.threads import Threads
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.interfaces import Environment, Event, IFront, ISharing
from giftless.interfaces.caching import NO_COUNTS
from giftless.interfaces.environment import count_nothing
from giftless.runtime.administration_answers import AdministrationAnswers
from giftless.runtime.administration_questions import ADMINISTRATION
from giftless.runtime.lock_answers import LockAnswers
from giftless.runtime.lock_questions import LOCKS, RELEASE
from giftless.runtime.questions import (
    ACTIVITY,
    HEALTH,
    MAX_PATIENCE,
    PATIENCE,
    Answerer,
    Ask,
    Unanswered,
)
from giftless.runtime.sockets.adopting import Ports
from giftless.runtime.sockets.endpoints import Listening, worker_listenings
from giftless.runtime.sockets.proxied import believes_of
from giftless.runtime.space_answers import SpaceAnswers
from giftless.runtime.space_questions import OBJECTS, PURGE, QUOTAS, RESTORE, USAGE
from giftless.runtime.trash_answers import TrashAnswers
from giftless.usecases.events import Events
from giftless.usecases.lock_administration import LockAdministration

#: Builds the fronts of a configuration, as :func:`giftless.app.assembly.build_fronts` does.
FrontBuilder = Callable[[Config, Environment, Backends], Sequence[IFront]]

#: When an operator may ask again for a page that the daemon has not made, in seconds.
_RETRY_AFTER: Final = 5


class Instance:
    """The parts of a configuration, the fronts before them, and the ports of these.

    :param loaded: the configuration.
    :param reactor: the reactor that it runs on.
    :param build_fronts: builds the fronts that endpoints may name.
    :param shared: what all workers count together; ``None`` if this process serves alone.
    :param counts: where this process counts what it does; ``None`` if nobody is told.
    :param ask: asks the daemon; ``None`` if this process serves alone.
    :raises ConfigError: if the configuration cannot be used; its text says
        where the value of the key was set.
    :ivar answerers: who answers what the daemon asks, by the names of the questions.
    :ivar sockets: how many listening sockets it uses.
    """

    def __init__(
        self,
        loaded: Loaded,
        reactor: Any,
        build_fronts: FrontBuilder = build_fronts,
        shared: SharedTable | None = None,
        counts: Counts | None = None,
        ask: Ask | None = None,
    ) -> None:
        self._loaded = loaded
        self._reactor = reactor
        options = loaded.config
        # Connections use these until their end, so they stop last.
        self._threads = Threads(reactor, options.threads)
        self._services = MultiService()
        metrics = build_metrics(options, counts)
        lend = partial(
            Environment,
            *(reactor, self._threads, late_client(reactor), options.state_dir),
            services=self._services,
            count_lookup=count_nothing if metrics is None else metrics.count_lookup,
            cache_counts=NO_COUNTS if metrics is None else metrics,
        )
        self._parts = PartBuilder(lend)
        self._endpoints = worker_listenings(options)
        self.sockets = len(self._endpoints)
        try:
            pages = partial(_ask_for_page, ask)
            backends = build_backends(options, self._parts, shared, metrics, pages)
            self._events = Events(backends.observers)
            self._refreshing = backends.refreshing
            self._scrubbing = backends.scrubbing
            built = build_fronts(options, self._parts.environment, backends)
            self._fronts = used_fronts(self._endpoints, {front.name: front for front in built})
        except ConfigError as error:
            raise self._located(error) from None

        async def tell_health(_: bytes) -> bytes:
            return msgspec.json.encode(await backends.health.report())

        locks = backends.locks
        administration = None if locks is None else LockAdministration(locks, self._events)
        answers = LockAnswers(administration)
        trash = backends.space.trash
        space = SpaceAnswers(
            backends.catalogue,
            ISharing.providedBy(backends.store),
            None if trash is None else trash.keep,
            None if backends.quotas is None else backends.quotas.levels,
        )
        trashed = TrashAnswers(backends.catalogue, trash, reactor)
        self.answerers: dict[str, Answerer] = {
            HEALTH: tell_health,
            LOCKS: answers.search,
            RELEASE: answers.release,
            ADMINISTRATION: AdministrationAnswers(backends.administration, self._events).answer,
            USAGE: space.usage,
            OBJECTS: space.objects,
            QUOTAS: space.quotas,
            RESTORE: trashed.restore,
            PURGE: trashed.purge,
        }
        if (activity := backends.activity) is not None:

            async def tell_activity(_: bytes) -> bytes:
                return msgspec.json.encode(activity.report())

            self.answerers[ACTIVITY] = tell_activity
        self._ports = Ports(
            reactor, number_of_workers(options) == 1, believes_of(options.trusted_proxies)
        )

    def run_checks(self) -> list[ConfigError]:
        """Let every part that can try whether it works do so; runs the reactor.

        See :func:`giftless.app.selfcheck.run_checks`.
        """
        problems = run_checks(self._parts.built, self._threads, self._reactor)
        return [self._located(problem) for problem in problems]

    async def start(self, descriptors: Sequence[int]) -> None:
        """Serve on sockets that are bound already.

        :param descriptors: one for each endpoint, in their order.
        :raises ConfigError: if an endpoint cannot be made.
        """
        self._threads.startService()
        self._services.startService()
        if self._refreshing is not None:
            # Before the first request: it may give the former name of a repository.
            await self._refreshing.begin()
        await settle(_wait_for(front.start()) for front in self._fronts.values())
        for descriptor, endpoint in zip(descriptors, self._endpoints, strict=True):
            factory = self._fronts[endpoint.front].factory
            try:
                await self._ports.adopt(descriptor, endpoint, factory)
            except ConfigError as error:
                raise self._located(error) from None

    def publish(self, event: Event) -> None:
        """Tell the observers of what concerns the whole daemon."""
        self._events.publish(event)

    async def retire(self) -> None:
        """Accept no more connections, and wait until those that are open have ended.

        Each is answered as long as it is busy, and told to end with its next
        response; a silent one ends by the limits that always hold.  So no client
        sees an error.
        """
        await self._ports.stop()
        if self._scrubbing is not None and self._scrubbing.running:
            # A worker of the new configuration goes on with it, if that still wants it.
            self._scrubbing.stopService()
        await settle(_wait_for(front.retire()) for front in self._fronts.values())

    async def stop(self) -> None:
        """Accept no more connections, let running transfers finish in time, and end."""
        await self._ports.stop()
        timeout = self._loaded.config.shutdown_timeout
        await settle(_wait_for(front.drain(timeout)) for front in self._fronts.values())
        await self._services.stopService()
        self._threads.stopService()

    def _located(self, error: ConfigError) -> ConfigError:
        return config.located(error, self._loaded.source, self._loaded.text, os.environ)


def used_fronts(
    endpoints: Sequence[Listening], fronts: Mapping[str, IFront]
) -> Mapping[str, IFront]:
    """Return the fronts that endpoints name, by name.

    :raises ConfigError: if an endpoint names a front that does not exist.
    """
    used = {}
    for index, endpoint in enumerate(endpoints):
        if endpoint.front not in fronts:
            raise ConfigError(
                f"endpoints.{index}.front",
                f"found {describe(endpoint.front)}, available: {', '.join(sorted(fronts))}",
            )
        used[endpoint.front] = fronts[endpoint.front]
    return used


async def _ask_for_page(ask: Ask | None, request: PageRequest) -> PageReply:
    """Have the daemon make a page.

    :raises ServiceUnavailable: if it makes none.
    """
    # What a form changes may take longer than a page.
    patience = MAX_PATIENCE if request.method == "POST" else PATIENCE
    asked = None if ask is None else ask(PAGE, msgspec.json.encode(request), patience)
    if asked is None:
        raise ServiceUnavailable("nobody makes pages here", _RETRY_AFTER)
    try:
        return msgspec.json.decode(await asked, type=PageReply)
    except Unanswered as error:
        raise ServiceUnavailable(f"the daemon {error}", _RETRY_AFTER) from None


async def _wait_for(awaitable: Awaitable[None]) -> None:
    await awaitable
