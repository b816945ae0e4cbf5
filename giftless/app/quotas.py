"""Build what keeps repositories within their quotas."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.application.service import MultiService

from giftless.app.config import Config
from giftless.base.repeated import Repeated
from giftless.base.shared_table import SharedTable
from giftless.errors import ConfigError
from giftless.interfaces import Environment, ICatalogue, IExternalStore, IObjectStore
from giftless.usecases.events import Events
from giftless.usecases.quotas.budgets import TOLD, Budgets
from giftless.usecases.quotas.keeping import LOOKED, QuotaKeeping
from giftless.usecases.quotas.levels import QuotaLevels
from giftless.usecases.quotas.promises import Lifetimes, Quotas
from giftless.usecases.quotas.rules import QuotaRules
from giftless.usecases.quotas.warnings import QuotaWarnings


@dataclass(frozen=True, slots=True)
class QuotaParts:
    """What quotas consist of before anybody can be told of events.

    :ivar rules: what may be stored and downloaded.
    :ivar catalogue: knows what is.
    :ivar budgets: count downloads; they want to be told of events if there are any.
    :ivar levels: tell who has how much.
    """

    rules: QuotaRules
    catalogue: ICatalogue
    budgets: Budgets
    levels: QuotaLevels


def build_quota_parts(
    options: Config, catalogue: ICatalogue | None, environment: Environment
) -> QuotaParts | None:
    """Build what quotas consist of.

    :param catalogue: knows what is stored; ``None`` if nothing does.
    :returns: ``None`` if the configuration has no quotas.
    :raises ConfigError: if it has some that cannot work.
    """
    section = options.quotas
    if not section.given:
        return None
    rules = QuotaRules(section)
    if catalogue is None:
        raise ConfigError(
            "quotas", "quotas need a catalogue, which counts what is stored (catalogue.type)"
        )
    clock, wall_clock = environment.reactor, environment.wall_clock
    budgets = Budgets(rules, section.period, section.contact, catalogue, clock, wall_clock)
    return QuotaParts(rules, catalogue, budgets, QuotaLevels(rules, catalogue, budgets))


def build_quotas(
    parts: QuotaParts,
    options: Config,
    environment: Environment,
    store: IObjectStore,
    table: SharedTable,
    events: Events,
) -> Quotas:
    """Build what promises room, and what looks after the promises.

    :param table: what all workers count together.
    """
    clock, wall_clock = environment.reactor, environment.wall_clock
    actions, contact = options.actions, options.quotas.contact
    lifetimes = Lifetimes(
        actions.lifetime + actions.leeway,
        actions.multipart_lifetime + actions.leeway,
        IExternalStore.providedBy(store),
    )
    warnings = QuotaWarnings(table, events, clock)
    rules, catalogue = parts.rules, parts.catalogue
    quotas = Quotas(rules, contact, catalogue, store, warnings, lifetimes, wall_clock)
    keeping = QuotaKeeping(quotas, catalogue, store, table, clock, wall_clock)
    services: MultiService = environment.services
    Repeated(keeping.look, LOOKED, clock).setServiceParent(services)
    if rules.budgeted:
        Repeated(parts.budgets.tell, TOLD, clock).setServiceParent(services)
    return quotas
