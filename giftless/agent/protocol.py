"""The custom transfer protocol of git-lfs: one JSON message on each line.

``docs/custom-transfers.md`` of git-lfs.  Of an object's actions git-lfs passes
on one; it verifies uploads, and the SHA-256 of downloads, by itself.
"""

from __future__ import annotations

import msgspec


class Action(msgspec.Struct, frozen=True):
    """Where to go.

    :ivar href: a URL.
    :ivar header: headers to send there.
    """

    href: str
    header: dict[str, str] | None = None

    def __repr__(self) -> str:
        """Leave out the headers and the query: they hold tokens and signatures."""
        return f"<Action {self.href.partition('?')[0]}>"


class Init(msgspec.Struct, frozen=True, tag_field="event", tag="init"):
    """The first message.

    :ivar concurrent: whether there may be other agents at the same time.
    :ivar concurrenttransfers: how many, and how many transfers the user wants
        at once (``lfs.concurrenttransfers``).
    """

    concurrent: bool = True
    concurrenttransfers: int = 8


class Upload(msgspec.Struct, frozen=True, tag_field="event", tag="upload"):
    """A request to upload an object.

    :ivar size: in bytes.
    :ivar path: the file that it is in.
    :ivar action: ``None`` if the agent should know by itself where to.
    """

    oid: str
    size: int
    path: str
    action: Action | None = None


class Download(msgspec.Struct, frozen=True, tag_field="event", tag="download"):
    """A request to download an object into a file of the agent's choice."""

    oid: str
    size: int
    action: Action | None = None


class Terminate(msgspec.Struct, frozen=True, tag_field="event", tag="terminate"):
    """The last message."""


Message = Init | Upload | Download | Terminate


class MessageError(ValueError):
    """A line is no message of the protocol."""


_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def parse(line: bytes) -> Message:
    """Read a line.

    :raises MessageError: if it is no message.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"this is no message of git-lfs: {error}") from None


def _line(**members: object) -> bytes:
    return msgspec.json.encode(members) + b"\n"


def ready() -> bytes:
    """Answer the first message."""
    return _line()


def progress(oid: str, so_far: int, since_last: int) -> bytes:
    """Tell how many bytes are transferred, in all and since the last time."""
    return _line(event="progress", oid=oid, bytesSoFar=so_far, bytesSinceLast=since_last)


def uploaded(oid: str) -> bytes:
    """Tell that an upload is complete."""
    return _line(event="complete", oid=oid)


def downloaded(oid: str, path: str) -> bytes:
    """Tell that a download is complete; the file is git-lfs's from now on."""
    return _line(event="complete", oid=oid, path=path)


def failed(oid: str, code: int, message: str) -> bytes:
    """Tell that a transfer has failed."""
    return _line(event="complete", oid=oid, error={"code": code, "message": message})
