# SPDX-License-Identifier: Apache-2.0
"""Figures of a running exporter against the simulator's books: late usage, kill -9, an outage, a twin."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.stack.programs import Exporter, running_exporter, wait_for

pytestmark = pytest.mark.stack

START = "2026-11-12T10:20:00Z"
KEYS = {"OPENAI_ADMIN_KEY": "sk-admin-test"}
GROUPS = {
    "completions": ("project_id", "api_key_id", "model", "batch", "service_tier"),
    "embeddings": ("project_id", "api_key_id", "model"),
}
FIELDS = {
    "num_model_requests": "openai_usage_requests_total",
    "input_tokens": "openai_usage_input_tokens_total",
    "input_cached_tokens": "openai_usage_input_cached_tokens_total",
    "output_tokens": "openai_usage_output_tokens_total",
}
LABELS = ("operation", "project_id", "api_key_id", "model", "batch", "service_tier")


@pytest.fixture
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator(clock=START, speed=0) as control:
        yield control


def document(simulator: SimulatorControl) -> dict[str, Any]:
    organization = {
        "name": "acme",
        "base_url": simulator.api_url,
        "admin_key_env": "OPENAI_ADMIN_KEY",
        "refresh_interval": "200ms",
        "full_refresh_interval": "1s",
        "names_interval": "1h",
        "costs": {"refresh_interval": "200ms"},
    }
    return {"organizations": [organization]}


def expected_usage(books: dict[str, Any]) -> dict[str, int]:
    """The books' arrived usage, as the page names it."""
    sums: dict[str, int] = defaultdict(int)
    for operation, group in GROUPS.items():
        for row in books["arrived"][operation]:
            named = {"operation": operation} | {name: row[name] for name in group}
            for field, metric in FIELDS.items():
                sums[f"{metric}{{{labels(named)}}}"] += row.get(field) or 0
    return {series: value for series, value in sums.items() if value}


def labels(named: dict[str, Any]) -> str:
    return ",".join(f'{name}="{text(named[name])}"' for name in LABELS if named.get(name) is not None)


def text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def exposed_usage(page: dict[str, float]) -> dict[str, int]:
    """The page's usage counters, zeros left out."""
    return {
        series: int(value) for series, value in page.items() if series.partition("{")[0] in FIELDS.values() and value
    }


def money(page: dict[str, float], metric: str, *by: str) -> dict[str, float]:
    """Sums of a money metric by the values of some labels, joined by a slash."""
    sums: dict[str, float] = defaultdict(float)
    for series, value in page.items():
        if series.startswith(f"{metric}{{"):
            sums["/".join(series.partition(f'{label}="')[2].partition('"')[0] for label in by)] += value
    return {name: value for name, value in sums.items() if value}


def same_money(expected: dict[str, Any], found: dict[str, float]) -> bool:
    """Whether both name the same, and each sum is equal but for the last bits of a float."""
    wanted = {name: Decimal(value) for name, value in expected.items() if Decimal(value)}
    return wanted.keys() == found.keys() and all(
        abs(float(value) - found[name]) <= 1e-9 * max(1.0, abs(float(value))) for name, value in wanted.items()
    )


def estimated(books: dict[str, Any]) -> dict[str, str]:
    """Estimated cost by project and model, where only the operations that are read by default use the model."""
    others = {
        (row["project_id"], row["model"])
        for operation, rows in books["arrived"].items()
        if operation not in GROUPS
        for row in rows
        if "model" in row
    }
    return {
        f"{row['project_id']}/{row['model']}": row["usd"]
        for row in books["estimated_cost_usd"]["arrived"]["by_project_and_model"]
        if (row["project_id"], row["model"]) not in others
    }


def agrees(exporter: Exporter, simulator: SimulatorControl) -> bool:
    """Whether the page equals the books in every figure; ask until it does."""
    books = simulator.state()["books"]
    page = exporter.samples("/usage")
    billed = books["billed_cost_usd"]["arrived"]
    return (
        exposed_usage(page) == expected_usage(books)
        and same_money(billed["by_project"], money(page, "openai_costs_month_to_date_usd", "project_id"))
        and same_money(billed["by_line_item"], money(page, "openai_costs_month_to_date_usd", "line_item"))
    )


def settle(exporter: Exporter, simulator: SimulatorControl) -> None:
    wait_for(lambda: agrees(exporter, simulator), 180, "the page equals the books")


def test_every_figure_equals_the_books(simulator: SimulatorControl, tmp_path: Path) -> None:
    with running_exporter(tmp_path, KEYS, document(simulator)) as exporter:
        settle(exporter, simulator)
        page = exporter.samples("/usage")
        books = simulator.state()["books"]

    assert len(expected_usage(books)) > 30
    expected = estimated(books)
    found = money(page, "openai_usage_estimated_cost_usd_total", "project_id", "model")
    assert len(expected) > 10
    assert same_money(expected, {name: found[name] for name in expected})
    unpriced = {s: v for s, v in page.items() if s.startswith("openai_usage_unpriced_tokens_total") and v}
    assert sum(books["estimated_cost_usd"]["arrived"]["unpriced_tokens"].values()) == sum(unpriced.values())


def test_late_usage_is_added_as_it_arrives(simulator: SimulatorControl, tmp_path: Path) -> None:
    with running_exporter(tmp_path, KEYS, document(simulator)) as exporter:
        settle(exporter, simulator)
        before = sum(exposed_usage(exporter.samples("/usage")).values())
        for _ in range(5):
            simulator.clock(advance=240)
            settle(exporter, simulator)
        after = sum(exposed_usage(exporter.samples("/usage")).values())

    assert after > before


def test_a_killed_exporter_loses_and_doubles_nothing(simulator: SimulatorControl, tmp_path: Path) -> None:
    with running_exporter(tmp_path, KEYS, document(simulator)) as exporter:
        settle(exporter, simulator)
        exporter.kill()
        simulator.clock(advance=3600)
        exporter.start()

        settle(exporter, simulator)


def test_an_outage_of_ten_minutes_keeps_the_figures_and_loses_nothing(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    with running_exporter(tmp_path, KEYS, document(simulator)) as exporter:
        settle(exporter, simulator)
        before = exposed_usage(exporter.samples("/usage"))
        simulator.fault("status", path="/v1/organization/*", status=503)
        for _ in range(10):
            simulator.clock(advance=60)
            assert exposed_usage(exporter.samples("/usage")) == before
        wait_for(
            lambda: exporter.samples("/usage")['openai_usage_up{dataset="completions"}'] == 0, 180, "the outage is told"
        )
        simulator.clear()

        settle(exporter, simulator)


def test_two_exporters_side_by_side_tell_the_same(simulator: SimulatorControl, tmp_path: Path) -> None:
    with (
        running_exporter(tmp_path, KEYS, document(simulator)) as one,
        running_exporter(tmp_path, KEYS, document(simulator)) as two,
    ):
        settle(one, simulator)
        simulator.clock(advance=1800)
        settle(one, simulator)
        settle(two, simulator)

        assert exposed_usage(one.samples("/usage")) == exposed_usage(two.samples("/usage"))
