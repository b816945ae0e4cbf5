"""Parse the server's answer to the question how to upload an object.

The answer lists the parts of ``multipart-basic``, or tells where a resumable upload goes on.
"""

from __future__ import annotations

import msgspec

from giftless.agent.errors import TransferError
from giftless.agent.protocol import Action


class Step(msgspec.Struct, frozen=True):
    """A request without a body, such as the commit."""

    href: str
    header: dict[str, str] | None = None
    method: str = "POST"

    def __repr__(self) -> str:
        """Leave out the headers and the query: they hold tokens and signatures."""
        return f"<Step {self.href.partition('?')[0]}>"


class Part(msgspec.Struct, frozen=True):
    """A range of the object's file that is missing on the server.

    :ivar pos: the offset of its first byte.
    :ivar size: how many bytes it has; 0: all up to the end.
    :ivar want_digest: ``contentMD5`` if a ``Content-MD5`` header should come
        with it.
    :ivar expires_in: the seconds, counted from the plan's arrival, in which it
        has to begin; 0: unlimited.
    """

    href: str
    header: dict[str, str] | None = None
    pos: int = 0
    size: int = 0
    want_digest: str = ""
    method: str = "PUT"
    expires_in: int = 0

    def __repr__(self) -> str:
        """Leave out the headers and the query: they hold tokens and signatures."""
        return f"<Part of {self.size} at {self.pos}, {self.href.partition('?')[0]}>"


class _Actions(msgspec.Struct, frozen=True):
    parts: list[Part] = []
    commit: Step | None = None
    resume: Action | None = None


class _Answer(msgspec.Struct, frozen=True):
    oid: str
    size: int
    actions: _Actions | None = None


class Plan(msgspec.Struct, frozen=True):
    """The requests that are left to upload an object.

    :ivar parts: what is missing on the server.
    :ivar commit: what makes an object of the parts; ``None`` if nothing has to.
    :ivar resume: where all bytes go instead, in one upload that can be resumed; ``None`` if
        they go in parts.
    """

    parts: list[Part]
    commit: Step | None
    resume: Action | None = None

    @property
    def missing(self) -> int:
        """The number of bytes that have to be sent."""
        return sum(part.size for part in self.parts)


def read_plan(body: bytes, oid: str, size: int) -> Plan | None:
    """Read an answer.

    :param body: JSON.
    :param oid: the object that was asked about.
    :param size: its size in bytes.
    :returns: ``None`` if the server has the object.
    :raises TransferError: if it is no plan for that object.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransferError(f"the server's answer is no list of parts: {error}") from None
    if (answer.oid, answer.size) != (oid, size):
        raise TransferError(f"the server answered for {answer.oid} of {answer.size} bytes")
    if answer.actions is None:
        return None
    actions = answer.actions
    parts = [_within(part, size) for part in actions.parts]
    return Plan(parts, actions.commit, actions.resume)


def _within(part: Part, size: int) -> Part:
    if part.want_digest not in ("", "contentMD5"):
        raise TransferError(
            f"the server wants a digest that is not known here, {part.want_digest};"
            " upgrade giftless-transfer-agent"
        )
    length = part.size or size - part.pos
    if part.pos < 0 or length < 0 or part.pos + length > size:
        raise TransferError("the server asks for bytes that the object does not have")
    return msgspec.structs.replace(part, size=length)
