"""A plugin file of parts around other parts, as a third party writes it.

Tests copy it into a directory that ``plugin_path`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from giftless.errors import ConfigError
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    IAuthenticatorFactory,
    IBody,
    ICheckable,
    Identity,
    IExternalStore,
    ILockStoreFactory,
    IObserver,
    IObserverFactory,
    IStorageFactory,
    IStoredObject,
    IStreamingStore,
    Payload,
    Section,
)
from giftless.lfs.objects import Action, Extras, ObjectKey, Repo

_log = Logger()


class Recorded(Service):
    """Logs when it starts and stops."""

    def __init__(self, label: str) -> None:
        self.label = label

    def startService(self) -> None:
        super().startService()
        _log.info("{label} starts", label=self.label)

    def stopService(self) -> None:
        super().stopService()
        _log.info("{label} stops", label=self.label)


@implementer(ICheckable)
class Checked:
    """Fails its check if it is called ``unreachable``."""

    def __init__(self, label: str) -> None:
        self.label = label

    async def check(self) -> None:
        if self.label == "unreachable":
            raise ConfigError("bucket", "found 'unreachable', which nobody can reach")


class LeafOptions(msgspec.Struct, frozen=True, kw_only=True):
    bucket: str
    part_size: int = 0
    names: list[str] = []


@implementer(IStreamingStore, IExternalStore)
class SigningStore(Checked):
    """An empty store that can sign and stream."""

    def __init__(self, options: LeafOptions) -> None:
        super().__init__(options.bucket)
        self.options = options

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        return [None for _ in keys]

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        return None

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        while await body.read():
            pass

    async def upload_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool = False
    ) -> Action:
        return Action(f"https://store.example/{key.oid}", {}, lifetime)

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        return Action(f"https://store.example/{key.oid}", {}, lifetime)


@implementer(IPlugin, IStorageFactory)
class SigningFactory:
    name = "gt-signing"
    Options = LeafOptions

    def build(self, options: LeafOptions, environment: Environment) -> SigningStore:
        if options.bucket == "bad":
            raise ConfigError("bucket", "found 'bad', allowed is anything else")
        Recorded(options.bucket).setServiceParent(environment.services)
        return SigningStore(options)


class WrapperOptions(msgspec.Struct, frozen=True, kw_only=True):
    store: Section
    label: str = "wrapper"


@implementer(IStreamingStore)
class WrappingStore(Checked):
    """Streams from and to another store, and does nothing else that it can do."""

    def __init__(self, label: str, inner: Any) -> None:
        super().__init__(label)
        self.inner = inner
        self.sizes = inner.sizes
        self.open = inner.open
        self.put = inner.put


@implementer(IPlugin, IStorageFactory)
class WrapperFactory:
    name = "gt-wrapper"
    Options = WrapperOptions

    def build(self, options: WrapperOptions, environment: Environment) -> WrappingStore:
        inner = environment.parts.build(IStorageFactory, options.store, "store")
        if not IStreamingStore.providedBy(inner):
            raise ConfigError("store", "must be a storage that streams")
        Recorded(options.label).setServiceParent(environment.services)
        return WrappingStore(options.label, inner)


class SeveralOptions(msgspec.Struct, frozen=True, kw_only=True):
    stores: list[Section]


@implementer(IPlugin, IStorageFactory)
class SeveralFactory:
    """Builds several stores and uses the first."""

    name = "gt-several"
    Options = SeveralOptions

    def build(self, options: SeveralOptions, environment: Environment) -> WrappingStore:
        stores = [
            environment.parts.build(IStorageFactory, section, f"stores.{index}")
            for index, section in enumerate(options.stores)
        ]
        return WrappingStore("several", stores[0])


class EitherOptions(msgspec.Struct, frozen=True, kw_only=True):
    either: list[Section]


@implementer(IAuthenticator)
class Either(Checked):
    """Asks several authenticators in order."""

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__("either")
        self.parts = parts

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        for part in self.parts:
            identity: Identity | None = await part.authenticate(credentials, repo)
            if identity is not None:
                return identity
        return None


@implementer(IPlugin, IAuthenticatorFactory)
class EitherFactory:
    name = "gt-either"
    Options = EitherOptions

    def build(self, options: EitherOptions, environment: Environment) -> Either:
        return Either(
            [
                environment.parts.build(IAuthenticatorFactory, section, f"either.{index}")
                for index, section in enumerate(options.either)
            ]
        )


@implementer(IPlugin, ILockStoreFactory)
class LockWrapperFactory:
    """Builds a lock store and returns it as it is."""

    name = "gt-wrapper"
    Options = WrapperOptions

    def build(self, options: WrapperOptions, environment: Environment) -> Any:
        return environment.parts.build(ILockStoreFactory, options.store, "store")


class ObserverOptions(msgspec.Struct, frozen=True, kw_only=True):
    label: str = "observer"
    observer: Section | None = None


@implementer(IObserver)
class Observer(Checked):
    """Passes events on to another, if there is one."""

    def __init__(self, label: str, other: Any) -> None:
        super().__init__(label)
        self.other = other

    def observe(self, event: object) -> None:
        if self.other is not None:
            self.other.observe(event)


@implementer(IPlugin, IObserverFactory)
class ObserverFactory:
    name = "gt-observer"
    Options = ObserverOptions

    def build(self, options: ObserverOptions, environment: Environment) -> Observer:
        other = None
        if options.observer is not None:
            other = environment.parts.build(IObserverFactory, options.observer, "observer")
        return Observer(options.label, other)


signing = SigningFactory()
wrapper = WrapperFactory()
several = SeveralFactory()
either = EitherFactory()
lock_wrapper = LockWrapperFactory()
observer = ObserverFactory()
