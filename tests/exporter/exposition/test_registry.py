# SPDX-License-Identifier: Apache-2.0
"""The long-lived metrics: names as in the catalogue, zeros, exemplars, hostile labels."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric as Parsed
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Exemplar

from openai_exporter.exposition import Instruments, clean
from openai_exporter.metrics import CATALOGUE, Kind, Metric, Page, own, probe

from .families import TEXTS, parse_openmetrics

TESTDATA = Path(__file__).parent / "testdata"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OURS = [metric for metric in CATALOGUE.values() if metric.page is Page.METRICS]
PROBE = ("openai", "chat_stream", "chat", "gpt-5.4-mini")
REQUEST_ID = "req_0123456789abcdef"


def text(instruments: Instruments, accept: str = "") -> str:
    return instruments.render(accept)[0].decode()


def exemplars(page: str) -> list[Exemplar]:
    return [sample.exemplar for each in parse_openmetrics(page) for sample in each.samples if sample.exemplar]


def samples(parsed: list[Parsed]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value for each in parsed for sample in each.samples
    }


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("accept", ["", OPENMETRICS], ids=["text", "openmetrics"])
def test_a_metric_is_exposed_under_its_catalogue_name(metric: Metric, accept: str) -> None:
    instruments = Instruments(process=False)
    instruments.prepare(metric, tuple("v" for _ in metric.labels))
    found = {sample.name for each in parse_text(text(instruments)) for sample in each.samples}
    if accept:
        found = {
            sample.name for each in parse_openmetrics(text(instruments, accept)) for sample in each.samples
        }
    histogram = {f"{metric.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
    assert found == (histogram if metric.kind is Kind.HISTOGRAM else {metric.name})


@pytest.mark.parametrize(("name", "accept"), [("registry.prom", ""), ("registry.openmetrics", OPENMETRICS)])
def test_the_page_is_written_exactly_so(name: str, accept: str) -> None:
    instruments = Instruments(process=False)
    instruments.count(probe.API_REQUESTS, PROBE)
    instruments.count(probe.API_ERRORS, (*PROBE, "timeout", "0"), 0)
    instruments.set(own.PROBES_IN_FLIGHT, 2)
    instruments.set(own.BUILD_INFO, 1, ("1.0", 'a "quoted" \\ version\n'))
    instruments.observe(probe.API_TTFT, 0.3, PROBE)
    assert (TESTDATA / name).read_text(encoding="utf-8") == text(instruments, accept)


def test_a_prepared_series_is_zero_and_then_counts() -> None:
    instruments = Instruments(process=False)
    instruments.prepare(probe.API_REQUESTS, PROBE)
    instruments.prepare(probe.API_LATENCY, (*PROBE, "200"))
    before = samples(list(parse_text(text(instruments))))
    assert len(before) == 1 + len(probe.LATENCY_BUCKETS) + 3
    assert set(before.values()) == {0.0}
    instruments.count(probe.API_REQUESTS, PROBE)
    assert samples(list(parse_text(text(instruments))))["openai_api_requests_total", ""] == 1.0


def test_a_metric_without_labels_counts_from_its_first_use() -> None:
    instruments = Instruments(process=False)
    instruments.prepare(own.PROBES_IN_FLIGHT)
    assert "openai_exporter_probes_in_flight 0.0\n" in text(instruments)


def test_an_exemplar_is_shown_in_openmetrics_alone() -> None:
    instruments = Instruments(process=False)
    instruments.observe(probe.API_LATENCY, 0.5, (*PROBE, "200"), {"request_id": REQUEST_ID})
    assert REQUEST_ID not in text(instruments)
    (found,) = exemplars(text(instruments, OPENMETRICS))
    assert (found.labels, found.value) == ({"request_id": REQUEST_ID}, 0.5)


@given(st.dictionaries(st.sampled_from(["request_id", "trace_id", "model"]), TEXTS))
def test_no_exemplar_of_a_foreign_server_breaks_an_observation(exemplar: dict[str, str]) -> None:
    instruments = Instruments(process=False)
    instruments.observe(probe.API_TTFT, 0.5, PROBE, exemplar)
    for found in exemplars(text(instruments, OPENMETRICS)):
        assert sum(len(name) + len(value) for name, value in found.labels.items()) <= 128


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS))
def test_hostile_label_values_leave_the_page_readable(labels: tuple[str, str, str, str]) -> None:
    instruments = Instruments(process=False)
    instruments.count(probe.API_REQUESTS, labels)
    expected = dict(zip(probe.API_REQUESTS.labels, map(clean, labels), strict=True))
    for parsed in (parse_text(text(instruments)), parse_openmetrics(text(instruments, OPENMETRICS))):
        assert [sample.labels for each in parsed for sample in each.samples] == [expected]


def test_a_forgotten_series_is_gone_and_the_others_stay() -> None:
    instruments = Instruments(process=False)
    for model in ("a", "b"):
        instruments.count(probe.API_REQUESTS, ("openai", "chat_stream", "chat", model))
    instruments.forget(probe.API_REQUESTS, ("openai", "chat_stream", "chat", "a"))
    instruments.forget(probe.API_REQUESTS, ("openai", "chat_stream", "chat", "never"))
    assert 'model="a"' not in text(instruments)
    assert 'model="b"' in text(instruments)


def test_a_metric_used_as_another_kind_is_an_error() -> None:
    with pytest.raises(TypeError, match="openai_exporter_probes_in_flight is a gauge"):
        Instruments(process=False).count(own.PROBES_IN_FLIGHT)


def test_a_series_with_too_few_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="Incorrect label count"):
        Instruments(process=False).count(probe.API_REQUESTS, ("openai",))


def test_no_created_series_are_exposed() -> None:
    instruments = Instruments(process=False)
    instruments.count(probe.API_REQUESTS, PROBE)
    instruments.observe(probe.API_TTFT, 0.3, PROBE)
    assert "_created" not in text(instruments) + text(instruments, OPENMETRICS)


def test_the_process_describes_itself_when_asked() -> None:
    page = text(Instruments())
    for name in (
        "process_resident_memory_bytes",
        "process_open_fds",
        "python_info",
        "python_gc_collections_total",
    ):
        assert f"\n{name}" in page
    assert text(Instruments(process=False)) == ""


def test_two_processes_in_one_have_their_own_registries() -> None:
    one, two = Instruments(process=False), Instruments(process=False)
    one.count(probe.API_REQUESTS, PROBE)
    two.prepare(probe.API_REQUESTS, PROBE)
    assert samples(list(parse_text(text(two)))) == {("openai_api_requests_total", ""): 0.0}


def test_the_content_type_goes_with_the_page() -> None:
    instruments = Instruments(process=False)
    assert instruments.render("")[1] == "text/plain; version=0.0.4; charset=utf-8"
    assert instruments.render(f"{OPENMETRICS};escaping=allow-utf-8") == (
        b"# EOF\n",
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    )


def test_first_uses_at_once_make_one_metric() -> None:
    instruments, barrier = Instruments(process=False), threading.Barrier(8)

    def use(_: int) -> None:
        barrier.wait()
        for metric in OURS:
            if metric.kind is Kind.COUNTER:
                instruments.count(metric, tuple("v" for _ in metric.labels))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert set(samples(list(parse_text(text(instruments)))).values()) == {8.0}
