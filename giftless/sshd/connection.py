"""The service that runs behind the login: sessions in channels (RFC 4254), nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.conch.ssh.service import SSHService
from twisted.conch.ssh.transport import DISCONNECT_BY_APPLICATION

from giftless.base.ssh_wire import string, uint32
from giftless.sshd.channel import (
    CLOSE,
    DATA,
    EOF,
    EXTENDED_DATA,
    MIN_DATA,
    REQUEST,
    WINDOW_ADJUST,
    Channel,
    Use,
)
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.transport import ServerTransport
from giftless.sshd.windows import Windows
from giftless.sshd.wire import Fields

#: Numbers of messages (RFC 4250 section 4.1).
_GLOBAL_REQUEST: Final = 80
_REQUEST_FAILURE: Final = 82
_CHANNEL_OPEN: Final = 90
_OPEN_CONFIRMATION: Final = 91
_OPEN_FAILURE: Final = 92

#: Why a channel is not opened (RFC 4254 section 5.1).
_PROHIBITED: Final = 1
_RESOURCE_SHORTAGE: Final = 4


class Connection(SSHService):
    """The channels of one client that has logged in.

    :param use: makes what runs in a channel.
    :param windows: the windows of all channels.
    :param limit: how many channels there may be.
    :ivar channels: those that are open, by their numbers.
    """

    name = b"ssh-connection"
    transport: ServerTransport

    def __init__(self, use: Callable[[Channel], Use], windows: Windows, limit: int) -> None:
        self._make_use = use
        self._windows = windows
        self._limit = limit
        self._next = 0
        self._ending = self._leaving = self._used = False
        self.channels: dict[int, Channel] = {}
        #: Those that have data which is not passed on.
        self._fed: set[Channel] = set()

    @property
    def idle(self) -> bool:
        """Whether no channel is open, though one was."""
        return self._used and not self.channels

    def leave(self) -> None:
        """Close the connection with its last channel, or now if that is over."""
        self._leaving = True
        self._check_over()

    def leave_unused(self) -> None:
        """Close the connection, unless a channel is open or :meth:`leave` does so."""
        if not self._used:
            self.end()

    def end(self) -> None:
        """Open no more channels, and close the connection when none is left."""
        self._ending = self._used = True
        self.leave()

    def serviceStarted(self) -> None:
        """Wait for the client to open channels."""

    def serviceStopped(self) -> None:
        """Close all channels: the connection is lost."""
        for channel in list(self.channels.values()):
            self._forget(channel)
            channel.lost()

    def go_on(self) -> None:
        """Send what waits in the channels."""
        for number in list(self.channels):
            if not self.transport.writable:
                break
            # Behind the others: the first must not have all of the way to the client.
            self.channels[number] = channel = self.channels.pop(number)
            channel.go_on()

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        """Take a message.

        :raises BrokenProtocol: if it is none that a client may send.
        """
        if messageNum == DATA:
            # Not by Fields, which copy: this is what comes most.
            length, data = int.from_bytes(packet[4:8], "big"), packet[8:]
            if length != len(data):
                raise BrokenProtocol("data has another length than it says")
            channel = self._channel_of(packet)
            channel.receive(data)
            self._fed.add(channel)
        elif messageNum == WINDOW_ADJUST:
            self._channel_of(packet).more_room(Fields(packet[4:]).uint32())
        elif messageNum == _GLOBAL_REQUEST:
            fields = Fields(packet)
            fields.string()
            if fields.flag():
                self.transport.sendPacket(_REQUEST_FAILURE, b"")
        elif messageNum == _CHANNEL_OPEN:
            self._open(packet)
        elif messageNum == EXTENDED_DATA:
            fields = Fields(packet[8:])
            self._channel_of(packet).receive(fields.string(), is_error=True)
        elif messageNum == EOF:
            self._channel_of(packet).end_received()
        elif messageNum == CLOSE:
            channel = self._channel_of(packet)
            self._forget(channel)
            channel.close_received()
            self._check_over()
        elif messageNum == REQUEST:
            fields = Fields(packet[4:])
            name, wants_reply, rest = fields.string(), fields.flag(), fields.rest()
            self._channel_of(packet).request(name, wants_reply, rest)
        else:
            raise BrokenProtocol(f"message {messageNum} comes where it does not belong")

    def pass_on(self) -> None:
        """Pass on what came last, that of each channel in one piece."""
        if self._fed:
            fed, self._fed = self._fed, set()
            for channel in fed:
                channel.pass_on()

    def _channel_of(self, packet: bytes) -> Channel:
        channel = self.channels.get(Fields(packet[:4]).uint32())
        if channel is None:
            raise BrokenProtocol("a message is for a channel that is not open")
        return channel

    def _open(self, packet: bytes) -> None:
        fields = Fields(packet)
        kind = fields.string()
        theirs, room, max_data = fields.uint32(), fields.uint32(), fields.uint32()
        if kind != b"session":
            self._refuse(theirs, _PROHIBITED, "only sessions are served here")
        elif self._ending:
            self._refuse(theirs, _RESOURCE_SHORTAGE, "the server is being stopped")
        elif len(self.channels) >= self._limit:
            self._refuse(theirs, _RESOURCE_SHORTAGE, "too many sessions are open")
        elif max_data < MIN_DATA:
            self._refuse(theirs, _RESOURCE_SHORTAGE, "the packets are too small")
        else:
            self._used = True
            self._windows.channels += 1
            number, self._next = self._next, self._next + 1
            channel = Channel(
                *(self.transport, number, theirs, room, max_data),
                lambda: self._windows.size(len(self.channels) or 1),
            )
            self.channels[number] = channel
            confirmation = channel.open(self._make_use(channel))
            self.transport.sendPacket(_OPEN_CONFIRMATION, confirmation)

    def _refuse(self, theirs: int, reason: int, words: str) -> None:
        answer = uint32(theirs) + uint32(reason) + string(words.encode()) + string(b"")
        self.transport.sendPacket(_OPEN_FAILURE, answer)

    def _forget(self, channel: Channel) -> None:
        del self.channels[channel.number]
        self._windows.channels -= 1

    def _check_over(self) -> None:
        if self._leaving and self.idle:
            self.transport.sendDisconnect(DISCONNECT_BY_APPLICATION, b"the server goes away")
