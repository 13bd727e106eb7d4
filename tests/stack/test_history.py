# SPDX-License-Identifier: Apache-2.0
"""An import and the live series after it, in one real Prometheus: the same series, without a jump."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from openai_exporter.metrics.usage import RECORDED
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, Values, ask
from tests.dashboards.pages import pages
from tests.exporter.report.commands import ADMIN_KEY, done, run, total, unix, usage
from tests.exporter.web.exporters import poll
from tests.mixin.bundle import ROOT, rule_files
from tests.mixin.lint.files import rules_of
from tests.stack.programs import Prometheus, running_exporter
from tests.stack.test_books import document
from tests.stack.tsdb import MISSING, PROMTOOL, Recording, make_blocks, prometheus_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(MISSING, reason="prometheus and promtool are not installed")]

FIRST = unix("2026-11-12")
NOW, JOINT = unix("2026-11-19T09:20:00Z"), unix("2026-11-19T09:00:00Z")
QUARTER, HOUR, DAY = 900, 3600, 86_400
COUNTERS = (
    "openai_usage_requests_total",
    "openai_usage_input_tokens_total",
    "openai_usage_output_tokens_total",
    "openai_usage_estimated_cost_usd_total",
    "openai_usage_corrections_total",
)


@dataclass(frozen=True)
class Joined:
    """Prometheus with both, and when the first and the last live scrape were."""

    prometheus: Prometheus
    simulator: SimulatorControl
    first: int
    last: int


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    folder = tmp_path_factory.mktemp("history")
    with running_simulator(clock=NOW, speed=0, latency_scale=0, seed=3) as simulator:
        config = folder / "exporter.yml"
        config.write_text(yaml.safe_dump(document(simulator)))
        history = folder / "history.om"
        arguments = ("--from", "2026-11-12", "-o", str(history), "--label", "instance=exporter:9985")
        done(run(simulator, "backfill", "--config.file", str(config), *arguments))
        make_blocks(history, folder / "blocks")

        recording = Recording(job="openai", organization="acme", instance="exporter:9985")
        with running_exporter(folder, {"OPENAI_ADMIN_KEY": ADMIN_KEY}, document(simulator)) as exporter:
            for _ in range(24):
                moment = int(simulator.clock(advance=QUARTER))
                before = newest_reading(exporter.samples("/usage"))
                # A page may still show a reading from before the clock moved; the one after the next cannot.
                for _ in range(2):
                    poll(lambda: newest_reading(exporter.samples("/usage")) > before)  # noqa: B023
                    before = newest_reading(exporter.samples("/usage"))
                recording.add(moment, exporter.samples("/usage"))
        make_blocks(recording.write(folder / "live.om"), folder / "blocks")

        with prometheus_of(folder, folder / "blocks") as prometheus:
            yield Joined(prometheus, simulator, NOW + QUARTER, moment)


def newest_reading(page: dict[str, float]) -> float:
    """When the completions were last read, in Unix time."""
    name = "openai_usage_last_success_timestamp_seconds"
    (found,) = (page[series] for series in page if series.startswith(name) and "completions" in series)
    return found


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_live_series_are_those_of_the_history(joined: Joined, counter: str) -> None:
    live, imported = f"{counter} @ {joined.first} > 0", f"{counter} @ {JOINT}"
    assert [] == joined.prometheus.query(f"{live} unless {imported}")
    if counter != "openai_usage_corrections_total":
        assert len(joined.prometheus.query(f"{live} and {imported}")) > 5


@pytest.mark.parametrize("counter", COUNTERS)
def test_no_counter_falls_at_the_joint(joined: Joined, counter: str) -> None:
    window = f"[{joined.last - JOINT + 6 * HOUR}s] @ {joined.last}"
    assert {0.0, None} >= {joined.prometheus.value(f"max(resets({counter}{window}))")}


def test_no_counter_jumps_at_the_joint(joined: Joined) -> None:
    """Over a day with the joint in it, the counters rise by what was used, and in the hour of the joint too."""
    for metric, field in {
        "openai_usage_requests_total": "num_model_requests",
        "openai_usage_input_tokens_total": "input_tokens",
        "openai_usage_output_tokens_total": "output_tokens",
    }.items():
        for seconds in (2 * HOUR, DAY):
            end = JOINT + HOUR + 1200
            used = total(usage(joined.simulator, end - seconds, end), field)
            grown = joined.prometheus.value(f"sum(increase({metric}[{seconds}s] @ {end}))")
            # Usage shows minutes late at both ends of the window, and traffic has its hours.
            assert used == pytest.approx(grown, rel=0.15 if seconds < DAY else 0.03), (metric, seconds)


@pytest.mark.parametrize(
    ("growth", "direction", "counter"),
    [
        (RECORDED["requests"][0].name, "", "openai_usage_requests_total"),
        (RECORDED["tokens"][0].name, "input", "openai_usage_input_tokens_total"),
        (RECORDED["tokens"][0].name, "output", "openai_usage_output_tokens_total"),
        (RECORDED["cost"][0].name, "", "openai_usage_estimated_cost_usd_total"),
    ],
)
def test_imported_growth_and_that_of_the_rules_add_up_to_the_counter(
    joined: Joined, growth: str, direction: str, counter: str
) -> None:
    """To the token, with the joint between them: nothing twice, nothing lost."""
    (rule,) = (
        rule["expr"]
        for _, rule in rules_of(rule_files())
        if rule.get("record") == growth and rule.get("labels", {}).get("direction", "") == direction
    )
    matcher = f'{{direction="{direction}"}}' if direction else ""
    value = joined.prometheus.value
    imported = value(f"sum(sum_over_time({growth}{matcher}[8d] @ {JOINT}))")
    live = value(f"sum(sum_over_time(({rule})[{joined.last - JOINT - 1}s:10m] @ {joined.last}))")
    # Of what is new since the joint, what the first recorded scrape shows is no growth.
    window = f"[{joined.last - joined.first}s] @ {joined.last}"
    begun = value(f"sum(min_over_time({counter}{window}) unless {counter} @ {JOINT}) or vector(0)")
    counted = value(f"sum({counter} @ {joined.last}) - sum({counter} @ {FIRST})")

    assert imported is not None
    assert live is not None
    assert min(imported, live) > 0
    assert imported + live == pytest.approx((counted or 0) - (begun or 0), rel=1e-9)


def test_bars_of_an_imported_day_are_stamped_with_the_hour_that_they_sum_up(joined: Joined) -> None:
    """Hour by hour the simulator's own figures, by project and model as by key and user."""
    page = next(page for page in pages() if page.name == "usage")
    panel = next(panel for panel in page.panels if panel.title == "Requests per hour")
    when = Range(JOINT - 2 * DAY, JOINT - 7 * HOUR)
    keys = joined.prometheus.query(f"group by (api_key_id) (openai_usage_requests_total @ {JOINT})")
    choices: tuple[Values, ...] = ({}, {"key": [row["metric"]["api_key_id"] for row in keys]})
    for choice in choices:
        answer = ask(Server(joined.prometheus.url), page, panel, panel.targets[0], when, choice)
        ((_, *bars),) = (row["values"] for row in answer["data"]["result"])
        assert len(bars) == 41
        for start, requests in bars:
            used = total(usage(joined.simulator, int(start), int(start) + HOUR), "num_model_requests")
            assert float(requests) == pytest.approx(used, abs=1), start


