"""How much clients may send before it is taken from them: their windows, all together.

What a client has sent lies in memory until a worker takes it.  So the windows of all
channels share a budget: one session alone has a large window, for long ways; thousands
have small ones.
"""

from __future__ import annotations

from typing import Final

#: The largest and the smallest window of a channel, in bytes.
LARGEST: Final = 2 * 1024 * 1024
SMALLEST: Final = 64 * 1024

#: The largest window of a channel before anything is taken from it, in bytes: a session that
#: stalls at once never has more.
FIRST: Final = 256 * 1024

#: How much the windows of one connection's channels may be, in bytes.
OF_CONNECTION: Final = 8 * 1024 * 1024

#: The same for all connections of a process.
OF_PROCESS: Final = 128 * 1024 * 1024


class Windows:
    """The windows of all channels of a process.

    :ivar channels: how many there are.
    """

    def __init__(self) -> None:
        self.channels = 0

    def size(self, channels: int) -> int:
        """Return how large a window may be now, in bytes.

        :param channels: how many channels its connection has, at least one.
        """
        share = min(OF_CONNECTION // channels, OF_PROCESS // max(self.channels, 1))
        return max(SMALLEST, min(LARGEST, share))
