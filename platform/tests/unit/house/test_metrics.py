"""What is counted is told in the form that Prometheus reads; a parser that is not ours reads it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from firmcast.clock import SystemClock
from firmcast.errors import StoreError
from firmcast.metrics import Metrics
from firmcast.platform_metrics import PlatformMetrics


async def told(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return each sample under its name and the values of its labels."""
    text = (await metrics.exposition()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_counts_gauges_and_labels_are_told() -> None:
    metrics = Metrics()
    metrics.count("a", "of something").value += 3
    by_kind = metrics.counts("b", "of something", "kind", "reason")
    by_kind.of("x", "").value += 1
    by_kind.of("x", "").value += 1
    metrics.gauge("c", "of something").read = lambda: 1.5
    metrics.gauges("d", "of something", "who").read = lambda: {"one": 1, 'an "odd"\nname': 2}
    found = await told(metrics)
    assert found["a_total",] == 3
    assert found["b_total", "x", ""] == 2
    assert found["c",] == 1.5
    assert found["d", 'an "odd"\nname'] == 2


async def test_what_is_not_known_is_not_told() -> None:
    metrics = Metrics()
    metrics.gauge("c", "of something")
    assert ("c",) not in await told(metrics)


async def test_the_process_is_told_of() -> None:
    found = await told(Metrics())
    assert found["process_resident_memory_bytes",] > 1 << 20
    assert found["process_open_fds",] > 2


async def test_two_platforms_in_one_process_count_for_themselves() -> None:
    one, other = PlatformMetrics(SystemClock()), PlatformMetrics(SystemClock())
    one.store.commits.value += 1
    assert (await told(one.all))["firmcast_store_commits_total",] == 1
    assert (await told(other.all))["firmcast_store_commits_total",] == 0


def test_a_name_is_declared_once() -> None:
    metrics = Metrics()
    metrics.count("a", "of something")
    with pytest.raises(ValueError, match="a_total is declared already"):
        metrics.counts("a", "of something", "label")


async def test_labels_beyond_the_bound_are_counted_together() -> None:
    metrics = Metrics()
    counts = metrics.counts("b", "of something", "who", most=3)
    for who in "abcdef":
        counts.of(who).value += 1
    counts.of("a").value += 1
    found = await told(metrics)
    assert found["b_total", "a"] == 2
    assert found["b_total", "other"] == 3
    assert sum(name[0] == "b_total" for name in found) == 4


async def test_of_too_many_gauges_the_largest_are_told() -> None:
    metrics = Metrics()
    metrics.gauges("d", "of something", "who", most=2).read = lambda: {str(number): number for number in range(9)}
    assert {name[1] for name in await told(metrics) if name[0] == "d"} == {"7", "8"}


async def test_what_cannot_be_refreshed_is_told_as_it_was() -> None:
    metrics = Metrics()
    metrics.gauge("c", "of something").read = lambda: 7

    async def refresh() -> None:
        raise StoreError("the store is closed")

    metrics.before_telling(refresh)
    assert (await told(metrics))["c",] == 7


@given(st.lists(st.floats(min_value=0, max_value=100)), st.lists(st.floats(0, 100), min_size=1, unique=True))
async def test_a_histogram_counts_what_is_at_most_each_bound(values: list[float], bounds: list[float]) -> None:
    histogram = Metrics().histogram("h", "of something", sorted(bounds))
    for value in values:
        histogram.observe(value)
    *finite, (label, everything) = histogram.buckets()
    assert label == "+Inf"
    assert everything == len(values)
    assert finite == [(str(float(b)), sum(value <= b for value in values)) for b in sorted(bounds)]
    assert histogram.total == pytest.approx(sum(values))
