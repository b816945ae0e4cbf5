"""Bytes that are received or read, with back-pressure."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from zope.interface import Interface


class IBody(Interface):
    """A stream of bytes that is being received, with back-pressure.

    The sender is held up while nobody reads, so a body costs constant memory.
    """

    def read() -> Awaitable[Sequence[bytes]]:
        """Wait for bytes and take all that have arrived since the last call.

        :returns: an awaitable of chunks in order; an empty sequence at the end
            of the body, and only there.
        :raises giftless.errors.Disconnected: if the sender went away.
        :raises giftless.errors.LFSError: if the bytes are not acceptable, for
            instance not those that the oid names.  What was read before must
            then never become visible.
        """


class IInterruptible(IBody):
    """A body of which nothing is lost that has come, however it ends.

    What :meth:`IBody.read` raises when the sender went away, or was too slow, it raises only
    after it has returned all that had come before.
    """

    def interrupt(error: Exception) -> None:
        """End the body: the reader gets what has come, and then ``error``.

        Harmless if all of the body has come.
        """
