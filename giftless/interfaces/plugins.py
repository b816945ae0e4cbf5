"""The kinds of plugins, and how a part is checked before it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from zope.interface import Attribute, Interface

from giftless.interfaces.actions import ActionKind, IActionTokens
from giftless.interfaces.auth import IAuthenticator
from giftless.interfaces.catalogue import ICatalogue
from giftless.interfaces.environment import Environment, IBuilder, IFactory
from giftless.interfaces.events import IObserver
from giftless.interfaces.keyrings import IKeyring
from giftless.interfaces.locks import ILockStore
from giftless.interfaces.storage import IObjectStore
from giftless.interfaces.transfers import ITransferAdapter


class ICheckable(Interface):
    """A part that can tell before it serves, by trying, whether it works.

    ``twistd giftless --check`` asks every part that provides this, nested parts
    too, with a reactor that runs; a normal start does not.
    """

    def check() -> Awaitable[None]:
        """Try what will be needed: reach the server, use the credential.

        :returns: an awaitable that fires if all is well.
        :raises giftless.errors.ConfigError: with the option's name as path, in
            words for whoever wrote the configuration, if it is not.
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


class ICatalogueFactory(IBuilder):
    """Builds a catalogue."""

    def build(options: Any, environment: Environment) -> ICatalogue | None:
        """Build the catalogue; ``None`` for a server without one.

        See :meth:`IBuilder.build`.
        """


class IKeyringFactory(IBuilder):
    """Builds a keyring."""

    def build(options: Any, environment: Environment) -> IKeyring:
        """Build the keyring.  See :meth:`IBuilder.build`."""


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
