"""Negotiation: which transfer adapter serves a batch."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.errors import Unprocessable
from giftless.interfaces import Fitness, ITransferAdapter
from giftless.lfs.batch import BatchRequest


class TransferRegistry:
    """The adapters of this server, best first.

    :param adapters: :class:`~giftless.interfaces.ITransferAdapter` providers.
    :raises ValueError: if there are none.
    """

    def __init__(self, adapters: Sequence[ITransferAdapter]) -> None:
        if not adapters:
            raise ValueError("a server needs at least one transfer adapter")
        self._adapters = tuple(adapters)

    def choose(self, request: BatchRequest) -> ITransferAdapter:
        """Pick the first adapter that suits a batch, of those that its client offers.

        The client's order means nothing: it is random.

        :raises Unprocessable: if none can serve it.
        """
        offered = [adapter for adapter in self._adapters if adapter.name in request.transfers]
        fitness = [adapter.fitness(request) for adapter in offered]
        for wanted in (Fitness.GOOD, Fitness.POSSIBLE):
            if wanted in fitness:
                return offered[fitness.index(wanted)]
        names = ", ".join(adapter.name for adapter in self._adapters)
        raise Unprocessable(f"none of the offered transfers can be used; offer one of: {names}")
