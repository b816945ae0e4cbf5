"""What all fronts stand on: the use cases, and who tells whom a request comes from."""

from __future__ import annotations

from dataclasses import dataclass

from giftless.app.backends import Backends
from giftless.app.config import Config
from giftless.app.quotas import build_quotas
from giftless.auth.aliases import Aliased
from giftless.auth.chain import AuthChain
from giftless.auth.guard import Guard
from giftless.auth.rates import Rated, Rates
from giftless.auth.throttle import Guesses
from giftless.base import schema
from giftless.interfaces import (
    Environment,
    IAnonymous,
    IAuthenticator,
    IBlocking,
)
from giftless.transfer.registry import TransferRegistry
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from giftless.usecases.locks import LockPolicy, LockService
from giftless.usecases.objects import LFSServer
from giftless.usecases.quotas.promises import Quotas


@dataclass(frozen=True, slots=True)
class Services:
    """What all fronts stand on.

    :ivar events: where it is published what has happened.
    :ivar gate: decides who may do what.
    :ivar guarded: identifies who sends a request, as often as anybody likes.
    :ivar counted: the same for requests of which a client may send so many a minute.
    :ivar counted_locks: the same for requests about locks.
    :ivar locks: the use cases of locks; ``None`` if there are no locks.
    :ivar quotas: promise room to uploads; ``None`` if there are no quotas.
    """

    events: Events
    gate: Gate
    guarded: IAuthenticator
    counted: IAuthenticator
    counted_locks: IAuthenticator
    locks: LockService | None
    quotas: Quotas | None
    _backends: Backends
    _blocking: IBlocking
    _max_object_size: int

    def server(self, transfers: TransferRegistry) -> LFSServer:
        """Return the use cases of objects.

        :param transfers: the ways to move them.
        """
        backends = self._backends
        parts = backends.quotas
        return LFSServer(
            backends.store,
            transfers,
            self._blocking,
            self._max_object_size,
            self.gate,
            self.events,
            quotas=self.quotas,
            budgets=parts.budgets if parts is not None and parts.rules.budgeted else None,
            presence=backends.space.presence,
        )


def build_services(
    options: Config, environment: Environment, backends: Backends, events: Events
) -> Services:
    """Build what all fronts stand on.

    :param events: where it is published what has happened.
    :raises ConfigError: if the configuration cannot be used.
    """
    names_people = not all(IAnonymous.providedBy(part) for part in backends.chain)
    gate = Gate(options.access.hide_private, names_people)
    quotas = None
    if backends.quotas is not None:
        quotas = build_quotas(
            backends.quotas, options, environment, backends.store, backends.shared, events
        )
    guarded = _guard(options, environment, backends, names_people)
    counted: IAuthenticator = guarded
    counted_locks: IAuthenticator = guarded
    if options.rates.bounded:
        rates = Rates(backends.shared, backends.secret, options.rates, environment.reactor)
        counted = Rated(guarded, rates, "objects")
        # git-lfs waits where a batch is refused for a while, but a push whose question for
        # locks is refused fails: who has sent many batches may still ask that.
        counted_locks = Rated(guarded, rates, "locks")
    return Services(
        events,
        gate,
        guarded,
        counted,
        counted_locks,
        _locks(options, environment, backends, gate, events),
        quotas,
        backends,
        environment.blocking,
        options.limits.object_size,
    )


def _guard(
    options: Config, environment: Environment, backends: Backends, names_people: bool
) -> IAuthenticator:
    """Build what identifies everybody, and slows down who guesses."""
    access = options.access
    guesses = None
    if access.max_failures:
        guesses = Guesses(backends.shared, backends.secret, access, environment.reactor)
    # Who shows a credential must meet all who may take it first.
    chain: IAuthenticator = AuthChain(sorted(backends.chain, key=IAnonymous.providedBy))
    if options.aliases or backends.space.presence is not None:
        chain = Aliased(chain, options.aliases, backends.space.moved)
    return Guard(chain, guesses, names_people)


def _locks(
    options: Config, environment: Environment, backends: Backends, gate: Gate, events: Events
) -> LockService | None:
    keys = LockPolicy.__struct_fields__
    section = {key: value for key, value in options.locks.items() if key in keys}
    policy = schema.convert(section, LockPolicy, "locks")
    if backends.locks is None:
        return None
    return LockService(backends.locks, gate, policy, environment.wall_clock, events)