def test_bars_of_imported_days_are_stamped_with_the_day_that_was_billed(joined: Joined) -> None:
    page = next(page for page in pages() if page.name == "costs")
    panel = next(panel for panel in page.panels if panel.title == "Cost per day")
    answer = ask(Server(joined.prometheus.url), page, panel, panel.targets[0], Range(FIRST, joined.last), {})
    ((*bars, running),) = (row["values"] for row in answer["data"]["result"])

    assert [start for start, _ in bars] == list(range(FIRST, JOINT - DAY, DAY))
    for start, usd in bars:
        later = min(start + 2 * DAY - HOUR, joined.last)
        shown = joined.prometheus.value(f'sum(openai_costs_day_usd{{window="yesterday"}} @ {later})')
        assert float(usd) == pytest.approx(shown), start
    today = joined.prometheus.value(f'sum(openai_costs_day_usd{{window="today"}} @ {joined.last})')
    assert float(running[1]) == pytest.approx(today)


def test_promtool_fills_growth_in_where_no_rule_ran(joined: Joined, tmp_path: Path) -> None:
    """As the operations guide says it of an upgrade."""
    counter = "openai_usage_requests_total"
    rules = str(ROOT / "prometheus" / "rules" / "recording-growth.yml")
    ends = (f"--start={joined.first}", f"--end={joined.last + 599}")
    argv = [str(PROMTOOL), "tsdb", "create-blocks-from", "rules", "--url", joined.prometheus.url, *ends]
    made = subprocess.run(
        [*argv, "--output-dir", str(tmp_path / "growth"), rules], capture_output=True, text=True, timeout=600
    )
    window = f"[{joined.last - joined.first}s] @ {joined.last}"
    begun = f"(sum(min_over_time({counter}{window}) unless {counter} @ {JOINT}) or vector(0))"
    counted = f"sum({counter} @ {joined.last}) - sum({counter} @ {JOINT}) - {begun}"

    assert made.returncode == 0, made.stderr
    with prometheus_of(tmp_path, tmp_path / "growth") as filled:
        moment, requests = joined.last + 599, RECORDED["requests"][0].name
        grown = filled.value(f"sum(sum_over_time({requests}[1d] @ {moment}))")
    assert grown == joined.prometheus.value(counted)


def test_the_costs_go_on_where_they_ended(joined: Joined) -> None:
    for by in ("project_id", "line_item"):
        spent = f"sum by ({by}) (openai_costs_month_to_date_usd @ "
        assert [] == joined.prometheus.query(f"{spent}{joined.first}) > 0 unless {spent}{JOINT})")
    before, after, end = (
        joined.prometheus.value(f"sum(openai_costs_month_to_date_usd @ {moment})") or 0
        for moment in (JOINT, joined.first, joined.last)
    )
    assert 0 < before <= after <= end
    assert after - before < 0.02 * end
