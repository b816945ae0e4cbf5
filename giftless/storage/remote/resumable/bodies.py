"""Bytes of an upload that are in several places, as one body."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.interfaces import IBody
from giftless.storage.remote import streaming
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.opened_object import RemoteBody
from giftless.storage.remote.resumable.staging import Piece, Staging


@implementer(IBody)
class Joined:
    """Pieces that the store has, and what comes behind them.

    Whoever has made it closes it.

    :param container: has the pieces.
    :param pieces: one behind the other.
    :param rest: comes behind them; ``None`` for nothing.
    """

    def __init__(
        self,
        container: Container,
        staging: Staging,
        pieces: Sequence[Piece],
        rest: IBody | None = None,
    ) -> None:
        self._stored = [
            (RemoteBody(staging.key(piece.name), 0, piece.length, container), piece.length)
            for piece in pieces
        ]
        bodies: list[IBody] = [streaming.Exactly(*each) for each in self._stored]
        self._bodies = [*bodies, *([] if rest is None else [rest])]

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ServiceUnavailable: if the store does not send a piece.
        :raises StoreError: if a piece is shorter or longer than its name says.
        """
        while self._bodies:
            try:
                chunks = await self._bodies[0].read()
            except OSError as error:
                raise StoreError("a piece of an upload is not as long as it was") from error
            if chunks:
                return chunks
            del self._bodies[0]
        return []

    def close(self) -> None:
        """Cut what still runs.  Harmless when repeated."""
        for body, _ in self._stored:
            body.close()
