"""Negotiation: which transfer adapter serves a batch."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.errors import Unprocessable
from giftless.interfaces import ITransferAdapter


class TransferRegistry:
    """The adapters of this server, best first.

    :param adapters: :class:`~giftless.interfaces.ITransferAdapter` providers.
    :raises ValueError: if there are none.
    """

    def __init__(self, adapters: Sequence[ITransferAdapter]) -> None:
        if not adapters:
            raise ValueError("a server needs at least one transfer adapter")
        self._adapters = tuple(adapters)

    def choose(self, offered: Sequence[str]) -> ITransferAdapter:
        """Pick the first adapter that the client offers too.

        The client's order means nothing: it is random.

        :param offered: the names in the batch's ``transfers``.
        :raises Unprocessable: if there is no common one.
        """
        for adapter in self._adapters:
            if adapter.name in offered:
                return adapter
        names = ", ".join(adapter.name for adapter in self._adapters)
        raise Unprocessable(f"none of the offered transfers is supported; offer one of: {names}")
