"""The program that becomes a worker.

It reads the worker's orders before it imports what serves: by these it knows what to
leave out.
"""

from __future__ import annotations

import os
import sys

from giftless.app import config
from giftless.errors import ConfigError
from giftless.runtime import tls
from giftless.runtime.orders import read_orders
from giftless.runtime.supervision.process import ORDERS

#: How much is read of the orders at once, in bytes: what a pipe holds.
_BLOCK = 65536


def main() -> int:
    """Import what the orders ask for, and obey them.

    :returns: the exit status.
    """
    begun = _read_orders()
    if not _uses_tls(begun):
        tls.leave_out()
    from giftless.runtime.control import serve

    return serve(begun)


def _read_orders() -> bytes:
    """Wait for the first line from the parent; returns it, and what has come behind it.

    It is not whole if the parent is gone.
    """
    begun = bytearray()
    while block := os.read(ORDERS, _BLOCK):
        begun += block
        if b"\n" in block:
            break
    return bytes(begun)


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


if __name__ == "__main__":
    sys.exit(main())
