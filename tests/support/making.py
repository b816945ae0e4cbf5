"""Short ways to make the values that tests are about."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Collection
from dataclasses import replace
from typing import Any

from treq.client import HTTPClient
from twisted.internet.task import Clock
from twisted.web.client import Agent
from zope.interface import implementer

from giftless.app.plugins import PartBuilder
from giftless.auth.actions import ActionOptions, ActionTokens
from giftless.auth.grants import ADMIN, READ, READ_WRITE, RepoGrants
from giftless.interfaces import (
    CountLookup,
    Environment,
    IActionTokens,
    IBlocking,
    IBody,
    Identity,
    IGrants,
    IObjectStore,
    ITransferAdapter,
    IWritableStore,
    Payload,
    Ticket,
)
from giftless.interfaces.environment import count_nothing
from giftless.lfs.objects import Action, Extras, ObjectKey, Oid, Permission, Repo
from giftless.transfer.basic import BasicFactory
from giftless.transfer.kinds import BUILT_IN
from giftless.transfer.registry import TransferRegistry
from giftless.usecases.authorization import Gate
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.objects import LFSServer
from giftless.usecases.presence import Presence
from giftless.usecases.quotas.budgets import Budgets
from giftless.usecases.quotas.promises import Quotas
from giftless.web.links import Links
from tests.support.blocking import InlineBlocking

#: A secret that is long enough, for tests only.
SECRET = b"a secret that is long enough to sign with"

#: Permits nothing.
NOTHING: frozenset[Permission] = frozenset()


@functools.lru_cache(maxsize=4)
def oid_of(data: bytes) -> Oid:
    """Return the oid of an object's bytes; quick if it was asked for lately."""
    return Oid(hashlib.sha256(data).hexdigest())


def repo_of(path: str = "org/repo") -> Repo:
    """Return the repository at ``path``."""
    return Repo.parse(path.split("/"))


def key_of(data: bytes, path: str = "org/repo") -> ObjectKey:
    """Return the key of the object with these bytes."""
    return ObjectKey(repo_of(path), oid_of(data))


def payload_of(data: bytes) -> Payload:
    """Return what is known beforehand of an object's bytes."""
    return Payload(len(data), oid_of(data))


def put_object(
    store: IWritableStore, key: ObjectKey, length: int | None, body: IBody, extras: Extras
) -> Awaitable[None]:
    """Store an object whose bytes are those that its oid names."""
    stored: Awaitable[None] = store.put(key, Payload(length, key.oid), body, extras)
    return stored


def reader(name: str = "rita") -> Identity:
    """Return somebody who may read everything."""
    return Identity(name, RepoGrants(READ))


def writer(name: str = "will") -> Identity:
    """Return somebody who may read and write everything."""
    return Identity(name, RepoGrants(READ_WRITE))


def admin(name: str = "ada") -> Identity:
    """Return somebody who may do everything."""
    return Identity(name, RepoGrants(ADMIN))


def stranger(anonymous: bool = True, name: str = "nobody") -> Identity:
    """Return somebody who may do nothing."""
    return Identity(name, RepoGrants(NOTHING), anonymous=anonymous)


@implementer(IGrants)
class SomeObjects:
    """Everything is permitted, but on some objects only."""

    def __init__(self, oids: Collection[str]) -> None:
        self._oids = frozenset(oids)

    def allows(self, permission: Permission, oid: Oid | None) -> bool:
        """See :meth:`giftless.interfaces.IGrants.allows`."""
        return oid in self._oids


def partial(*oids: str, name: str = "paula") -> Identity:
    """Return somebody who may do everything with some objects, nothing with the rest."""
    return Identity(name, SomeObjects(oids))


def uploader(size: int, extras: Extras | None = None, operation: str = "upload") -> Identity:
    """Return somebody who comes with a token of a batch reply."""
    return Identity("ursula", RepoGrants(READ_WRITE), ticket=Ticket(operation, size, extras or {}))


def links_of(path: str = "org/repo", base: str = "https://lfs.example") -> Links:
    """Return the URLs of a repository's endpoints."""
    return Links(base, path.split("/"))


def action_tokens(clock: Clock | None = None, **options: Any) -> ActionTokens:
    """Return what makes and takes the tokens of actions."""
    return ActionTokens(SECRET, ActionOptions(**options), BUILT_IN, (clock or Clock()).seconds)


def action_of(
    tokens: IActionTokens,
    ticket: Ticket,
    key: ObjectKey,
    href: str = "http://lfs.example/",
    identity: Identity | None = None,
) -> Action:
    """Make one action."""
    (kind,) = (kind for kind in BUILT_IN if kind.name == ticket.kind)
    signer = tokens.signer(kind, key.repo, identity or writer())
    action: Action = signer.action(key.oid, href, ticket.size, ticket.extras, ticket.upload)
    return action


def server_of(
    store: IObjectStore,
    *adapters: ITransferAdapter,
    blocking: IBlocking | None = None,
    max_object_size: int = 1024**4,
    hide_private: bool = False,
    events: Events = NO_EVENTS,
    quotas: Quotas | None = None,
    budgets: Budgets | None = None,
    presence: Presence | None = None,
) -> LFSServer:
    """Return a server over ``store``, with the basic transfer unless others are given."""
    if not adapters:
        basic = BasicFactory().build(store, action_tokens())
        assert basic is not None
        adapters = (basic,)
    return LFSServer(
        store,
        TransferRegistry(adapters),
        blocking or InlineBlocking(),
        max_object_size,
        Gate(hide_private),
        events,
        quotas,
        budgets,
        presence,
    )


def part_builder(
    state_dir: str = "",
    reactor: Any = None,
    blocking: IBlocking | None = None,
    http: HTTPClient | None = None,
) -> PartBuilder:
    """Return what builds parts, without a reactor that runs unless one is given."""
    clock = reactor or Clock()
    client = http or HTTPClient(Agent(clock))
    lent = (clock, blocking or InlineBlocking(), lambda: client, state_dir)
    return PartBuilder(functools.partial(Environment, *lent, wall_clock=clock.seconds))


def environment(
    state_dir: str = "",
    reactor: Any = None,
    blocking: IBlocking | None = None,
    http: HTTPClient | None = None,
    count_lookup: CountLookup = count_nothing,
) -> Environment:
    """Return what a plugin's factory is given, without a reactor that runs unless one is given."""
    lent = part_builder(state_dir, reactor, blocking, http).environment
    return replace(lent, count_lookup=count_lookup)
