# SPDX-License-Identifier: Apache-2.0
"""The format follows the Accept header; no header can do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.exposition import content_type, negotiate, wants_openmetrics
from openai_exporter.exposition.negotiation import OPENMETRICS, TEXT

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, f"{OPENMETRICS}; escaping=allow-utf-8"),
        ("application/openmetrics-text", OPENMETRICS),
        (
            "application/openmetrics-text; version=1.0.0; escaping=underscores",
            f"{OPENMETRICS}; escaping=underscores",
        ),
        ("application/openmetrics-text;version=1.0.0;escaping=values", f"{OPENMETRICS}; escaping=values"),
        ("application/openmetrics-text;version=1.0.0;escaping=dots", OPENMETRICS),
        ("Application/OpenMetrics-Text ; Q=0.9 , text/plain ; q=0.1", OPENMETRICS),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.5", OPENMETRICS),
        ("text/plain, application/openmetrics-text;q=0.5", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.0, text/plain;q=0", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", TEXT),
        ("*/*", TEXT),
        (BROWSER, TEXT),
        ("", TEXT),
        ("application/openmetrics-text;escaping=x\r\nSet-Cookie: a=b", OPENMETRICS),
        ("application/openmetrics-text;q=many", OPENMETRICS),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;version=" + "9" * 5000, TEXT),
    ],
)
def test_the_format_follows_the_header(accept: str, answer: str) -> None:
    found = negotiate(accept)
    assert answer == found.content_type
    assert found.openmetrics == wants_openmetrics(accept) == answer.startswith("application/openmetrics-text")


@given(st.text(st.sampled_from("aq=;,./*01- \t\r\nopenmetricstxlin"), max_size=200) | st.text())
def test_any_header_gets_one_of_the_known_answers(accept: str) -> None:
    known = {
        TEXT,
        OPENMETRICS,
        *(f"{OPENMETRICS}; escaping={name}" for name in ("allow-utf-8", "underscores", "values")),
    }
    assert negotiate(accept).content_type in known


def test_the_content_type_goes_with_the_format() -> None:
    assert (content_type(False), content_type(True)) == (TEXT, OPENMETRICS)
