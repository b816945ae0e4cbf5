"""Ask the disk, and tell clients what they are told when it fails."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from giftless.errors import LFSError
from giftless.interfaces import IBlocking
from giftless.storage.local.disks import Disks
from giftless.storage.local.failures import failed

T = TypeVar("T")

#: Logs what happened, and makes what the client is told.
Failing = Callable[[OSError, str], LFSError]


class Attempts:
    """Calls what asks the disks of a store.

    :param disks: where objects are.
    :param blocking: does everything that touches a disk.
    :param fail: logs what happened, and makes what the client is told, unless another one
        is given for a call.
    """

    def __init__(self, disks: Disks, blocking: IBlocking, fail: Failing = failed) -> None:
        self._disks = disks
        self._blocking = blocking
        self._fail = fail

    async def run(self, doing: str, function: Callable[..., T], *args: Any) -> T:
        """Call what blocks, in a thread: see :meth:`wait`."""
        return await self.wait(doing, self._blocking.run(function, *args))

    async def wait(self, doing: str, work: Awaitable[T], fail: Failing | None = None) -> T:
        """Wait for what asks the disk.

        :param doing: what could not be done if it raises an :class:`OSError`, for the log.
        :param fail: logs that, and makes what the client is told.
        :raises LFSError: what the client is told then.
        """
        try:
            return await work
        except OSError as error:
            raise self.failed(error, doing, fail) from error

    def failed(self, error: OSError, doing: str, fail: Failing | None = None) -> LFSError:
        """Log what happened, and make what the client is told."""
        if error.errno == errno.ESTALE:
            # A server of files knows the descriptors no more; paths may work again.
            for root in self._disks.roots():
                root.drop()
        return (fail or self._fail)(error, doing)
