# SPDX-License-Identifier: Apache-2.0
"""From metric families to the bytes of a scrape; the only module that knows prometheus_client."""

import contextlib
import gzip
import hashlib
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeVar

import prometheus_client as prometheus
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from openai_exporter.metrics import Kind, Metric

# Label values come from foreign servers and from people; what they hold must break neither a scrape nor a dashboard.

MAX_LABEL_VALUE = 256
"""Characters of a label value; longer ones come from a misbehaving server."""

_DIGEST = 12
_UNKNOWN = "\ufffd"
_SHOWN = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
_DIRECTIONS = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def clean(value: str) -> str:
    """A label value of at most `MAX_LABEL_VALUE` characters, on one line.

    Control characters become their Unicode pictures (a newline `␊`), what has none becomes U+FFFD. A value that is
    cut ends in a digest of the whole, so that two long ones stay two series.
    """
    if len(value) > MAX_LABEL_VALUE:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        value = f"{value[: MAX_LABEL_VALUE - _DIGEST - 1]}…{digest}"
    if value.isprintable():
        return value
    return "".join(char if char.isprintable() else _visible(char) for char in value)


def _visible(char: str) -> str:
    code = ord(char)
    if code in _SHOWN:
        return chr(_SHOWN[code])
    broken = code in _DIRECTIONS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    return _UNKNOWN if broken else char


@lru_cache(1024)  # responses of probes are small, many, and full of the same words
def escape(value: str) -> str:
    """A label value, cleaned, as it stands between quotes."""
    return clean(value).replace("\\", r"\\").replace('"', r"\"")


class LabelWriter:
    """Writes label sets of one list of names; remembers what it wrote, as the same values come again and again."""

    __slots__ = ("_known", "_written")

    def __init__(self, names: Sequence[str]) -> None:
        self._known: list[tuple[str, dict[str, str]]] = [(f'{name}="', {"": ""}) for name in names]
        self._written: dict[Sequence[str], str] = {}

    def write(self, values: Sequence[str]) -> str:
        """`{a="x",b="y"} ` of the values that are not empty, or one space: what stands before the number."""
        written = self._written.get(values)
        if written is not None:
            return written
        pairs = []
        for (prefix, known), value in zip(self._known, values, strict=True):
            pair = known.get(value)
            if pair is None:
                pair = known[value] = f'{prefix}{escape(value)}"'
            if pair:
                pairs.append(pair)
        written = self._written[values] = f"{{{','.join(pairs)}}} " if pairs else " "
        return written


# Families of counters and gauges to Prometheus text 0.0.4 or OpenMetrics 1.0, many series fast.
# The long-lived histograms of `/metrics` stay with prometheus_client.

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


def encode(families: Iterable[Family], *, openmetrics: bool = False, pause: Callable[[], None] | None = None) -> bytes:
    """Render families; one without samples is left out whole, several of one metric become one.

    Args:
        pause: called now and then on a long page, so that other threads get their turn.

    Raises:
        ValueError: a sample has more or fewer label values than its metric has labels.
    """
    together: dict[str, list[Family]] = {}
    for entry in families:
        if entry.samples:
            together.setdefault(entry.metric.name, []).append(entry)
    pieces: list[bytes] = []
    writers: dict[Sequence[str], LabelWriter] = {}
    for name, group in together.items():
        metric = group[0].metric
        pieces.append(_head(metric, openmetrics))
        if metric.labels not in writers:
            writers[metric.labels] = LabelWriter(metric.labels)
        write = writers[metric.labels].write
        for entry in group:
            if entry.lines:
                pieces.append(entry.lines)
                continue
            for start in range(0, len(entry.samples), _PIECE):
                pieces.append(_lines(name, entry.samples[start : start + _PIECE], write))
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
    kind = "untyped" if metric.kind is Kind.UNKNOWN and not openmetrics else metric.kind
    if openmetrics:
        text = text.replace('"', r"\"")
        name = name.removesuffix("_total") if metric.kind is Kind.COUNTER else name
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


def number(value: float) -> str:
    """A sample value as both formats write it: whole numbers without a fraction, else the shortest exact form."""
    text = repr(value)
    if text[-2:] == ".0":
        return text[:-2]
    return _WORDS.get(text, text)


