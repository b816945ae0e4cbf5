"""``observers: [{type: webhooks}]``: build the observer and what it consists of."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from twisted.logger import Logger

from giftless.base.database.dialect import Database
from giftless.base.database.migrations import Schema
from giftless.base.database.pool import Pool
from giftless.base.database.postgresql import PostgreSQL
from giftless.base.database.sqlite import SQLite
from giftless.base.dialling import Lookups
from giftless.base.showing import without_quotes
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.interfaces import Environment
from giftless.observers.webhooks.courier import Courier, Limits
from giftless.observers.webhooks.leases import Leases
from giftless.observers.webhooks.observer import Webhooks
from giftless.observers.webhooks.options import WebhooksOptions, targets_of
from giftless.observers.webhooks.outbox import Outbox
from giftless.observers.webhooks.sending import Sender

_log = Logger(namespace="giftless.webhooks")

#: The file's name in the daemon's state directory.
FILE: Final = "webhooks.sqlite"

#: How long anything in the database may take, in seconds.
_TIMEOUT: Final = 10

#: How many connections to PostgreSQL a process opens.
_CONNECTIONS: Final = 2


class WebhooksFactory:
    """Builds webhooks from :class:`WebhooksOptions`."""

    Options = WebhooksOptions

    def build(self, options: WebhooksOptions, environment: Environment) -> Webhooks:
        """See :meth:`giftless.interfaces.IObserverFactory.build`.

        A server of PostgreSQL that does not answer is no reason not to serve objects:
        events wait in memory until it does.

        :raises ConfigError: if the options, or what is in the database, cannot be used.
        """
        clock, wall_clock = environment.reactor, environment.wall_clock
        targets = targets_of(options)
        database, pool = _database(options, environment)
        outbox = Outbox(database, pool, options.max_backlog, clock)
        lookups = Lookups(clock)
        sender = Sender(targets, clock, lookups, wall_clock, options.timeout)
        leases = Leases(outbox, list(targets), clock, wall_clock)
        limits = Limits(options.max_tries, options.max_age)
        couriers = {
            name: Courier(target, outbox, leases, sender, limits, clock, wall_clock)
            for name, target in targets.items()
        }
        journals = _journals(options, environment.state_dir)
        webhooks = Webhooks(targets, outbox, sender, leases, couriers, pool, journals, environment)
        webhooks.setServiceParent(environment.services)
        return webhooks


def _journals(options: WebhooksOptions, state_dir: str) -> str:
    """Return the directory for what is not in an outbox yet: each outbox has its own."""
    place = f"{options.conninfo} {options.path and os.path.abspath(options.path)}"
    return os.path.join(state_dir, "webhooks", hashlib.sha256(place.encode()).hexdigest()[:16])


def _database(options: WebhooksOptions, environment: Environment) -> tuple[Database, Pool]:
    """Open the outbox's database, and bring it up to date."""
    if options.conninfo is None:
        return _sqlite(options.path, environment)
    if options.path is not None:
        raise ConfigError("path", "is set beside 'conninfo'; set one of them")
    database = PostgreSQL(options.conninfo, _TIMEOUT, _schema("postgresql"))
    pool = _pool(database, _CONNECTIONS, environment)
    try:
        pool.prepare()
    except database.errors as error:
        _log.error("events wait in memory for now: {error}", error=without_quotes(error))
    return database, pool


def _sqlite(given: str | None, environment: Environment) -> tuple[Database, Pool]:
    path = given or os.path.join(environment.state_dir, FILE)
    database = SQLite(path, _TIMEOUT, _schema("sqlite"))
    # One at a time: more would only wait for each other.
    pool = _pool(database, 1, environment)
    database.prepare(pool, environment.state_dir if given is None else None)
    return database, pool


def _schema(dialect: str) -> Schema:
    return Schema.load("giftless.observers.webhooks", dialect, "giftless_webhooks_schema")


def _pool(database: Database, size: int, environment: Environment) -> Pool:
    return Pool(
        database,
        size,
        _TIMEOUT,
        environment.blocking,
        environment.reactor,
        "the webhooks",
        _unavailable,
    )


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("the outbox of webhooks cannot be reached now", _TIMEOUT)
