"""Read what was counted."""

from __future__ import annotations

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.monitoring.metrics import Metrics


class Counted:
    """The metrics of one process.

    :ivar metrics: what it counts with.
    """

    def __init__(self) -> None:
        self._tally = Tally()
        counted = self._tally.open()
        self.metrics = Metrics(Counts(Slab(counted.descriptor)))
        counted.close()

    def of(self, name: str) -> dict[tuple[str, ...], list[float]]:
        """Return the series of a family that are not 0, by the values of their labels."""
        for family, series in self._tally.sums():
            if family.name == name:
                return {labels: numbers for labels, numbers in series.items() if any(numbers)}
        raise AssertionError(f"nothing is called {name}")

    def totals(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the numbers of a counter or a gauge that are not 0."""
        return {labels: number for labels, (number,) in self.of(name).items()}
