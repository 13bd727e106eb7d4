# SPDX-License-Identifier: Apache-2.0
"""Pages read back as what they were made of, with prometheus_client's parsers as the judge."""

import gzip
import math
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from prometheus_client.metrics_core import Metric as Parsed
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Exemplar

from openai_exporter.exposition import (
    MAX_LABEL_VALUE,
    OPENMETRICS,
    TEXT,
    EncodedPage,
    Family,
    Instruments,
    LabelWriter,
    clean,
    encode,
    escape,
    family,
    fixed,
    negotiate,
    number,
    wants_openmetrics,
)
from openai_exporter.metrics import CATALOGUE, Kind, Metric, Page, own, probe, usage
from tests.exporter.exposition.families import TEXTS, expected, families, parse_openmetrics, read

# Label values are bounded, on one line, and stay apart.

ANY = st.text(st.characters(codec=None), max_size=400)


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("", ""),
        ("gpt-5.4-mini", "gpt-5.4-mini"),
        ("Müller, 東京 🚀", "Müller, 東京 🚀"),
        ("two\nlines", "two␊lines"),
        ("\r\t\x00\x1b[31m\x7f", "␍␉␀␛[31m␡"),
        ("\x85\x9f\u2028\u2029", "\ufffd" * 4),
        ("\ud800", "\ufffd"),
        ("abc\u202edef", "abc\ufffddef"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_a_value_keeps_what_can_be_shown_and_marks_what_cannot(value: str, cleaned: str) -> None:
    assert cleaned == clean(value)


def test_values_that_differ_only_past_the_bound_stay_two_series() -> None:
    one, two = clean("x" * 300 + "1"), clean("x" * 300 + "2")
    assert one != two
    assert (len(one), one[:243], one[243]) == (MAX_LABEL_VALUE, "x" * 243, "…")


def test_a_value_of_the_largest_size_is_kept() -> None:
    assert clean("x" * MAX_LABEL_VALUE) == "x" * MAX_LABEL_VALUE


@given(ANY)
def test_every_value_becomes_bounded_text_on_one_line(value: str) -> None:
    cleaned = clean(value)
    assert len(cleaned) <= MAX_LABEL_VALUE
    assert clean(cleaned) == cleaned
    assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, cleaned))
    cleaned.encode()
    assert bool(value) == bool(cleaned)


@given(ANY)
def test_an_escaped_value_reads_back(value: str) -> None:
    escaped = escape(value)
    assert "\n" not in escaped
    assert clean(value) == escaped.replace(r"\"", '"').replace(r"\\", "\\")


def test_a_label_set_leaves_out_empty_values() -> None:
    write = LabelWriter(("a", "b")).write
    assert [write(("1", "2")), write(("", "2")), write(("", ""))] == ['{a="1",b="2"} ', '{b="2"} ', " "]


def test_the_same_value_under_another_name_is_another_label() -> None:
    write = LabelWriter(("a", "b")).write
    assert write(("x", "x")) == '{a="x",b="x"} '
    assert write(("x", "x")) is write(("x", "x"))


@pytest.mark.parametrize("values", [(), ("1",), ("1", "2", "3")])
def test_a_label_set_of_another_length_is_an_error(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        LabelWriter(("a", "b")).write(values)


# The format follows the Accept header; no header can do harm.

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
        ("application/openmetrics-text; version=1.0.0; escaping=underscores", f"{OPENMETRICS}; escaping=underscores"),
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


# A page is encoded once per format and served often.


def page_of(count: int) -> EncodedPage:
    found = Family(probe.TOKENS)
    for index in range(count):
        found.add(index, f"direction-{index}")
    return EncodedPage([found])


def test_each_format_is_encoded_once_and_kept() -> None:
    page = page_of(3)
    for openmetrics in (False, True):
        for compressed in (False, True):
            first = page.body(openmetrics=openmetrics, compressed=compressed)
            assert first is page.body(openmetrics=openmetrics, compressed=compressed)


def test_a_body_is_what_encode_makes() -> None:
    page = page_of(3)
    assert encode(page.families) == page.body()
    assert encode(page.families, openmetrics=True) == page.body(openmetrics=True)


def test_a_compressed_body_unpacks_to_the_plain_one() -> None:
    page = page_of(1000)
    for openmetrics in (False, True):
        packed = page.body(openmetrics=openmetrics, compressed=True)
        plain = page.body(openmetrics=openmetrics)
        assert plain == gzip.decompress(packed)
        assert len(packed) < len(plain) / 4


def test_the_same_page_has_the_same_bytes_whenever_it_is_made() -> None:
    assert page_of(5).body(compressed=True) == page_of(5).body(compressed=True)


def test_scrapes_at_once_share_one_encoding() -> None:
    page, barrier = page_of(20_000), threading.Barrier(8)

    def scrape(_: int) -> bytes:
        barrier.wait(60)
        return page.body(compressed=True)

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(scrape, range(8)))
    assert len({id(body) for body in bodies}) == 1


