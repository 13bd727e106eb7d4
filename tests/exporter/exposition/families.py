# SPDX-License-Identifier: Apache-2.0
"""Strategies and readers that the tests of this room share."""

from collections.abc import Iterable

from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric as Parsed
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from openai_exporter.exposition import Family, clean
from openai_exporter.metrics import CATALOGUE, Kind

Series = tuple[str, frozenset[tuple[str, str]]]

PLAIN = [metric for metric in CATALOGUE.values() if metric.kind is not Kind.HISTOGRAM]
TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(codec=None), max_size=20),
    st.text(st.sampled_from('\\"\n\r\t{}=, #\x00\x7f\x85\u2028\u202e\ud800aé…'), max_size=20),
)
FLOATS = st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.booleans())
COUNTS = st.one_of(st.floats(min_value=0, allow_infinity=False), st.integers(0, 2**60))


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    """Families of catalogue metrics with any label values; label sets differ once they are cleaned."""
    found = []
    for metric in draw(st.lists(st.sampled_from(PLAIN), unique=True, max_size=4)):
        sets = st.tuples(*[TEXTS] * len(metric.labels))
        keys = draw(st.lists(sets, unique_by=lambda key: tuple(map(clean, key)), max_size=4))
        values = COUNTS if metric.kind is Kind.COUNTER else FLOATS
        found.append(Family(metric, [(key, draw(values)) for key in keys]))
    return found


def expected(found: Iterable[Family]) -> dict[Series, float]:
    """What a reader of the page must find."""
    return {
        (
            each.metric.name,
            frozenset((name, clean(text)) for name, text in zip(each.metric.labels, key, strict=True) if text),
        ): float(value)
        for each in found
        for key, value in each.samples
    }


def read(parsed: Iterable[Parsed]) -> dict[Series, float]:
    """What prometheus_client's parsers found."""
    return {(sample.name, frozenset(sample.labels.items())): sample.value for each in parsed for sample in each.samples}


def parse_openmetrics(page: str) -> list[Parsed]:
    """A page of OpenMetrics, as strictly as prometheus_client reads it."""
    return list(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]
