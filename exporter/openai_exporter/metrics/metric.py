# SPDX-License-Identifier: Apache-2.0
"""What a catalogue entry is."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType


class Kind(StrEnum):
    """Prometheus metric types that the exporter uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Page(StrEnum):
    """The HTTP path that exposes a metric."""

    PROBE = "/probe"
    USAGE = "/usage"
    STATUS = "/status"
    METRICS = "/metrics"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the contract.

    Attributes:
        name: full name as exposed (counters end in `_total`).
        kind: its Prometheus type.
        page: the path that exposes it.
        help: one sentence; names the API field it comes from, and any caching.
        labels: label names in the order of the values.
        buckets: upper bounds in the metric's unit, histograms only.
    """

    name: str
    kind: Kind
    page: Page
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def metrics_of(module: ModuleType) -> Iterator[Metric]:
    """Yield the metrics that a module defines, in source order."""
    for value in vars(module).values():
        if isinstance(value, Metric):
            yield value
