"""Build the use cases and the chains of authenticators that all fronts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from giftless.app.backends import Backends
from giftless.app.config import Config
from giftless.app.quotas import build_quotas
from giftless.auth.aliases import Aliased
from giftless.auth.below import Elsewhere
from giftless.auth.chain import AuthChain, in_order
from giftless.auth.guard import Guard
from giftless.auth.rates import Rated, Rates
from giftless.auth.repository_tokens import (
    RepositoryTokenAuthenticator,
    RepositoryTokens,
    RepositoryTokensRefused,
)
from giftless.auth.throttle import Guesses
from giftless.base import schema
from giftless.interfaces import (
    Environment,
    IAnonymous,
    IAuthenticator,
    IBlocking,
    IConfined,
)
from giftless.lfs.objects import Repo
from giftless.monitoring.measuring import MeasuredAuthenticator
from giftless.transfer.registry import TransferRegistry
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from giftless.usecases.locks import LockPolicy, LockService
from giftless.usecases.objects import LFSServer
from giftless.usecases.quotas.promises import Quotas


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases and the authenticators that all fronts share.

    :ivar events: where it is published what has happened.
    :ivar gate: decides who may do what.
    :ivar guarded: identifies who sends a request, as often as anybody likes.
    :ivar counted: the same for requests of which a client may send so many a minute.
    :ivar api: the same for batches, which may come with repository tokens.
    :ivar api_locks: the same for requests about locks.
    :ivar counted_locks: the same for such requests in sessions of SSH.
    :ivar repository_tokens: makes these tokens; ``None`` if nothing is served over SSH.
    :ivar locks: the use cases of locks; ``None`` if there are no locks.
    :ivar quotas: promise room to uploads; ``None`` if there are no quotas.
    """

    events: Events
    gate: Gate
    guarded: IAuthenticator
    counted: IAuthenticator
    counted_locks: IAuthenticator
    api: IAuthenticator
    api_locks: IAuthenticator
    repository_tokens: RepositoryTokens | None
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
    """Build the use cases and the authenticators that all fronts share.

    :param events: where it is published what has happened.
    :raises ConfigError: if the configuration cannot be used.
    """
    places = _places(backends.chain)

    def names_people(repo: Repo) -> bool:
        return places.get(backends.prefixes.of(repo.segments), False)

    gate = Gate(options.access.hide_private, names_people)
    quotas = None
    if backends.quotas is not None:
        quotas = build_quotas(
            backends.quotas, options, environment, backends.store, backends.shared, events
        )
    tokens = None
    if options.ssh.enabled:
        lifetime, clock = max(1, int(options.ssh.token_lifetime)), environment.wall_clock
        tokens = RepositoryTokens(backends.secret, lifetime, clock)
    chain = [*backends.chain]
    if places and "" not in places:
        chain.append(Elsewhere(backends.prefixes.paths))
    guarded, guarded_api = _guards(options, environment, backends, chain, names_people, tokens)
    counted, counted_locks = guarded, guarded
    api, api_locks = guarded_api, guarded_api
    if options.rates.bounded:
        rates = Rates(backends.shared, backends.secret, options.rates, environment.reactor)
        # git-lfs waits where a batch is refused for a while, but a push whose question for
        # locks is refused fails: who has sent many batches may still ask that.
        counted, counted_locks = (Rated(guarded, rates, kind) for kind in ("objects", "locks"))
        api, api_locks = (Rated(guarded_api, rates, kind) for kind in ("objects", "locks"))
    return Services(
        events,
        gate,
        guarded,
        counted,
        counted_locks,
        api,
        api_locks,
        tokens,
        _locks(options, environment, backends, gate, events),
        quotas,
        backends,
        environment.blocking,
        options.limits.object_size,
    )


def _places(chain: Sequence[IAuthenticator]) -> dict[str, bool]:
    """Return below which paths somebody decides, and whether credentials are taken there.

    :returns: by these paths; that of all other repositories is empty.
    """
    places: dict[str, bool] = {}
    for part in chain:
        place = part.path.path if IConfined.providedBy(part) else ""
        places[place] = places.get(place, False) or not IAnonymous.providedBy(part)
    return places


def _guards(
    options: Config,
    environment: Environment,
    backends: Backends,
    authenticators: Sequence[IAuthenticator],
    names_people: Callable[[Repo], bool],
    tokens: RepositoryTokens | None,
) -> tuple[IAuthenticator, IAuthenticator]:
    """Build what identifies everybody, and slows down who guesses.

    :param authenticators: judge them.
    :param names_people: whether any of them takes credentials for a repository.
    :param tokens: reads repository tokens; ``None`` if there are none.
    :returns: what refuses repository tokens, and what takes them.
    """
    access = options.access
    guesses = None
    if access.max_failures:
        guesses = Guesses(backends.shared, backends.secret, access, environment.reactor)
    prefixes = backends.prefixes
    chain: IAuthenticator = AuthChain(in_order(authenticators))
    if options.aliases or backends.space.presence is not None:
        chain = Aliased(chain, options.aliases, backends.space.moved)
    if tokens is None:
        guarded = Guard(chain, guesses, names_people, prefixes)
        return guarded, guarded
    taking: IAuthenticator = RepositoryTokenAuthenticator(tokens, chain)
    if backends.metrics is not None:
        taking = MeasuredAuthenticator(taking, "repository-token", backends.metrics)
    # Nobody else is shown a token of this server.
    refused, taken = (
        Guard(AuthChain([first, chain]), guesses, names_people, prefixes)
        for first in (RepositoryTokensRefused(), taking)
    )
    return refused, taken


def _locks(
    options: Config, environment: Environment, backends: Backends, gate: Gate, events: Events
) -> LockService | None:
    keys = LockPolicy.__struct_fields__
    section = {key: value for key, value in options.locks.items() if key in keys}
    policy = schema.convert(section, LockPolicy, "locks")
    if backends.locks is None:
        return None
    return LockService(backends.locks, gate, policy, environment.wall_clock, events)
