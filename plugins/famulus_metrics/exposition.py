"""Metrics written down, as Prometheus's text or as OpenMetrics.

The one module that imports the library, and itself imported only when metrics are first read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from famulus_metrics.figures import Distribution, Read


def written(read: Iterable[Read], accept: str) -> tuple[bytes, str]:
    """All that was read and what the process takes, with the content type of the form asked for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*map(_family, read), *process_metrics()]))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def process_metrics() -> list[Metric]:
    """What the operating system says of this process; nothing where it has no `/proc`."""
    return list(ProcessCollector(registry=None).collect())


class _Once(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _family(read: Read) -> Metric:
    if isinstance(read, Distribution):
        return _histogram(read)
    form = CounterMetricFamily if read.name.endswith("_total") else GaugeMetricFamily
    family = form(read.name, read.help, labels=read.labels)
    for labels, value in read.values.items():
        family.add_metric(labels, value)
    return family


def _histogram(read: Distribution) -> Metric:
    family = HistogramMetricFamily(read.name, read.help, labels=read.labels)
    bounds = [*map(str, read.bounds), "+Inf"]
    for labels, buckets in read.values.items():
        counts = map(float, accumulate(buckets.counts))
        family.add_metric(labels, list(zip(bounds, counts, strict=True)), buckets.sum)
    return family
