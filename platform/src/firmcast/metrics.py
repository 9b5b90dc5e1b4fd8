"""What the platform counts of itself, told in the text form that Prometheus reads.

Each part declares what it counts when it is built, on a `Metrics` that it is handed, and then adds to plain attributes:
no lock, no look-up by name. So what is counted once for each delivery costs an addition. There is no registry of the
process: two platforms in one process have one each.

Labels have few values, and a bound on them: what goes beyond is counted under `other`, never dropped.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from firmcast.errors import FirmcastError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

LATENCIES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
"""Bounds in seconds for what takes from a millisecond to an hour."""

OTHER: Final = "other"
_MOST_LABELS: Final = 1000
_log = structlog.get_logger()


class Count:
    """A number that only grows; whoever counts adds to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counts:
    """A number for each combination of some labels' values."""

    __slots__ = ("_by_labels", "_labels", "_most")

    def __init__(self, labels: Sequence[str], most: int) -> None:
        self._labels = tuple(labels)
        self._most = most
        self._by_labels: dict[tuple[str, ...], Count] = {}

    def of(self, *values: str) -> Count:
        """Return the count of these labels' values, the same each time; on a hot path it is looked up beforehand."""
        found = self._by_labels.get(values)
        if found is None:
            if len(self._by_labels) >= self._most:
                values = (OTHER,) * len(self._labels)
            found = self._by_labels.setdefault(values, Count())
        return found

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Count]]:
        return iter(list(self._by_labels.items()))


class Histogram:
    """How often a value was at most each of some bounds."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return how many values were at most each bound, the last of them infinity."""
        counted, shown = 0, []
        for bound, count in zip((*self._bounds, inf), self._counts, strict=True):
            counted += count
            shown.append(("+Inf" if isinf(bound) else str(float(bound)), float(counted)))
        return shown


class Gauge:
    """A number that is read when somebody asks; `read` is set by the part that knows it."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Callable[[], float | None] = lambda: None
        """Returns None for what is not known."""


class Gauges:
    """A number for each value of one label, read when somebody asks."""

    __slots__ = ("most", "read")

    def __init__(self, most: int) -> None:
        self.most = most
        self.read: Callable[[], Mapping[str, float]] = dict
        """Where it returns more than `most`, the largest numbers are told."""


class ReadCounts:
    """Counts that somebody else keeps, one for each value of one label, read when somebody asks."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Callable[[], Mapping[str, int]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is told under one name."""

    name: str
    """As Prometheus knows it: a count ends in `_total`."""
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """Everything that one platform tells of itself."""

    def __init__(self) -> None:
        """Start with what the operating system knows of the process: memory, descriptors, processor time."""
        self._families: list[tuple[Described, Callable[[], Metric]]] = []
        self._refreshments: list[Callable[[], Awaitable[None]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Families(self._families))

    # What a part declares.

    def count(self, name: str, meaning: str) -> Count:
        """Declare a count; `name` is without its `_total`."""
        count = Count()

        def tell() -> Metric:
            return CounterMetricFamily(name, meaning, value=count.value)

        self._declare(f"{name}_total", "counter", (), meaning, tell)
        return count

    def counts(self, name: str, meaning: str, *labels: str, most: int = _MOST_LABELS) -> Counts:
        """Declare a count for each combination of the labels' values, `most` of them."""
        counts = Counts(labels, most)

        def tell() -> Metric:
            family = CounterMetricFamily(name, meaning, labels=labels)
            for values, count in counts:
                family.add_metric(values, count.value)
            return family

        self._declare(f"{name}_total", "counter", labels, meaning, tell)
        return counts

    def read_counts(self, name: str, meaning: str, label: str) -> ReadCounts:
        """Declare counts that are read when they are asked for, one for each of a label's few values."""
        counts = ReadCounts()

        def tell() -> Metric:
            family = CounterMetricFamily(name, meaning, labels=(label,))
            for value, number in counts.read().items():
                family.add_metric((value,), number)
            return family

        self._declare(f"{name}_total", "counter", (label,), meaning, tell)
        return counts

    def histogram(self, name: str, meaning: str, bounds: Sequence[float] = LATENCIES) -> Histogram:
        """Declare a histogram."""
        histogram = Histogram(bounds)

        def tell() -> Metric:
            return HistogramMetricFamily(name, meaning, buckets=histogram.buckets(), sum_value=histogram.total)

        self._declare(name, "histogram", (), meaning, tell)
        return histogram

    def gauge(self, name: str, meaning: str) -> Gauge:
        """Declare a number that is read when it is asked for."""
        gauge = Gauge()

        def tell() -> Metric:
            family = GaugeMetricFamily(name, meaning)
            value = gauge.read()
            if value is not None:
                family.add_metric((), value)
            return family

        self._declare(name, "gauge", (), meaning, tell)
        return gauge

    def gauges(self, name: str, meaning: str, label: str, *, most: int = _MOST_LABELS) -> Gauges:
        """Declare numbers that are read when they are asked for, one for each value of a label."""
        gauges = Gauges(most)

        def tell() -> Metric:
            family = GaugeMetricFamily(name, meaning, labels=(label,))
            for value, number in sorted(gauges.read().items(), key=lambda item: -item[1])[: gauges.most]:
                family.add_metric((value,), number)
            return family

        self._declare(name, "gauge", (label,), meaning, tell)
        return gauges

    def before_telling(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Have `refresh` awaited whenever somebody asks, before anything is read; how often it works is its affair."""
        self._refreshments.append(refresh)

    # What is asked.

    def described(self) -> Iterable[Described]:
        """Return what is told, the process's own aside, in the order in which it was declared."""
        return [described for described, _ in self._families]

    async def exposition(self) -> bytes:
        """Return everything in the text form; what cannot be refreshed is told as it was."""
        for refresh in self._refreshments:
            try:
                await refresh()
            except FirmcastError as error:
                _log.warning("metrics.not_refreshed", error=str(error))
        return generate_latest(self._registry)

    def _declare(self, name: str, kind: str, labels: Sequence[str], meaning: str, tell: Callable[[], Metric]) -> None:
        if any(known.name == name for known, _ in self._families):
            message = f"{name} is declared already"
            raise ValueError(message)
        described = Described(name=name, kind=kind, labels=tuple(labels), meaning=meaning)
        self._families.append((described, tell))


class _Families(Collector):
    """What the library asks when it writes the text."""

    def __init__(self, families: Sequence[tuple[Described, Callable[[], Metric]]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for _, tell in self._families:
            yield tell()