class EncodedPage:
    """Families that are encoded once and served often; each encoding is made at its first use and cached.

    Safe to use from several threads. `families` must not change after the page is made.

    Args:
        pause: called now and then while a long page is encoded, so that other threads get their turn.
    """

    def __init__(self, families: Sequence[Family], pause: Callable[[], None] | None = None) -> None:
        self.families = tuple(families)
        self._pause = pause
        self._bodies: dict[tuple[bool, bool], bytes] = {}
        self._lock = threading.RLock()

    def body(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes:
        """The page in one format, gzip-compressed when asked for."""
        with self._lock:
            body = self._bodies.get((openmetrics, compressed))
            if body is None:
                if compressed:
                    body = gzip.compress(self.body(openmetrics=openmetrics), compresslevel=1, mtime=0)
                else:
                    body = encode(self.families, openmetrics=openmetrics, pause=self._pause)
                self._bodies[openmetrics, compressed] = body
            return body

    def made(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes | None:
        """The page in one format if it was asked for before; None when it would have to be encoded."""
        return self._bodies.get((openmetrics, compressed))

    def prepare(self, before: "EncodedPage") -> None:
        """Make the encodings that were asked of the page before, so that no scrape waits for them."""
        for openmetrics, compressed in tuple(before._bodies):
            self.body(openmetrics=openmetrics, compressed=compressed)


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Names here are plain ASCII, which these schemes leave as they are; `dots` would rewrite them, so it is not offered.
_ESCAPING = ("allow-utf-8", "underscores", "values")
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """An exposition format.

    Attributes:
        openmetrics: OpenMetrics 1.0.0, else the text format 0.0.4.
        content_type: header of the answer; made of fixed words only, never of what the client sent.
    """

    openmetrics: bool
    content_type: str


def negotiate(accept: str) -> Format:
    """OpenMetrics when the header prefers it (Prometheus since 2.5 does), else text; any header is answered."""
    text, openmetrics, escaping = 0.0, 0.0, ""
    for item in accept[:_LONGEST].split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        weight = _weight(values.get("q", "1"))
        if name == "application/openmetrics-text" and values.get("version", "1.0.0") == "1.0.0":
            if weight > openmetrics:
                openmetrics, escaping = weight, values.get("escaping", "")
        elif name in ("text/plain", "text/*", "*/*"):
            text = max(text, weight)
    if openmetrics == 0 or openmetrics < text:
        return Format(False, TEXT)
    return Format(True, f"{OPENMETRICS}; escaping={escaping}" if escaping in _ESCAPING else OPENMETRICS)


def _weight(written: str) -> float:
    try:
        weight = float(written)
    except ValueError:
        return 1.0
    return min(weight, 1.0) if weight >= 0 else 0.0


@lru_cache(64)  # each Prometheus sends the same header with every scrape
def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics."""
    return negotiate(accept).openmetrics


_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)

_CLASSES: Mapping[Kind, Any] = {Kind.COUNTER: Counter, Kind.GAUGE: Gauge, Kind.HISTOGRAM: Histogram}

_EXEMPLAR = 128
"""Characters that names and values of an exemplar may have together (OpenMetrics 1.0)."""
_NO_ESCAPES = str.maketrans(dict.fromkeys('"\\'))


class Instruments:
    """The long-lived metrics of `/metrics`, each series made at its first use. Safe to use from several threads.

    Args:
        process: also export `process_*` and `python_*`.
    """

    def __init__(self, *, process: bool = True) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = prometheus.CollectorRegistry(auto_describe=False)
        self._made: dict[tuple[str, tuple[str, ...]], Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()
        if process:
            prometheus.ProcessCollector(registry=self._registry)
            prometheus.PlatformCollector(registry=self._registry)
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
        self._of(_CLASSES[metric.kind], metric, labels)

    def forget(self, metric: Metric, labels: tuple[str, ...]) -> None:
        """Take a labelled series off the page, when what it is about is gone; nothing happens when there is none."""
        self._made.pop((metric.name, labels), None)
        with contextlib.suppress(KeyError):
            self._of(_CLASSES[metric.kind], metric, ()).remove(*map(clean, labels))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its Content-Type for an Accept header."""
        chosen = negotiate(accept)
        generate = generate_openmetrics if chosen.openmetrics else prometheus.generate_latest
        return generate(self._registry), chosen.content_type

    def _of(self, kind: type[_Instrument], metric: Metric, labels: tuple[str, ...]) -> _Instrument:
        instrument = self._made.get((metric.name, labels))
        if instrument is None:
            with self._lock:
                instrument = self._made.get((metric.name, ())) or self._make(metric)
                self._made[metric.name, ()] = instrument
                if labels:
                    instrument = self._made[metric.name, labels] = instrument.labels(*map(clean, labels))
        if not isinstance(instrument, kind):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        return instrument

    def _make(self, metric: Metric) -> Any:
        buckets = {"buckets": metric.buckets} if metric.kind is Kind.HISTOGRAM else {}
        make = _CLASSES[metric.kind]
        return make(metric.name, metric.help, metric.labels, registry=self._registry, **buckets)


def _bounded(exemplar: Mapping[str, str]) -> dict[str, str]:
    """Ids are plain words; what would need an escape is left out, since not every reader takes one there."""
    bounded: dict[str, str] = {}
    room = _EXEMPLAR
    for name, value in exemplar.items():
        room -= len(name)
        if room > 0:
            bounded[name] = clean(value).translate(_NO_ESCAPES)[:room]
            room -= len(bounded[name])
    return bounded