def test_a_page_does_not_change_with_the_list_it_was_made_of() -> None:
    families = [Family(probe.TOKENS, [(("input",), 1.0)])]
    page = EncodedPage(families)
    families.clear()
    assert b"openai_probe_tokens" in page.body()


# The long-lived metrics: names as in the catalogue, zeros, exemplars, hostile labels.

TESTDATA = Path(__file__).parent / "testdata"
REGISTRY_OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OURS = [metric for metric in CATALOGUE.values() if metric.page is Page.METRICS]
PROBE = ("openai", "chat_stream", "chat", "gpt-5.4-mini")
REQUEST_ID = "req_0123456789abcdef"


def text(instruments: Instruments, accept: str = "") -> str:
    return instruments.render(accept)[0].decode()


def exemplars(page: str) -> list[Exemplar]:
    return [sample.exemplar for each in parse_openmetrics(page) for sample in each.samples if sample.exemplar]


def samples(parsed: list[Parsed]) -> dict[tuple[str, str], float]:
    return {(sample.name, sample.labels.get("le", "")): sample.value for each in parsed for sample in each.samples}


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("accept", ["", REGISTRY_OPENMETRICS], ids=["text", "openmetrics"])
def test_a_metric_is_exposed_under_its_catalogue_name(metric: Metric, accept: str) -> None:
    instruments = Instruments(process=False)
    instruments.prepare(metric, tuple("v" for _ in metric.labels))
    found = {sample.name for each in parse_text(text(instruments)) for sample in each.samples}
    if accept:
        found = {sample.name for each in parse_openmetrics(text(instruments, accept)) for sample in each.samples}
    histogram = {f"{metric.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
    assert found == (histogram if metric.kind is Kind.HISTOGRAM else {metric.name})


@pytest.mark.parametrize(("name", "accept"), [("registry.prom", ""), ("registry.openmetrics", REGISTRY_OPENMETRICS)])
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
    (found,) = exemplars(text(instruments, REGISTRY_OPENMETRICS))
    assert (found.labels, found.value) == ({"request_id": REQUEST_ID}, 0.5)


@given(st.dictionaries(st.sampled_from(["request_id", "trace_id", "model"]), TEXTS))
def test_no_exemplar_of_a_foreign_server_breaks_an_observation(exemplar: dict[str, str]) -> None:
    instruments = Instruments(process=False)
    instruments.observe(probe.API_TTFT, 0.5, PROBE, exemplar)
    for found in exemplars(text(instruments, REGISTRY_OPENMETRICS)):
        assert sum(len(name) + len(value) for name, value in found.labels.items()) <= 128


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS))
def test_hostile_label_values_leave_the_page_readable(labels: tuple[str, str, str, str]) -> None:
    instruments = Instruments(process=False)
    instruments.count(probe.API_REQUESTS, labels)
    expected = dict(zip(probe.API_REQUESTS.labels, map(clean, labels), strict=True))
    for parsed in (parse_text(text(instruments)), parse_openmetrics(text(instruments, REGISTRY_OPENMETRICS))):
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
    assert "_created" not in text(instruments) + text(instruments, REGISTRY_OPENMETRICS)


def test_the_process_describes_itself_when_asked() -> None:
    page = text(Instruments())
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_info", "python_gc_collections_total"):
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
    assert instruments.render(f"{REGISTRY_OPENMETRICS};escaping=allow-utf-8") == (
        b"# EOF\n",
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    )


def test_first_uses_at_once_make_one_metric() -> None:
    instruments, barrier = Instruments(process=False), threading.Barrier(8)

    def use(_: int) -> None:
        barrier.wait(60)
        for metric in OURS:
            if metric.kind is Kind.COUNTER:
                instruments.count(metric, tuple("v" for _ in metric.labels))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert set(samples(list(parse_text(text(instruments)))).values()) == {8.0}


