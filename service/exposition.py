"""The metrics as Prometheus reads them, made anew for every scrape from what all processes keep in Redis."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from jobs.connection import REDIS_AWAY
from jobs.metrics import COUNTERS, HISTOGRAMS, Counter, Histogram, Series
from jobs.metrics_store import MetricsStore, Standing
from jobs.store import Store

log = structlog.stdlib.get_logger("retint.api")


def make_registry(counted: MetricsStore, *, store: Store, at_zero: Mapping[str, float]) -> CollectorRegistry:
    """Of one app: what is global in the client library stays empty.

    `at_zero` are counts, by field, that are shown though nothing was counted yet.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_RedisCollector(counted, at_zero))
    registry.register(_StoreCollector(store))
    return registry


def make_registry_without_redis(store: Store) -> CollectorRegistry:
    """What can be told while Redis is away, and may be told to anybody, as nobody's key can be checked then."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AwayCollector())
    registry.register(_StoreCollector(store))
    return registry


class _AwayCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        yield _build_info()
        yield _redis_up(0)


class _RedisCollector(Collector):
    def __init__(self, store: MetricsStore, at_zero: Mapping[str, float]) -> None:
        self._store = store
        self._at_zero = at_zero

    def collect(self) -> Iterator[Metric]:
        yield _build_info()
        try:
            counts, standing = self._store.counts(), self._store.look()
        except REDIS_AWAY as error:
            log.warning("redis_unavailable", cause=str(error))
            yield _redis_up(0)
            return
        yield _redis_up(1)
        yield from _standing(standing)
        yield from _counts({**self._at_zero, **counts})


class _StoreCollector(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        try:
            free = self._store.free_bytes()
        except OSError as error:
            log.warning("store_unavailable", cause=str(error))
            return
        if free is not None:
            documentation = "Space left where the films are kept; missing where that is object storage."
            yield _gauge("retint_store_free_bytes", documentation, free)


def _build_info() -> Metric:
    info = GaugeMetricFamily("retint_build_info", "What is running; always 1.", labels=("version", "python"))
    info.add_metric((version("retint-service"), platform.python_version()), 1)
    return info


def _redis_up(value: float) -> Metric:
    return _gauge("retint_redis_up", "Whether Redis answers; without it most others are missing.", value)


def _standing(standing: Standing) -> Iterator[Metric]:
    open_jobs = GaugeMetricFamily(
        "retint_open_jobs", "Jobs and searches for keyframes that wait or are worked on.", labels=("status",)
    )
    open_jobs.add_metric(("queued",), standing.queued)
    open_jobs.add_metric(("processing",), standing.processing)
    yield open_jobs
    yield _gauge(
        "retint_oldest_queued_seconds",
        "How long ago the oldest of those that wait was submitted; 0 where none waits.",
        standing.oldest_queued_seconds,
    )
    yield _gauge("retint_workers", "Workers whose heart beats.", standing.workers)
    yield _gauge("retint_api_processes", "API processes that were heard of lately.", standing.api_processes)
    yield _gauge("retint_watchers", "Clients that wait for changes of a job, by events or `wait`.", standing.watchers)
    yield _gauge("retint_webhooks_due", "Webhook events that should be sent by now and are not.", standing.webhooks_due)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _counts(counts: Mapping[str, float]) -> Iterator[Metric]:
    by_name: dict[str, dict[Series, float]] = {}
    for field, amount in counts.items():
        name, *values = field.split(" ")
        by_name.setdefault(name, {})[tuple(values)] = amount
    for counter in COUNTERS:
        yield _counter(counter, by_name.get(counter.name, {}))
    for histogram in HISTOGRAMS:
        yield _histogram(histogram, by_name.get(histogram.name, {}))


def _counter(counter: Counter, found: Mapping[Series, float]) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for series in sorted({*counter.known, *found}):
        family.add_metric(series, found.get(series, 0))
    return family


def _histogram(histogram: Histogram, found: Mapping[Series, float]) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    for series in sorted({series[:-1] for series in found} or ({()} if not histogram.labels else set())):
        own = {key[-1]: amount for key, amount in found.items() if key[:-1] == series}
        total = own.pop("sum", 0.0)
        counted = {name.removeprefix("le="): amount for name, amount in own.items()}
        family.add_metric(series, _cumulative(counted, bounds=histogram.bound_names), sum_value=total)
    return family


def _cumulative(counted: Mapping[str, float], *, bounds: Iterable[str]) -> Sequence[tuple[str, float]]:
    """Buckets as Prometheus has them, each with those below it; bounds of an earlier version keep their counts."""
    names = sorted({*bounds, *counted}, key=float)
    return list(zip(names, accumulate(counted.get(name, 0.0) for name in names), strict=True))
