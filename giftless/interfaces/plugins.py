"""What plugin files provide, and how a part is checked before it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from giftless.interfaces.actions import ActionKind, IActionTokens
from giftless.interfaces.auth import IAuthenticator
from giftless.interfaces.environment import Environment
from giftless.interfaces.events import IObserver
from giftless.interfaces.locks import ILockStore
from giftless.interfaces.storage import IObjectStore
from giftless.interfaces.transfers import ITransferAdapter


class ICheckable(Interface):
    """What can tell beforehand, by trying, whether it is going to work.

    ``twistd giftless --check`` asks every storage backend, lock store, authenticator
    and observer that provides this, with a reactor that runs; a normal start does not.
    """

    def check() -> Awaitable[None]:
        """Try what will be needed: reach the server, use the credential.

        :returns: an awaitable that fires if all is well.
        :raises giftless.errors.ConfigError: with the option's name as path, in
            words for whoever wrote the configuration, if it is not.
        """


class IFactory(IPlugin):
    """What a plugin file provides: a name and how to build something.

    A module in a ``twisted/plugins/`` folder holds instances; they are found
    by :func:`twisted.plugin.getPlugins`.
    """

    name: str = Attribute("What selects it in the configuration: a ``type``, or a transfer.")


class IBuilder(IFactory):
    """A factory of something that a section of the configuration describes."""

    Options: type[msgspec.Struct] = Attribute(
        "A frozen, keyword-only ``msgspec.Struct``: the section's keys beside ``type``."
    )

    def build(options: Any, environment: Environment) -> Any:
        """Build it.

        :param options: an instance of ``Options``.
        :raises giftless.errors.ConfigError: with the option's name as path, if
            the options cannot work.
        """


class IStorageFactory(IBuilder):
    """Builds a storage backend."""

    def build(options: Any, environment: Environment) -> IObjectStore:
        """Build the store.  See :meth:`IBuilder.build`."""


class IAuthenticatorFactory(IBuilder):
    """Builds an authenticator."""

    def build(options: Any, environment: Environment) -> IAuthenticator:
        """Build the authenticator.  See :meth:`IBuilder.build`."""


class ILockStoreFactory(IBuilder):
    """Builds a lock store."""

    def build(options: Any, environment: Environment) -> ILockStore | None:
        """Build the store; ``None`` for a server without locks.

        See :meth:`IBuilder.build`.
        """


class ITransferFactory(IFactory):
    """Offers a transfer adapter for stores that are capable of it."""

    kinds: Sequence[ActionKind] = Attribute(
        "The kinds of action that its adapter makes.  Several factories may name one kind;"
        " two kinds of one name are an error."
    )

    def build(store: IObjectStore, tokens: IActionTokens) -> ITransferAdapter | None:
        """Return an adapter over a store.

        :param store: where objects are; ask for what it can do by its interfaces.
        :param tokens: makes the actions that the daemon answers.
        :returns: ``None`` if the store cannot do it.
        """


class IObserverFactory(IBuilder):
    """Builds an observer of events: one in each worker, and one in the parent, which
    is told nothing.
    """

    def build(options: Any, environment: Environment) -> IObserver:
        """Build the observer.  See :meth:`IBuilder.build`."""
