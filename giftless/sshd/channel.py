"""One channel of a connection: its windows, its ends, and what waits to be sent.

What comes in is counted against the window, and the client gets more room when whoever
takes it has done so.  What goes out waits here until the client has room for it, and
whoever brings it is held up meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from giftless.base.ssh_wire import string, uint32
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.transport import ServerTransport
from giftless.sshd.windows import FIRST

#: The largest window, in bytes (RFC 4254 section 5.2).
_MAX_WINDOW: Final = 2**32 - 1

#: The longest piece of data that is taken in one message, in bytes.
MAX_DATA: Final = 128 * 1024

#: The least that a client must take in one message, in bytes.
MIN_DATA: Final = 256

#: Numbers of messages (RFC 4250 section 4.1).
WINDOW_ADJUST: Final = 93
DATA: Final = 94
EXTENDED_DATA: Final = 95
EOF: Final = 96
CLOSE: Final = 97
REQUEST: Final = 98
REQUEST_SUCCESS: Final = 99
REQUEST_FAILURE: Final = 100

#: The kind of extended data that is standard error.
_STDERR: Final = 1


class Use(Protocol):
    """What runs in a channel."""

    def request(self, name: bytes, rest: bytes) -> Callable[[], None] | None:
        """Look at what the client asks for.

        :returns: what does it, to be called when the client knows; ``None`` to refuse it.
        """

    def received(self, data: bytes) -> None:
        """Take data; :meth:`Channel.taken` is called when it is out of memory."""

    def pass_on(self) -> None:
        """Use what was received: no more comes just now."""

    def ended(self) -> None:
        """Note that no more data comes."""

    def lost(self) -> None:
        """End: the channel is closed."""

    def hold(self) -> None:
        """Bring nothing more to send, until :meth:`go_on`."""

    def go_on(self) -> None:
        """Bring more to send."""


class Channel:
    """A channel that a client has opened.

    :param transport: the connection.
    :param number: its number here.
    :param theirs: its number at the client.
    :param room: how many bytes the client takes.
    :param max_data: how many of these in one message.
    :param window: returns how large its window may be, in bytes.
    :ivar closed: whether it is closed from here.
    """

    def __init__(
        self,
        transport: ServerTransport,
        number: int,
        theirs: int,
        room: int,
        max_data: int,
        window: Callable[[], int],
    ) -> None:
        self._transport = transport
        self.number = number
        self._theirs = uint32(theirs)
        self._room = room
        self._max_data = max_data
        self._window = window
        self._left = min(FIRST, window())
        self._untaken = 0
        self._waiting: deque[tuple[bool, memoryview]] = deque()
        self._held = False
        self._status: int | None = None
        self._heard_end = False
        self.closed = False
        self._use: Use

    def open(self, use: Use) -> bytes:
        """Let something run in it.

        :returns: the rest of the message that confirms that it is open.
        """
        self._use = use
        return self._theirs + uint32(self.number) + uint32(self._left) + uint32(MAX_DATA)

    # -- what the client sends

    def receive(self, data: bytes, is_error: bool = False) -> None:
        """Take data.

        :param is_error: whether it is extended data, which nobody has a use for.
        :raises BrokenProtocol: if it is more than the window allows.
        """
        length = len(data)
        if length > self._left or length > MAX_DATA:
            raise BrokenProtocol("a channel brings more than its window allows")
        self._left -= length
        if self.closed or self._heard_end:
            # It was on its way.  The window stays as it is: there is no use for more.
            return
        self._untaken += length
        if is_error:
            self.taken(length)
        else:
            self._use.received(data)

    def pass_on(self) -> None:
        """Let what was received be used: no more comes just now."""
        if not self.closed:
            self._use.pass_on()

    def taken(self, length: int) -> None:
        """Note that data is out of memory: the client may send as much again.

        :param length: its length in bytes.
        """
        self._untaken -= length
        if self.closed or self._heard_end:
            return
        size = self._window()
        more = size - self._left - self._untaken
        if more >= size // 2:
            self._left += more
            self._transport.sendPacket(WINDOW_ADJUST, self._theirs + uint32(more))

    def end_received(self) -> None:
        """Note that the client sends no more data."""
        if not self._heard_end:
            self._heard_end = True
            if not self.closed:
                self._use.ended()

    def request(self, name: bytes, wants_reply: bool, rest: bytes) -> None:
        """Do what the client asks for, or refuse it."""
        if self.closed:
            return
        act = self._use.request(name, rest)
        if wants_reply:
            number = REQUEST_FAILURE if act is None else REQUEST_SUCCESS
            self._transport.sendPacket(number, self._theirs)
        if act is not None:
            act()

    def more_room(self, length: int) -> None:
        """Note that the client takes so many bytes more.

        :raises BrokenProtocol: if that is more than there can be.
        """
        self._room += length
        if self._room > _MAX_WINDOW:
            raise BrokenProtocol("a window is larger than it can be")
        self.go_on()

    def close_received(self) -> None:
        """Note that the client has closed the channel."""
        self._close()
        self._use.lost()

    def lost(self) -> None:
        """Note that the connection is lost."""
        self.closed = True
        self._waiting.clear()
        self._use.lost()

    # -- what the client is sent

    def write(self, data: bytes, is_error: bool = False) -> None:
        """Send data, as soon as the client takes it.

        :param is_error: whether it is for standard error.
        """
        if data and not self.closed:
            self._waiting.append((is_error, memoryview(data)))
            self._send()

    def finish(self, status: int) -> None:
        """Close it behind what has been written.

        :param status: the exit status of what has run.
        """
        if self._status is None:
            self._status = status
            self._send()

    def go_on(self) -> None:
        """Send what waits: the client takes it again."""
        if not self.closed:
            self._send()

    def _send(self) -> None:
        waiting, transport = self._waiting, self._transport
        while waiting and self._room and transport.writable:
            is_error, data = waiting.popleft()
            length = min(len(data), self._room, self._max_data)
            if length < len(data):
                waiting.appendleft((is_error, data[length:]))
            self._room -= length
            head = self._theirs + uint32(_STDERR) if is_error else self._theirs
            number = EXTENDED_DATA if is_error else DATA
            transport.sendPacket(number, b"".join((head, uint32(length), data[:length])))
        if self._status is not None and not waiting:
            self._finish(self._status)
        elif waiting or not transport.writable:
            if not self._held:
                self._held = True
                self._use.hold()
        elif self._held:
            self._held = False
            self._use.go_on()

    def _finish(self, status: int) -> None:
        if self.closed:
            return
        self._transport.sendPacket(EOF, self._theirs)
        self._transport.sendPacket(
            REQUEST, self._theirs + string(b"exit-status") + b"\0" + uint32(status)
        )
        self._close()

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self._transport.sendPacket(CLOSE, self._theirs)
