"""An earlier giftless, to see what a change costs.

``EARLIER_GIFTLESS`` names the ``twistd`` of a virtual environment that it is
installed in, for instance of another checkout: ``/elsewhere/.venv/bin/twistd``.
"""

from __future__ import annotations

import os

from benchmarks.peers.base import output
from benchmarks.peers.giftless import Giftless


class Earlier(Giftless):
    """One worker for each core, like the giftless of this repository.

    :param twistd: runs it.
    """

    name = "earlier"

    def __init__(self, twistd: str) -> None:
        self.twistd = twistd

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        return f"{output(self.twistd, 'giftless', '--version')} at {self.twistd}"


def earlier() -> tuple[Earlier, ...]:
    """Return the earlier giftless, if there is one to compare with."""
    twistd = os.environ.get("EARLIER_GIFTLESS")
    return (Earlier(twistd),) if twistd else ()
