"""Become a worker: read its orders, then import what they ask for, and serve.

By the orders it knows what to leave out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from giftless.app import config
from giftless.errors import ConfigError
from giftless.runtime import tls
from giftless.runtime.orders import read_orders
from giftless.runtime.supervision.process import COUNTS, SHARED, read_first_order

if TYPE_CHECKING:
    from giftless.runtime.instance import Instance
    from giftless.runtime.questions import Ask


def work() -> int:
    """Import what the orders ask for, and obey them.

    :returns: the exit status.
    """
    os.set_inheritable(SHARED, False)
    begun = read_first_order()
    if not _uses_tls(begun):
        tls.leave_out()
    from giftless.runtime.control import serve

    return serve(begun, _build)


def _build(line: bytes, reactor: Any, ask: Ask) -> Instance:
    """Build the parts and the fronts of the configuration that the orders bring.

    :raises ConfigError: if it cannot be used.
    """
    from giftless.base.metrics.counts import Counts
    from giftless.base.metrics.slab import Slab
    from giftless.base.shared_table import SharedTable
    from giftless.runtime.instance import Instance

    orders = read_orders(line)
    loaded = config.parse(orders.source, orders.text, os.environ)
    shared, counts = SharedTable(SHARED), Counts(Slab(COUNTS))
    return Instance(loaded, reactor, shared=shared, counts=counts, ask=ask)


def _uses_tls(begun: bytes) -> bool:
    line, end, _ = begun.partition(b"\n")
    if not end:
        return False
    orders = read_orders(line)
    try:
        return tls.uses_tls(config.parse(orders.source, orders.text, os.environ).config)
    except ConfigError:
        # The worker will say so.
        return True