# Pages read back as what they were made of, with prometheus_client's parsers as the judge.


def sample_page() -> list[Family]:
    tokens = Family(probe.TOKENS)
    tokens.add(12, "input")
    tokens.add(3.0, "output")
    requests = Family(usage.REQUESTS)
    requests.add(1234567, "completions", "proj_1", "", "", 'gpt "5" \\ mini', "false", "", "")
    requests.add(1e16, "completions", "proj_2", "key_1", "user-1", "two\nlines", "true", "flex", "")
    cost = Family(usage.ESTIMATED_COST)
    cost.add(0.1 + 0.2, "completions", *[""] * 7)
    cost.add(1e-07, "embeddings", *[""] * 7)
    odd = Metric("openai_odd", Kind.GAUGE, Page.PROBE, 'A "quoted" \\ text\nof two lines.', ("which",))
    values = Family(odd, [((str(value),), value) for value in (math.nan, math.inf, -math.inf, -2.5, 0.0)])
    return [family(probe.SUCCESS, True), family(probe.COST, None), tokens, requests, cost, values]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_family_that_is_written_once_reads_as_any_other(openmetrics: bool) -> None:
    samples = [(("one",), 1.0), (('t"wo',), 0.0), (("three",), 2.5)]
    once, other = fixed(probe.OUTCOME, samples), Family(probe.OUTCOME, list(samples))
    before, after = family(probe.SUCCESS, True), family(probe.COST, 0.5)
    pages = [encode([before, each, after], openmetrics=openmetrics) for each in (once, once, other)]
    assert pages[0] == pages[1] == pages[2]
    assert b'openai_probe_outcome{outcome="t\\"wo"} 0' in pages[0]


@pytest.mark.parametrize(("name", "openmetrics"), [("page.prom", False), ("page.openmetrics", True)])
def test_a_page_is_written_exactly_so(name: str, openmetrics: bool) -> None:
    assert (TESTDATA / name).read_bytes() == encode(sample_page(), openmetrics=openmetrics)


@given(families())
def test_text_reads_back(found: list[Family]) -> None:
    page = encode(found).decode()
    assert read(parse_text(page)) == pytest.approx(expected(found), rel=0, abs=0, nan_ok=True)


@given(families())
def test_openmetrics_reads_back(found: list[Family]) -> None:
    page = encode(found, openmetrics=True).decode()
    parsed = parse_openmetrics(page)
    assert read(parsed) == pytest.approx(expected(found), rel=0, abs=0, nan_ok=True)
    families = {each.metric for each in found if each.samples}
    counters = {each for each in families if each.kind is Kind.COUNTER}
    kinds = {each.name.removesuffix("_total" if each in counters else ""): str(each.kind) for each in families}
    assert {each.name: each.type for each in parsed} == kinds


def test_a_page_without_samples_is_empty() -> None:
    assert encode([Family(probe.TOKENS), family(probe.COST, None)]) == b""
    assert encode([], openmetrics=True) == b"# EOF\n"


def test_families_of_one_metric_become_one() -> None:
    first, other, second = Family(probe.TOKENS), family(probe.SUCCESS, 1), Family(probe.TOKENS)
    first.add(1, "input")
    second.add(2, "output")
    page = encode([first, other, second]).decode()
    assert page.count("# TYPE openai_probe_tokens gauge") == 1
    assert len(read(parse_text(page))) == 3
    assert len(read(parse_openmetrics(encode([first, other, second], openmetrics=True).decode()))) == 3


def test_a_sample_with_too_few_labels_is_refused() -> None:
    found = Family(probe.TOKENS)
    with pytest.raises(ValueError, match=r"openai_probe_tokens takes the labels \('direction',\), got \(\)"):
        found.add(1)
    found.samples.append(((), 1))
    with pytest.raises(ValueError, match="zip"):
        encode([found])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (5e-324, "5e-324"),
        (2**53 + 1, "9007199254740993"),
        (True, "1"),
        (False, "0"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_number_has_its_shortest_exact_form(value: float, text: str) -> None:
    assert text == number(value)


@given(st.floats(allow_nan=False))
def test_a_number_reads_back_exactly(value: float) -> None:
    assert value == float(number(value))
