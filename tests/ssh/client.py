"""git-lfs's side of a session, and a client of the Unix socket that opens sessions.

Both have blocking sockets: use them in a thread.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Self, TypeVar

import msgspec

from giftless.base.ssh_greeting import Admitted, Greeting, Session
from giftless.lfs.ssh.pkt_lines import DELIM, FLUSH, header, text_packet
from tests.support.making import oid_of

T = TypeVar("T")

#: Who asks, unless a test says otherwise, and what vouches for them.
USER = "will"
REALM = "basic"

#: The client's address.
ADDRESS = "198.51.100.7"


class Ended(Exception):
    """The server has closed the connection."""


class Reply(msgspec.Struct, frozen=True):
    """A reply.

    :ivar arguments: its lines in front of the delim.
    :ivar lines: its packets behind that; ``None`` if there is no delim.
    """

    status: int
    arguments: Sequence[str]
    lines: Sequence[bytes] | None = None

    @property
    def texts(self) -> list[str]:
        """The lines behind the delim as text."""
        return [line.decode().removesuffix("\n") for line in self.lines or ()]

    @property
    def data(self) -> bytes:
        """The bytes behind the delim."""
        return b"".join(self.lines or ())


def request(
    command: str, arguments: Iterable[str] = (), lines: Iterable[str] | None = None
) -> bytes:
    """Return a request as it is sent.

    :param lines: those behind the delim; ``None`` for no delim.
    """
    packets = [command, *arguments]
    sent = b"".join(map(text_packet, packets))
    if lines is not None:
        sent += DELIM + b"".join(map(text_packet, lines))
    return sent + FLUSH


def put_request(data: bytes, oid: str = "", size: int | None = None, packet: int = 32768) -> bytes:
    """Return the request that uploads an object.

    :param packet: how many bytes each packet has.
    """
    said = len(data) if size is None else size
    head = text_packet(f"put-object {oid or oid_of(data)}") + text_packet(f"size={said}")
    return head + DELIM + framed(data, packet) + FLUSH


def get_request(data: bytes) -> bytes:
    """Return the request that downloads the object that has these bytes."""
    return request(f"get-object {oid_of(data)}", [f"size={len(data)}"])


def framed(data: bytes, packet: int = 32768) -> bytes:
    """Return bytes as packets."""
    pieces = (data[start : start + packet] for start in range(0, len(data), packet))
    return b"".join(header(len(piece)) + piece for piece in pieces)


class Conversation:
    """Requests and replies over a connection.

    :param connection: the connection; it is closed at the end.
    :param timeout: how long it may take to send or to receive something, in seconds.
    """

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self.socket = connection
        self.socket.settimeout(timeout)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away."""
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def packet(self) -> bytes | int:
        """Read a packet; return its payload, or 0 for a flush and 1 for a delim.

        :raises Ended: if there is no more.
        """
        digits = self._file.read(4)
        if len(digits) < 4:
            raise Ended
        length = int(digits, 16)
        if length < 4:
            return length
        payload = self._file.read(length - 4)
        if len(payload) < length - 4:
            raise Ended
        return payload

    def texts(self) -> list[str]:
        """Read lines of text, until a flush."""
        lines = []
        while (packet := self.packet()) != 0:
            assert isinstance(packet, bytes)
            lines.append(packet.decode().removesuffix("\n"))
        return lines

    def reply(self) -> Reply:
        """Read a reply.

        :raises Ended: if it does not come, or not whole.
        """
        heads: list[str] = []
        lines: list[bytes] | None = None
        while (packet := self.packet()) != 0:
            if isinstance(packet, int):
                lines = []
            elif lines is None:
                heads.append(packet.decode().removesuffix("\n"))
            else:
                lines.append(packet)
        word, status = heads[0].split(" ")
        assert word == "status"
        return Reply(int(status), heads[1:], lines)

    def command(
        self, command: str, arguments: Iterable[str] = (), lines: Iterable[str] | None = None
    ) -> Reply:
        """Send a request and return the reply."""
        self.send(request(command, arguments, lines))
        return self.reply()

    def batch(self, *objects: bytes, arguments: Iterable[str] = ("transfer=ssh",)) -> Reply:
        """Ask what to do with objects."""
        lines = [f"{oid_of(data)} {len(data)}" for data in objects]
        return self.command("batch", arguments, lines)

    def put(self, data: bytes, **options: object) -> Reply:
        """Upload an object; see :func:`put_request`."""
        self.send(put_request(data, **options))  # type: ignore[arg-type]
        return self.reply()

    def get(self, data: bytes) -> Reply:
        """Download the object that has these bytes."""
        self.send(get_request(data))
        return self.reply()

    def rest(self) -> bytes:
        """Read until the server closes."""
        return self._file.read()


class Line(Conversation):
    """A connection to the Unix socket."""

    def __init__(self, path: str, timeout: float = 60) -> None:
        connection = socket.socket(socket.AF_UNIX)
        super().__init__(connection, timeout)
        connection.connect(path)

    def ask(self, greeting: Greeting, kind: type[T]) -> T:
        """Send the first line, and return the answer to it.

        :raises Ended: if there is none.
        """
        self.send(msgspec.json.encode(greeting) + b"\n")
        line = self._file.readline()
        if not line:
            raise Ended
        return msgspec.json.decode(line, type=kind)

    def open(self, operation: str = "upload", repo: str = "org/repo", user: str = USER) -> Line:
        """Open a session, and read what the server says first."""
        admitted = self.admit(f"git-lfs-transfer {repo} {operation}", user)
        assert admitted.open, admitted
        assert self.texts() == ["version=1", "locking"]
        return self

    def admit(self, command: str, user: str = USER, address: str = ADDRESS) -> Admitted:
        """Ask for a session."""
        return self.ask(Session(user, REALM, command, address), Admitted)
