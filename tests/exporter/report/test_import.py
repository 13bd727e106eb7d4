# SPDX-License-Identifier: Apache-2.0
"""Ninety days imported by the real promtool and asked for in a real Prometheus."""

import shlex
import subprocess
from pathlib import Path

import pytest

from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import NOW, bill, done, run, spent, total, unix, usage
from tests.stack.programs import Prometheus
from tests.stack.tsdb import MISSING, PROMTOOL, prometheus_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(MISSING, reason="prometheus and promtool are not installed")]
FROM = "2026-08-22"
CONFIG = """
organizations:
- name: acme
  base_url: {url}
  admin_key_env: OPENAI_ADMIN_KEY
  usage: {{completions: {{group_by: [project_id]}}, embeddings: {{group_by: [project_id]}}}}
  costs: {{group_by: [project_id]}}
"""
"""Few series: promtool reads all of them once per block."""


def taken(found: Prometheus, metric: str, moment: int) -> float:
    """What the API took back in the month so far."""
    field = metric.removeprefix("openai_usage_").removesuffix("_total")
    return found.value(f'sum(openai_usage_corrections_total{{field="{field}"}} @ {moment})') or 0


def test_ninety_days_are_imported_and_totals_agree(simulator: SimulatorControl, tmp_path: Path) -> None:
    config, output = tmp_path / "exporter.yml", tmp_path / "history.om"
    config.write_text(CONFIG.format(url=simulator.api_url))
    message = done(run(simulator, "backfill", "--config.file", str(config), "--from", FROM, "-o", str(output)))
    command = shlex.split(next(line for line in message.splitlines() if "promtool" in line))
    assert "promtool" == command[0]
    subprocess.run([str(PROMTOOL), *command[1:]], check=True, capture_output=True, timeout=300)

    with prometheus_of(tmp_path, Path(command[-1])) as found:
        for start, end in (("2026-09-01", "2026-10-01"), ("2026-10-01", "2026-11-01")):
            first, last = unix(start), unix(end)
            rows = usage(simulator, first, last)
            for metric, field in {
                "openai_usage_requests_total": "num_model_requests",
                "openai_usage_input_tokens_total": "input_tokens",
                "openai_usage_output_tokens_total": "output_tokens",
            }.items():
                expected = total(rows, field)
                counted = found.value(f"sum({metric} @ {last - 1})") or 0
                assert expected == counted - taken(found, metric, last - 1)
                grown = found.value(f"sum(increase({metric}[{last - first}s] @ {last}))")
                assert counted == pytest.approx(grown, rel=0.01)

        now = unix(NOW)
        october = spent(bill(simulator, unix("2026-10-01"), unix("2026-11-01")))[""]
        november = spent(bill(simulator, unix("2026-11-01"), unix("2026-11-20")), "project_id")
        assert float(october) == pytest.approx(found.value(f"openai_costs_previous_month_usd @ {now}"))
        shown = found.query(f"sum by (project_id) (openai_costs_month_to_date_usd @ {now})")
        assert {id: float(usd) for id, usd in november.items() if usd} == pytest.approx(
            {each["metric"].get("project_id", ""): float(each["value"][1]) for each in shown if float(each["value"][1])}
        )
        # An hour's window always has the two samples that increase() needs, at any time of the 90 days.
        windows = f"count_over_time(sum(increase(openai_usage_requests_total[1h]))[89d:1h] @ {now})"
        assert 89 * 24 <= (found.value(windows) or 0) + 1
