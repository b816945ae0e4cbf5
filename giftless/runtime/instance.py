"""What one process needs to serve a configuration: built, started, and ended well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.interfaces import IListeningPort

from giftless.app import config
from giftless.app.assembly import build_backends, build_site, number_of_workers
from giftless.app.config import Loaded
from giftless.app.plugins import PartBuilder
from giftless.app.selfcheck import run_checks
from giftless.base.concurrency import settle
from giftless.base.http_client import http_client
from giftless.base.threads import Threads
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.runtime.sockets.adopting import adopt
from giftless.runtime.sockets.endpoints import endpoint_path


class Serving:
    """A site, the parts behind it, and the ports in front.

    :param loaded: the configuration.
    :param reactor: the reactor that it runs on.
    :raises ConfigError: if the configuration cannot be used; its text says
        where the value of the key was set.
    """

    def __init__(self, loaded: Loaded, reactor: Any) -> None:
        self._loaded = loaded
        self._reactor = reactor
        options = loaded.config
        # These must outlast connections, so they end last.
        self._threads = Threads(reactor, options.threads)
        self._services = MultiService()
        lent = (reactor, self._threads, http_client(reactor), options.state_dir)
        self._parts = PartBuilder(partial(Environment, *lent, services=self._services))
        try:
            backends = build_backends(options, self._parts)
            self._site = build_site(options, self._parts.environment, backends)
        except ConfigError as error:
            raise self._located(error) from None
        self._ports: list[IListeningPort] = []

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
        options = self._loaded.config
        alone = number_of_workers(options) == 1
        for index, (descriptor, endpoint) in enumerate(
            zip(descriptors, options.endpoints, strict=True)
        ):
            path = endpoint_path(index)
            try:
                port = await adopt(self._reactor, descriptor, endpoint, path, self._site, alone)
            except ConfigError as error:
                raise self._located(error) from None
            self._ports.append(port)

    async def retire(self) -> None:
        """Accept no more connections, and wait until those that there are are over.

        Each is answered as long as it is busy, and asked to end with its next
        response; a silent one ends by the limits that always hold.  So nobody
        notices.
        """
        await self._stop_listening()
        await self._site.retire()

    async def stop(self) -> None:
        """Accept no more connections, let running transfers finish in time, and end."""
        await self._stop_listening()
        await self._site.drain(self._loaded.config.shutdown_timeout)
        await self._services.stopService()
        self._threads.stopService()

    async def _stop_listening(self) -> None:
        ports, self._ports = self._ports, []
        await settle(_stop(port) for port in ports)

    def _located(self, error: ConfigError) -> ConfigError:
        return config.located(error, self._loaded.source, os.environ)


async def _stop(port: IListeningPort) -> None:
    # At once; what it returns says when the descriptor is closed as well.
    stopped = port.stopListening()
    if stopped is not None:
        await stopped
