# SPDX-License-Identifier: Apache-2.0
"""The history of the demo's probes: the series of a scrape, over days, with what went wrong in them."""

from itertools import pairwise

import pytest

from openai_exporter.demo.probe_history import (
    INCIDENTS,
    OUTAGE,
    RATE_LIMITED,
    SLOW_AFTERNOON,
    STEPS,
    Incident,
    ProbeHistory,
    Target,
    Timeline,
    parse,
)

NOW = 1_795_867_205
DAY, HOUR = 86_400, 3600
NAMES = {"target": "openai", "module": "chat_stream", "model": "gpt", "endpoint": "chat"}
LABELS = 'target="openai",module="chat_stream",model="gpt",endpoint="chat",instance="e:1",job="openai"'
PROBE = """
# TYPE probe_success gauge
probe_success 1
probe_duration_seconds 0.2
probe_http_duration_seconds{phase="processing"} 0.15
probe_http_duration_seconds{phase="tls"} 0
openai_probe_availability_valid 1
openai_probe_availability_good 1
openai_probe_outcome{outcome="success"} 1
openai_probe_outcome{outcome="overloaded"} 0
openai_probe_time_to_first_token_seconds 0.1
openai_probe_last_result_timestamp_seconds 1795867203
openai_api_rate_limit_remaining{limit_type="tokens"} 1000
probe_http_version 1.1
"""
OWN = """
openai_api_requests_total{target="openai",module="chat_stream",endpoint="chat",model="gpt"} 2
openai_api_errors_total{target="openai",module="chat_stream",model="gpt",error_type="overloaded",status_code="503"} 0
openai_api_latency_seconds_bucket{target="openai",module="chat_stream",model="gpt",status_code="200",le="0.02"} 0
openai_api_latency_seconds_bucket{target="openai",module="chat_stream",model="gpt",status_code="200",le="0.32"} 2
openai_api_latency_seconds_bucket{target="openai",module="chat_stream",model="gpt",status_code="200",le="+Inf"} 2
openai_api_latency_seconds_count{target="openai",module="chat_stream",model="gpt",status_code="200"} 2
process_cpu_seconds_total 3
openai_exporter_build_info{version="1"} 1
"""
USAGE = """
openai_usage_up{dataset="costs"} 1
openai_usage_last_success_timestamp_seconds{dataset="costs"} 1795867200
openai_usage_requests_total{model="gpt"} 120
openai_usage_requests_total{model="new"} 20
"""
STATUS = """
openai_status_component{component="Chat Completions",state="operational"} 1
openai_status_component{component="Chat Completions",state="major_outage"} 0
"""
UNTIL = NOW // HOUR * HOUR
Values = dict[int, float]


def targets() -> list[Target]:
    own = 'instance="e:1",job="openai"'
    return [
        Target("/probe", NAMES, LABELS, parse(PROBE)),
        Target("/metrics", {}, own, parse(OWN)),
        Target("/usage", {}, f'organization="acme",{own}', parse(USAGE)),
        Target("/status", {}, f'status_page="openai",{own}', parse(STATUS)),
    ]


@pytest.fixture(scope="module")
def written() -> dict[str, Values]:
    """Series -> time -> value."""
    imported = {("openai_usage_requests_total", frozenset({("model", "gpt")})): 100.0}
    found: dict[str, Values] = {}
    for line in ProbeHistory(targets(), Timeline(NOW, 30), imported, UNTIL).lines():
        series, value, at = line.rsplit(" ", 2)
        values = found.setdefault(series, {})
        assert not values or int(at) > max(values), line
        values[int(at)] = float(value)
    return found


def of(written: dict[str, Values], begin: str, label: str = "") -> Values:
    (found,) = (values for series, values in written.items() if series.startswith(begin + "{") and label in series)
    return found


def during(values: Values, incident: Incident) -> list[float]:
    return [value for at, value in values.items() if incident.covers(at, NOW)]


