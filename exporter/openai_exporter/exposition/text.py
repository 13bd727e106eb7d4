# SPDX-License-Identifier: Apache-2.0
"""Metric families to exposition text: Prometheus 0.0.4 or OpenMetrics 1.0.

Written for pages of many series that are encoded once and served often; it knows counters and gauges.
The long-lived histograms of `/metrics` stay with prometheus_client.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from openai_exporter.exposition.labels import LabelWriter
from openai_exporter.metrics import Kind, Metric

Sample = tuple[tuple[str, ...], float]

_PIECE = 512
"""Samples encoded at a time: some milliseconds of work."""

_WORDS = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf", "True": "1", "False": "0"}


@dataclass(slots=True)
class Family:
    """Samples of one metric.

    Attributes:
        metric: the catalogue entry, a counter or a gauge.
        samples: (label values in the catalogue's order, value); an empty label value is not exposed.
        lines: `samples` as text, of a family that never changes; empty for all others.
    """

    metric: Metric
    samples: list[Sample] = field(default_factory=list)
    lines: bytes = b""

    def add(self, value: float, *labels: str) -> None:
        """Append one sample.

        Raises:
            ValueError: the number of label values differs from the catalogue's.
        """
        if len(labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} takes the labels {self.metric.labels}, got {labels}")
        self.samples.append((labels, value))


def family(metric: Metric, value: float | None) -> Family:
    """A family of one sample without labels; no sample when the value is None."""
    return Family(metric, [] if value is None else [((), value)])


def fixed(metric: Metric, samples: Sequence[Sample]) -> Family:
    """A family that is written once and stands on many pages; it must not be added to."""
    return Family(metric, list(samples), _lines(metric.name, samples, LabelWriter(metric.labels).write))


def encode(
    families: Iterable[Family], *, openmetrics: bool = False, pause: Callable[[], None] | None = None
) -> bytes:
    """Render families; one without samples is left out whole, several of one metric become one.

    Args:
        pause: called now and then on a long page, so that other threads get their turn.

    Raises:
        ValueError: a sample has more or fewer label values than its metric has labels.
    """
    together: dict[str, list[Family]] = {}
    for each in families:
        if each.samples:
            together.setdefault(each.metric.name, []).append(each)
    pieces: list[bytes] = []
    writers: dict[Sequence[str], LabelWriter] = {}
    for name, group in together.items():
        metric = group[0].metric
        pieces.append(_head(metric, openmetrics))
        write = writers.setdefault(metric.labels, LabelWriter(metric.labels)).write
        for each in group:
            if each.lines:
                pieces.append(each.lines)
                continue
            for start in range(0, len(each.samples), _PIECE):
                pieces.append(_lines(name, each.samples[start : start + _PIECE], write))
                if pause is not None:
                    pause()
    if openmetrics:
        pieces.append(b"# EOF\n")
    return b"".join(pieces)


def _lines(name: str, samples: Sequence[Sample], write: Callable[[tuple[str, ...]], str]) -> bytes:
    return "".join([f"{name}{write(values)}{number(value)}\n" for values, value in samples]).encode()


@cache  # of the catalogue's metrics
def _head(metric: Metric, openmetrics: bool) -> bytes:
    name, text = metric.name, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
        name = name.removesuffix("_total") if metric.kind is Kind.COUNTER else name
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n".encode()


def number(value: float) -> str:
    """A sample value as both formats write it: whole numbers without a fraction, else the shortest exact form."""
    text = repr(value)
    if text[-2:] == ".0":
        return text[:-2]
    return _WORDS.get(text, text)
