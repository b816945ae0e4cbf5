"""What has been done lately: the figures of the last seconds, hour and day.

The counters of all workers are read every few seconds; what they have grown by goes to
the step of time that runs then.  Steps are those of a clock that nobody can set.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.metrics.tally import Sums
from giftless.monitoring.overview import CauseCount, Rates, Series, Totals

#: How often the counters are read, in seconds, and how often at most if somebody looks.
INTERVAL: Final = 5.0
SHORTEST: Final = 1.0

#: How many seconds rates are the mean of.
RATE_SECONDS: Final = 10.0

#: The steps of the series: how long one is, in seconds, and how many there are.
HOUR: Final = (60, 60)
DAY: Final = (900, 96)

#: The status of a request whose client has left: neither refused nor an error.
_CLIENT_LEFT: Final = "499"


FIGURES: Final = Totals.__struct_fields__


class History:
    """Reads the counters and remembers how they grew.

    :param sums: returns what workers have counted, as it is now.
    :param clock: tells the time.
    :ivar totals: as they were read last.
    :ivar uploads: how many objects and parts were being stored then.
    """

    def __init__(self, sums: Callable[[], Sums], clock: IReactorTime) -> None:
        self._sums = sums
        self._clock = clock
        self.totals = Totals()
        self.uploads = 0
        self._causes: Counter[str] = Counter()
        self._recent = deque([(clock.seconds(), self.totals)])
        self._hour, self._day = Window(*HOUR), Window(*DAY)
        self._hour_causes, self._day_causes = Window(*HOUR), Window(*DAY)

    def read(self) -> None:
        """Read the counters."""
        now = self._clock.seconds()
        counted: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        for family, series in self._sums():
            count = _COUNTS.get(family.name)
            if count is not None:
                for labels, numbers in series.items():
                    count(dict(zip(family.labels, labels, strict=True)), numbers, counted)
            elif family.name == "giftless_refusals_total":
                for (cause,), (number,) in series.items():
                    causes[cause] = int(number)
        self.uploads = counted.pop("uploads", 0)
        totals = Totals(**counted)
        growth = {name: getattr(totals, name) - getattr(self.totals, name) for name in FIGURES}
        for window in (self._hour, self._day):
            window.add(now, growth)
        for window in (self._hour_causes, self._day_causes):
            window.add(now, causes - self._causes)
        self.totals, self._causes = totals, causes
        self._recent.append((now, totals))
        while len(self._recent) > 1 and self._recent[1][0] <= now - RATE_SECONDS:
            self._recent.popleft()

    def look(self) -> None:
        """Read the counters, unless that was done just now."""
        if self._clock.seconds() - self._recent[-1][0] >= SHORTEST:
            self.read()

    @property
    def rates(self) -> Rates:
        """What was done lately, for each second."""
        (began, before), (ended, after) = self._recent[0], self._recent[-1]
        seconds = max(ended - began, SHORTEST)
        return Rates(
            *((getattr(after, name) - getattr(before, name)) / seconds for name in FIGURES)
        )

    def hour(self, now: float) -> Series:
        """Return the last hour.

        :param now: the time, in seconds since the epoch.
        """
        return self._series(self._hour, now)

    def day(self, now: float) -> Series:
        """Return the last day; see :meth:`hour`."""
        return self._series(self._day, now)

    def causes(self) -> list[CauseCount]:
        """Return why something was refused or failed, the most frequent cause first."""
        now = self._clock.seconds()
        hour, day = self._hour_causes.sums(now), self._day_causes.sums(now)
        counts = [
            CauseCount(cause, hour[cause], day[cause], total)
            for cause, total in self._causes.items()
            if total
        ]
        counts.sort(key=lambda it: (-it.hour, -it.day, -it.total, it.cause))
        return counts

    def _series(self, window: Window, now: float) -> Series:
        steady = self._clock.seconds()
        steps = window.steps(steady)
        until = now + window.step - steady % window.step
        figures = {name: [float(step.get(name, 0)) for step in steps] for name in FIGURES}
        return Series(window.step, until, **figures)


class Window:
    """How much there was of several things, by steps of time.

    :param step: how long a step is, in seconds.
    :param number: how many steps are kept, with the one that runs.
    """

    def __init__(self, step: int, number: int) -> None:
        self.step = step
        self._number = number
        self._steps: dict[int, Counter[str]] = {}

    def add(self, now: float, amounts: Mapping[str, int]) -> None:
        """Add to the step that runs.

        :param now: the time, of a clock that nobody can set.
        """
        running = int(now // self.step)
        if running not in self._steps:
            self._steps[running] = Counter()
            for old in [step for step in self._steps if step <= running - self._number]:
                del self._steps[old]
        self._steps[running].update({name: amount for name, amount in amounts.items() if amount})

    def steps(self, now: float) -> list[Counter[str]]:
        """Return what there was in each step, the oldest first."""
        running = int(now // self.step)
        numbers = range(running - self._number + 1, running + 1)
        return [self._steps.get(number, Counter()) for number in numbers]

    def sums(self, now: float) -> Counter[str]:
        """Return what there was in all steps together."""
        total: Counter[str] = Counter()
        for step in self.steps(now):
            total.update(step)
        return total


#: Adds one series to the figures that it belongs to.
_Count = Callable[[Mapping[str, str], list[float], Counter[str]], None]


def _requests(labels: Mapping[str, str], numbers: list[float], counted: Counter[str]) -> None:
    number, status = int(numbers[0]), labels.get("status", "")
    counted["requests"] += number
    if status.startswith("5"):
        counted["errors"] += number
    elif status.startswith("4") and status != _CLIENT_LEFT:
        counted["refused"] += number


def _bytes(labels: Mapping[str, str], numbers: list[float], counted: Counter[str]) -> None:
    uploaded = labels.get("direction") == "upload"
    counted["uploaded_bytes" if uploaded else "downloaded_bytes"] += int(numbers[0])


def _objects(labels: Mapping[str, str], numbers: list[float], counted: Counter[str]) -> None:
    counted["objects"] += int(numbers[0])


def _uploads(labels: Mapping[str, str], numbers: list[float], counted: Counter[str]) -> None:
    counted["uploads"] += int(numbers[0])


#: What the figures are made of; :mod:`giftless.monitoring.metrics` says what each is.
_COUNTS: Final[Mapping[str, _Count]] = {
    "giftless_http_requests_total": _requests,
    "giftless_transfer_bytes_total": _bytes,
    "giftless_batch_objects_total": _objects,
    "giftless_uploads_in_progress": _uploads,
}
