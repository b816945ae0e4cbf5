"""Render what is counted in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, starmap
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from giftless import __version__
from giftless.base.metrics.counts import OTHER
from giftless.base.metrics.families import Family, Kind
from giftless.base.metrics.tally import Sums
from giftless.interfaces import CacheHoldings, Level
from giftless.monitoring.health import Report, Stored
from giftless.monitoring.scrubbing import ScrubFacts
from giftless.runtime.admin.processes import ended_cpu_seconds, figures_of

#: What the text is.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one kind.

    :ivar states: how many are in each state.
    :ivar pids: their numbers.
    :ivar started: how many have been started.
    :ivar died: how many have failed while they served, or were killed at any time.
    """

    states: Mapping[str, int]
    pids: list[int]
    started: int
    died: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the parent knows itself.

    :ivar workers: the workers.
    :ivar ssh: the processes of the SSH listener, if there have been any.
    :ivar reloads: how many reloads succeeded and failed.
    :ivar report: what was found last of the health; ``None`` if nobody has looked lately.
    """

    workers: Processes
    ssh: Processes
    reloads: Mapping[str, int]
    report: Report | None


class Exposition(Collector):
    """Renders metrics.

    :param sums: returns what workers have counted, as it is now.
    :param facts: returns what the parent knows, as it is now.
    """

    def __init__(self, sums: Callable[[], Sums], facts: Callable[[], Facts]) -> None:
        self._sums = sums
        self._facts = facts
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        # The figures of this process, by the names that they have everywhere.
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Return all metrics as they are at this moment."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        for family, series in self._sums():
            yield _metric(family, series)
        yield from _parent(self._facts())

    def describe(self) -> Iterator[Metric]:
        """Name no family beforehand: workers bring theirs."""
        return iter(())


def _metric(family: Family, series: Mapping[tuple[str, ...], list[float]]) -> Metric:
    others = tuple(OTHER for _ in family.labels)
    told = {
        labels: numbers
        for labels, numbers in series.items()
        if any(numbers) or (labels != others and family.kind is not Kind.HISTOGRAM) or not labels
    }
    names = list(family.labels)
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.words, labels=names)
        bounds = [*map(floatToGoString, family.bounds), "+Inf"]
        for labels, (*counts, total) in told.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric(list(labels), buckets, total)
        return histogram
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(family.name, family.words, labels=names)
    for labels, (number,) in told.items():
        metric.add_metric(list(labels), number)
    return metric


def _parent(facts: Facts) -> Iterator[Metric]:
    build = GaugeMetricFamily(
        "giftless_build_info", "What runs.", labels=["version", "python_version"]
    )
    build.add_metric([__version__, platform.python_version()], 1)
    yield build
    yield from _processes("giftless_workers", "workers", facts.workers)
    if facts.ssh.started:
        yield from _processes("giftless_ssh_processes", "SSH processes", facts.ssh)
    reloads = CounterMetricFamily(
        "giftless_reloads_total", "Reloads of the configuration, by result.", labels=["result"]
    )
    for result, count in facts.reloads.items():
        reloads.add_metric([result], count)
    yield reloads
    # The kernel does not tell apart those that have ended.
    running = figures_of([*facts.workers.pids, *facts.ssh.pids]).cpu_seconds
    yield _counter(
        "giftless_workers_cpu_seconds_total",
        "Processor time of all workers and SSH processes, those that have ended included.",
        running + ended_cpu_seconds(),
    )
    if facts.report is not None:
        yield from _health(facts.report)


def _processes(prefix: str, called: str, processes: Processes) -> Iterator[Metric]:
    states = GaugeMetricFamily(prefix, f"How many {called} there are, by state.", labels=["state"])
    for state, count in processes.states.items():
        states.add_metric([state], count)
    yield states
    yield _counter(f"{prefix}_started_total", f"How many {called} were started.", processes.started)
    yield _counter(
        f"{prefix}_died_total",
        f"How many {called} failed while they served, or were killed at any time.",
        processes.died,
    )
    figures = figures_of(processes.pids)
    yield _gauge(
        f"{prefix}_resident_memory_bytes",
        f"Resident memory of all {called}; what they share counts for each.",
        figures.memory_bytes,
    )
    yield _gauge(
        f"{prefix}_open_fds", f"Open file descriptors of all {called}.", figures.descriptors
    )


def _health(report: Report) -> Iterator[Metric]:
    yield _gauge("giftless_ready", "Whether the last look found everything well.", report.ready)
    parts = GaugeMetricFamily(
        "giftless_part_ready", "Whether the last look found a part well.", labels=["part"]
    )
    for part, problem in report.problems.items():
        parts.add_metric([part], not problem)
    yield parts
    if report.free_bytes is not None:
        yield _gauge(
            "giftless_store_free_bytes", "How much the store may still take.", report.free_bytes
        )
    if report.locks is not None:
        yield _gauge("giftless_locks", "Locks that there are, in all repositories.", report.locks)
    if (stored := report.stored) is not None:
        yield from starmap(_gauge, _stored(stored))
        yield from _quotas(stored.quotas)
    if (scrub := report.scrub) is not None:
        yield from starmap(_gauge, _scrubbed(scrub))
    if report.caches:
        yield from _cached(report.caches)


def _stored(stored: Stored) -> Iterator[tuple[str, str, float]]:
    yield "giftless_stored_objects", "Objects that are stored, in all repositories.", stored.objects
    yield "giftless_stored_bytes", "Their bytes.", stored.size
    yield (
        "giftless_distinct_bytes",
        "Bytes of all objects, those in the trash included, if equal ones count once.",
        stored.distinct_size,
    )
    yield "giftless_trashed_objects", "Objects in the trash.", stored.trashed
    yield "giftless_trashed_bytes", "Their bytes.", stored.trashed_size


def _scrubbed(scrub: ScrubFacts) -> Iterator[tuple[str, str, float]]:
    yield (
        "giftless_scrub_progress_ratio",
        "Which part of the pass that runs is done, from 0 to 1.",
        scrub.progress,
    )
    yield "giftless_scrub_period_seconds", "How long a pass is to take.", scrub.period
    yield (
        "giftless_scrub_due_timestamp_seconds",
        "When the pass that runs is to end.",
        scrub.due_at,
    )
    if scrub.last is not None:
        yield (
            "giftless_scrub_last_pass_timestamp_seconds",
            "When the last pass has come to its end.",
            scrub.last.ended_at,
        )


def _cached(caches: Sequence[CacheHoldings]) -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "giftless_object_cache_held_bytes",
        "Bytes in a cache of objects, with those that are on their way.",
        labels=["path"],
    )
    objects = GaugeMetricFamily(
        "giftless_object_cache_held_objects", "How many objects that is.", labels=["path"]
    )
    limit = GaugeMetricFamily(
        "giftless_object_cache_limit_bytes", "The most bytes that it may hold.", labels=["path"]
    )
    for cache in caches:
        held.add_metric([cache.path], cache.bytes)
        objects.add_metric([cache.path], cache.entries)
        limit.add_metric([cache.path], cache.limit)
    yield from (held, objects, limit)


def _quotas(levels: Sequence[Level]) -> Iterator[Metric]:
    labels = ["owner", "kind"]
    used = GaugeMetricFamily(
        "giftless_quota_used_bytes",
        "What the objects of an organisation or a repository have; of the fullest ones.",
        labels=labels,
    )
    reserved = GaugeMetricFamily(
        "giftless_quota_reserved_bytes", "What is promised to its uploads.", labels=labels
    )
    limit = GaugeMetricFamily("giftless_quota_limit_bytes", "What it may have.", labels=labels)
    for level in levels:
        bound = level.bound
        values = [bound.name, "organisation" if bound.org else "repository"]
        used.add_metric(values, level.used)
        reserved.add_metric(values, level.reserved)
        limit.add_metric(values, bound.limit)
    yield from (used, reserved, limit)


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(name, words, value=value)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=float(value))
