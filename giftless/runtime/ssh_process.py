"""Become a process that serves SSH: read its orders, then import what they ask for, and serve.

Conch and what it needs are imported here and nowhere else, when the orders have come.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from giftless.runtime import tls
from giftless.runtime.orders import read_ssh_orders
from giftless.runtime.supervision.process import COUNTS, SHARED, read_first_order

if TYPE_CHECKING:
    from giftless.runtime.questions import Ask
    from giftless.runtime.ssh_instance import SSHInstance


def work() -> int:
    """Import what the orders ask for, and obey them.

    :returns: the exit status.
    """
    # What workers count together is none of its business.
    os.close(SHARED)
    begun = read_first_order()
    line, end, _ = begun.partition(b"\n")
    if end and all(map(tls.is_plain, read_ssh_orders(line).endpoints)):
        tls.leave_out()
    from giftless.runtime.control import serve

    return serve(begun, _build)


def _build(line: bytes, reactor: Any, ask: Ask) -> SSHInstance:
    """Build the listener.

    :raises ConfigError: if it cannot serve.
    """
    from giftless.base.metrics.counts import Counts
    from giftless.base.metrics.slab import Slab
    from giftless.runtime.ssh_instance import SSHInstance

    return SSHInstance(read_ssh_orders(line), reactor, Counts(Slab(COUNTS)))
