"""Build a store from options: what is the same for every vendor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from giftless.base.identities import remembered_in
from giftless.base.repeated import Repeated
from giftless.interfaces import Environment
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Container, Layout
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.modes import DirectStore, ProxyStore
from giftless.storage.remote.options import RemoteOptions, checked_prefix
from giftless.storage.remote.resumable.context import context_of
from giftless.storage.remote.resumable.sweeping import LOOKS, Sweeper

Options = TypeVar("Options", bound=RemoteOptions)


class RemoteFactory(ABC, Generic[Options]):
    """Builds the store that ``mode`` asks for; asks no server yet."""

    @abstractmethod
    def container(
        self, options: Options, layout: Layout, client: StoreClient, environment: Environment
    ) -> Container:
        """Build the bucket or container that the options describe.

        :param client: asks it.
        :raises ConfigError: if the options contradict each other.
        """

    def build(self, options: Options, environment: Environment) -> DirectStore | ProxyStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the options contradict each other.
        """
        client = StoreClient(
            environment.http, environment.reactor, options.timeout, options.concurrency
        )
        layout = Layout(checked_prefix(options.prefix))
        container = self.container(options, layout, client, environment)
        remembered = remembered_in(environment.state_dir, container.place)
        identity = StoreIdentity(
            container,
            remembered,
            environment.blocking,
            environment.reactor,
            environment.wall_clock,
        )
        identity.setServiceParent(environment.services)
        context = context_of(environment, container.place, options.resumable_expiry)
        sweeper = Sweeper(container, context, identity)
        repeated = Repeated(sweeper.sweep, sweeper.interval / LOOKS, environment.reactor)
        repeated.setServiceParent(environment.services)
        kind = DirectStore if options.mode == "direct" else ProxyStore
        return kind(container, options.part_size, options.verify_checksum, context, identity)
