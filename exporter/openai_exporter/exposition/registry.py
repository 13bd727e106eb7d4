# SPDX-License-Identifier: Apache-2.0
"""The long-lived metrics of `/metrics`, made from the catalogue and kept by prometheus_client."""

import contextlib
import threading
from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from openai_exporter.exposition.labels import clean
from openai_exporter.exposition.negotiation import negotiate
from openai_exporter.metrics import Kind, Metric

_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)

_EXEMPLAR = 128
"""Characters that names and values of an exemplar may have together (OpenMetrics 1.0)."""
_NO_ESCAPES = str.maketrans(dict.fromkeys('"\\'))


class Instruments:
    """The registry of one process; a metric comes into being at its first use. Safe to use from several threads.

    Args:
        process: also export `process_*` and `python_*`.
    """

    def __init__(self, *, process: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()
        if process:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def count(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add to a counter; an amount of 0 makes the series appear."""
        self._of(Counter, metric, labels).inc(amount)

    def set(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Set a gauge."""
        self._of(Gauge, metric, labels).set(value)

    def observe(
        self, metric: Metric, value: float, labels: tuple[str, ...], exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Add an observation to a histogram; an exemplar is cut to the 128 characters that it may have."""
        self._of(Histogram, metric, labels).observe(value, _bounded(exemplar) if exemplar else None)

    def prepare(self, metric: Metric, labels: tuple[str, ...] = ()) -> None:
        """Make a series appear as 0, so that `increase()` sees its first event."""
        found = self._instrument(metric)
        if labels:
            found.labels(*map(clean, labels))

    def forget(self, metric: Metric, labels: tuple[str, ...]) -> None:
        """Take a labelled series off the page, when what it is about is gone; nothing happens when there is none."""
        with contextlib.suppress(KeyError):
            self._instrument(metric).remove(*map(clean, labels))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its Content-Type for an Accept header."""
        chosen = negotiate(accept)
        generate = generate_openmetrics if chosen.openmetrics else generate_latest
        return generate(self._registry), chosen.content_type

    def _of(self, kind: type[_Instrument], metric: Metric, labels: tuple[str, ...]) -> _Instrument:
        found = self._instrument(metric)
        if not isinstance(found, kind):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        return found.labels(*map(clean, labels)) if labels else found

    def _instrument(self, metric: Metric) -> Counter | Gauge | Histogram:
        with self._lock:
            found = self._made.get(metric.name)
            if found is None:
                found = self._made[metric.name] = _make(metric, self._registry)
            return found


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind is Kind.COUNTER:
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind is Kind.GAUGE:
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)


def _bounded(exemplar: Mapping[str, str]) -> dict[str, str]:
    """Ids are plain words; what would need an escape is left out, since not every reader takes one there."""
    kept: dict[str, str] = {}
    room = _EXEMPLAR
    for name, value in exemplar.items():
        room -= len(name)
        if room > 0:
            kept[name] = clean(value).translate(_NO_ESCAPES)[:room]
            room -= len(kept[name])
    return kept
