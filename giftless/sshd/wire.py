"""Read the fields of what clients of SSH send, within the bounds of each message."""

from __future__ import annotations

from giftless.base.ssh_wire import Reader
from giftless.sshd.errors import BrokenProtocol


class Fields(Reader):
    """The fields of a message, read one after the other.

    Every method raises :class:`BrokenProtocol` if the message ends before.

    :param data: the message, behind its number.
    """

    def end(self) -> None:
        """Check that nothing follows.

        :raises BrokenProtocol: if something does.
        """
        if not self.ended:
            raise BrokenProtocol("a message is longer than its fields")

    def _take(self, length: int) -> bytes:
        try:
            return super()._take(length)
        except ValueError:
            raise BrokenProtocol("a message ends within a field") from None