def test_a_series_has_the_labels_that_it_will_have_live(written: dict[str, Values]) -> None:
    assert f"probe_success{{{LABELS}}}" in written
    assert f'probe_http_duration_seconds{{phase="tls",{LABELS}}}' in written
    assert f"up{{{LABELS}}}" in written
    assert 'openai_exporter_build_info{version="1",instance="e:1",job="openai"}' in written


def test_it_reaches_from_its_first_day_to_now_without_a_gap_that_a_chart_of_that_time_would_show(
    written: dict[str, Values],
) -> None:
    times = list(of(written, "probe_success"))

    assert times[0] - (NOW - 30 * DAY) < STEPS[0][1]
    assert NOW - times[-1] < STEPS[-1][1]
    for back, step in STEPS:
        part = [at for at in times if at >= NOW - back + step]
        assert max(later - at for at, later in pairwise(part)) <= step


def test_an_outage_fails_most_probes_and_the_status_page_admits_it_later(written: dict[str, Values]) -> None:
    good = during(of(written, "probe_success"), OUTAGE)
    down = during(of(written, "openai_status_component", "major_outage"), OUTAGE)

    assert 0 < sum(good) < len(good) / 2 or sum(good) == 0
    assert during(of(written, "openai_probe_outcome", "overloaded"), OUTAGE) == [1 - each for each in good]
    assert (down[0], down[-1]) == (0, 1)


def test_a_slow_afternoon_is_slow_and_nothing_fails(written: dict[str, Values]) -> None:
    assert min(during(of(written, "probe_duration_seconds"), SLOW_AFTERNOON)) > 1.5
    assert set(during(of(written, "probe_success"), SLOW_AFTERNOON)) == {1.0}


def test_a_rate_limited_hour_counts_against_nobody(written: dict[str, Values]) -> None:
    failed = [1 - each for each in during(of(written, "probe_success"), RATE_LIMITED)]
    valid = during(of(written, "openai_probe_availability_valid"), RATE_LIMITED)

    assert sum(failed) > 0
    assert [1 - each for each in failed] == valid
    assert min(during(of(written, "openai_api_rate_limit_remaining"), RATE_LIMITED)) == 10


def test_no_incident_is_left_for_an_alert_of_today(written: dict[str, Values]) -> None:
    good, valid = (of(written, f"openai_probe_availability_{kind}") for kind in ("good", "valid"))

    assert {at for at in valid if at > NOW - 3 * DAY and valid[at] > good[at]} == set()
    assert all(NOW - incident.begin(NOW) < 7 * DAY for incident in INCIDENTS)


def test_what_adds_up_over_probes_fits_them(written: dict[str, Values]) -> None:
    good, errors = of(written, "probe_success"), of(written, "openai_api_errors_total")
    requests = of(written, "openai_api_requests_total")
    within = of(written, "openai_api_latency_seconds_bucket", 'le="+Inf"')

    assert max(requests.values()) == len(good)
    assert max(within.values()) == sum(good.values())
    assert max(errors.values()) == sum(of(written, "openai_probe_outcome", "overloaded").values()) > 0
    # A bound that nothing is within would only cost space.
    assert not [series for series in written if 'le="0.02"' in series]


def test_usage_goes_evenly_from_the_end_of_its_import_to_what_is_shown_now(written: dict[str, Values]) -> None:
    known = of(written, "openai_usage_requests_total", 'model="gpt"')
    new = of(written, "openai_usage_requests_total", 'model="new"')

    assert min(known) > UNTIL
    assert 100 < min(known.values()) <= max(known.values()) == pytest.approx(120, abs=20 * 120 / (NOW - UNTIL))
    assert max(new.values()) == pytest.approx(20, abs=20 * 120 / (NOW - UNTIL))
    assert list(known.values()) == sorted(known.values())


def test_the_age_of_what_was_read_stays_what_it_is(written: dict[str, Values]) -> None:
    ages = {at - value for at, value in of(written, "openai_usage_last_success_timestamp_seconds").items()}

    assert ages == {NOW - 1_795_867_200}


def test_it_is_the_same_every_time() -> None:
    first, second = (list(ProbeHistory(targets(), Timeline(NOW, 2), {}, UNTIL).lines()) for _ in range(2))

    assert first == second
