# SPDX-License-Identifier: Apache-2.0
"""The rules in a real Prometheus, on what the real exporter exposes of a healthy API, one minute as one second."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from openai_simulator.testing import running_simulator
from tests.mixin.bundle import write_rules
from tests.stack.programs import KEYS, PROMETHEUS, Prometheus, get, running_exporter, running_prometheus, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")]
TARGETS = 8
PATIENCE = 180.0
"""Seconds; a loaded machine is slow, and no test here measures time."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("live")
    paths = write_rules(folder, "{ timeScale: 1 / 60 }")
    with (
        running_simulator() as simulator,
        running_exporter(folder, KEYS | {"OPENAI_BASE_URL": simulator.api_url}) as exporter,
        running_prometheus(folder, f"{exporter.url}/sd", "1s", paths) as found,
    ):
        wait_for(lambda: found.value("count(up == 1)") == TARGETS, PATIENCE, "every target scraped")
        full = 'min(probe:openai_sli_events:sum1h{slo="availability"}) > 4'
        wait_for(lambda: found.query(full), PATIENCE, "some minutes of every probe")
        yield found


def groups(prometheus: Prometheus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(get(f"{prometheus.url}/api/v1/rules")[1])["data"]["groups"]
    return found


def test_every_rule_evaluates(prometheus: Prometheus) -> None:
    health = {
        (group["name"], rule["name"], rule["health"], rule.get("lastError"))
        for group in groups(prometheus)
        for rule in group["rules"]
    }

    assert [each for each in health if each[2] != "ok"] == []


def test_nothing_fires_while_all_is_well(prometheus: Prometheus) -> None:
    """The first alerts of a start apart: nothing is known before the first targets are."""
    wait_for(lambda: prometheus.query('ALERTS{alertname="Watchdog"}'), PATIENCE, "the watchdog")
    found = prometheus.query('ALERTS{alertstate="firing",alertname!="Watchdog"}')

    assert [each["metric"] for each in found] == []


def test_service_levels_of_every_probe_and_dataset_are_recorded(prometheus: Prometheus) -> None:
    probes, datasets = 6, prometheus.value("count(openai_usage_up)")
    expected = {
        'count(up{module!=""})': probes,
        'min(probe:openai_period_error_budget_remaining:ratio{slo="availability"})': 1,
        'count(probe:openai_sli_error:ratio5m{slo="availability"} == 0)': probes,
        'count(probe:openai_sli_events:sum5m{slo="latency"} > 0)': probes,
        'count(probe:openai_sli_events:sum5m{slo="first_token"} > 0)': 2,
        "count(dataset:openai_sli_events:sum5m > 0)": datasets,
        'count(target:openai_sli_events:sum5m{slo="availability"})': 1,
    }

    def missing() -> list[str]:
        return [query for query, value in expected.items() if prometheus.value(query) != value]

    # Five minutes last five seconds here, in which a busy machine may miss a scrape.
    wait_for(lambda: not missing(), PATIENCE, lambda: f"every value; these differ: {missing()}")


def test_usage_and_models_are_recorded(prometheus: Prometheus) -> None:
    names = {each["metric"]["__name__"] for each in prometheus.query('group by (__name__) ({__name__=~".+:.+:.+"})')}

    assert names >= {
        "organization:openai_costs_month_to_date_usd:sum",
        "organization:openai_costs_forecast_usd:projection",
        "model:openai_model_in_use:group",
        "probe:openai_api_rate_limit_remaining_per_limit:ratio",
        "dataset:openai_usage_data_age_seconds:min",
    }
