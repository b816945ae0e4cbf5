"""Bodies: those that are checked while bytes stream past, and those that arrive."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.errors import PayloadTooLarge, WrongBody
from giftless.interfaces import IBlocking, IBody

#: Chunks smaller than this together, in bytes, are hashed where they are:
#: handing them to a thread costs more than the hash.
INLINE_HASH_BYTES: Final = 32 * 1024

#: Chunks that arrive one after the other become one if they have at most so many
#: bytes together.
MERGED_BYTES: Final = 4096


@implementer(IBody)
class CheckedBody:
    """A body that only ends well if it has the right length and digest.

    The end of the body is reported only after both are known to be right, so
    nobody can keep anything else.  Chunks are hashed in a thread while they
    are written in another.

    :param body: the bytes as they arrive.
    :param size: how many there must be; ``None`` if that is not known.
    :param limit: how many there may be at most.
    :param digest: an object of :mod:`hashlib` that takes them; ``None`` if
        nothing is to be hashed.
    :param blocking: does the hashing.
    """

    def __init__(
        self,
        body: IBody,
        size: int | None,
        limit: int,
        digest: Any,
        blocking: IBlocking,
    ) -> None:
        self._body = body
        self._size = size
        self._limit = limit if size is None else size
        self._blocking = blocking
        self._digest = digest
        self._received = 0
        self._hashing: Awaitable[None] | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises WrongBody: if length or digest are wrong.
        :raises PayloadTooLarge: if the body exceeds the limit.
        """
        # One batch of chunks is hashed at a time: it bounds the memory.
        await self._hashed()
        chunks = await self._body.read()
        if chunks:
            self._count(chunks)
            self._hash(chunks)
        else:
            self._check_length()
            self.check_digest()
        return chunks

    @property
    def received(self) -> int:
        """How many bytes have been read so far."""
        return self._received

    def check_digest(self) -> None:
        """Compare the digest of all bytes.

        :raises WrongBody: if it is not the right one.
        """
        raise NotImplementedError

    async def _hashed(self) -> None:
        if self._hashing is not None:
            running, self._hashing = self._hashing, None
            await running

    def _count(self, chunks: Sequence[bytes]) -> None:
        self._received += sum(map(len, chunks))
        if self._received > self._limit:
            if self._size is None:
                raise PayloadTooLarge(f"this server takes objects of up to {self._limit} bytes")
            raise WrongBody(f"the body has more than the {self._size} bytes announced for it")

    def _hash(self, chunks: Sequence[bytes]) -> None:
        if self._digest is None:
            return
        if sum(map(len, chunks)) < INLINE_HASH_BYTES:
            self._update(chunks)
        else:
            self._hashing = self._blocking.run(self._update, chunks)

    def _update(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._digest.update(chunk)

    def _check_length(self) -> None:
        if self._size is not None and self._received != self._size:
            raise WrongBody(
                f"the body has {self._received} bytes instead of the {self._size} announced"
                " for it; nothing was stored"
            )


class VerifiedBody(CheckedBody):
    """A body that only ends well if its SHA-256 is the expected one.

    :param sha256: what it must be, in hexadecimal, such as an object's oid;
        ``None`` if that is not known, and only the length can be checked.
    """

    def __init__(
        self, body: IBody, sha256: str | None, size: int | None, limit: int, blocking: IBlocking
    ) -> None:
        digest = None if sha256 is None else hashlib.sha256()
        super().__init__(body, size, limit, digest, blocking)
        self._sha256 = sha256

    def check_digest(self) -> None:
        """See :meth:`CheckedBody.check_digest`."""
        if self._sha256 is not None and self._digest.hexdigest() != self._sha256:
            raise WrongBody(
                f"the body's SHA-256 is {self._digest.hexdigest()}, not {self._sha256};"
                " nothing was stored"
            )


class PartBody(CheckedBody):
    """The body of a part: of a certain length, and perhaps with a digest.

    :param size: how many bytes it must have.
    :param md5: what their MD5 must be; ``None`` if the client does not say.
    """

    def __init__(self, body: IBody, size: int, md5: bytes | None, blocking: IBlocking) -> None:
        digest = None if md5 is None else hashlib.md5(usedforsecurity=False)
        super().__init__(body, size, size, digest, blocking)
        self._md5 = md5

    def check_digest(self) -> None:
        """See :meth:`CheckedBody.check_digest`."""
        if self._md5 is not None and self._digest.digest() != self._md5:
            raise WrongBody("the part's MD5 is not its Content-MD5; send the part again")


@implementer(IBody)
class Resumed:
    """A body of which some has been read already.

    :param begun: what has been read, in order; none of it is empty.
    :param rest: the body.
    """

    def __init__(self, begun: Sequence[Sequence[bytes]], rest: IBody) -> None:
        self._begun = list(reversed(begun))
        self._rest = rest

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        return self._begun.pop() if self._begun else await self._rest.read()


class ArrivingBody:
    """What has arrived of a body and waits for its reader.

    Where bytes come from, when the sender is held up, and when waiting is worth
    it is up to those who inherit.

    :ivar paused: whether the sender is being held up now.
    :ivar received: how many bytes have arrived.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        #: How many bytes wait.
        self._waiting = 0
        self._reader: Deferred[None] | None = None
        self._failure: Exception | None = None
        self.paused = False
        self.received = 0

    def _add(self, data: bytes) -> None:
        """Let bytes wait for the reader."""
        self.received += len(data)
        self._waiting += len(data)
        # A chunk takes more memory than its bytes, and senders choose how long it is.
        if self._chunks and len(self._chunks[-1]) + len(data) <= MERGED_BYTES:
            self._chunks[-1] += data
        else:
            self._chunks.append(data)

    def _take(self) -> Sequence[bytes]:
        """Return all that waits."""
        chunks, self._chunks, self._waiting = self._chunks, [], 0
        return chunks

    def _arrival(self) -> Deferred[None]:
        """Return what fires when the reader is woken."""
        self._reader = Deferred()
        return self._reader

    def _wake(self) -> None:
        """Wake the reader, if it waits."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            # One that has been cancelled waits no more.
            if not reader.called:
                reader.callback(None)


async def collect(body: IBody, limit: int) -> bytes:
    """Read a whole small body.

    :param limit: the most bytes that it may have.
    :raises PayloadTooLarge: if it has more.
    """
    parts: list[bytes] = []
    length = 0
    while chunks := await body.read():
        length += sum(map(len, chunks))
        if length > limit:
            raise PayloadTooLarge(f"the body of this request may have at most {limit} bytes")
        parts.extend(chunks)
    return b"".join(parts)


def take_most(waiting: deque[bytes], most: int) -> Sequence[bytes]:
    """Take bytes from the front of a queue of chunks.

    :param most: how many at most.
    :returns: chunks in order; the last one may be a part of what it was.
    """
    taken: list[bytes] = []
    while waiting and most:
        chunk = waiting.popleft()
        if len(chunk) > most:
            waiting.appendleft(chunk[most:])
            chunk = chunk[:most]
        taken.append(chunk)
        most -= len(chunk)
    return taken
