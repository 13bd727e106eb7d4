# SPDX-License-Identifier: Apache-2.0
"""Ninety days imported by the real promtool and asked for in a real Prometheus."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.exporter.report.commands import ADMIN_KEY, NOW, bill, done, run, spent, total, unix, usage
from tests.stack.programs import Prometheus, running_exporter
from tests.stack.tsdb import MISSING, PROMTOOL, Recording, make_blocks, prometheus_of

ROOT = Path(__file__).parents[3]

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
    subprocess.run([str(PROMTOOL), *command[1:]], check=True, capture_output=True, timeout=800)

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


# An import into a Prometheus that has been reading the exporter meanwhile, while the API shows usage a day late,
# far later than `finalize_after`.

HOUR = 3600
JOINTS = ("2026-11-18T00:00:00Z", "2026-11-18T09:31:20Z")
INPUT = "openai_usage_input_tokens_total"
GROWTH = 'key_user_model:openai_usage_tokens:growth10m{direction="input"}'
ALSO_LIVE = """
  names: false
  limits: false
  refresh_interval: 20ms
  full_refresh_interval: 20ms
"""


@dataclass(frozen=True)
class Live:
    """What Prometheus has read until `now` of an exporter that it found at `began`."""

    simulator: SimulatorControl
    config: Path
    began: str
    now: int
    data: Path
    month_to_date: float


@pytest.fixture(scope="module", params=JOINTS)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder, began = tmp_path_factory.mktemp("live"), unix(request.param)
    with running_simulator(latency_scale=0, seed=7, clock=request.param, speed=0) as simulator:
        simulator.fault("late_buckets", path="/v1/organization/*", by_seconds=24 * HOUR)
        document = yaml.safe_load(CONFIG.format(url=simulator.api_url) + ALSO_LIVE)
        (folder / "exporter.yml").write_text(yaml.safe_dump(document))
        recording = Recording(job="openai", organization="acme", instance="exporter:9985")
        moments = [began, *range(began - began % 600 + 600, began + 5 * HOUR, 600)]
        with running_exporter(folder, {"OPENAI_ADMIN_KEY": ADMIN_KEY}, document) as exporter:
            for moment in moments:
                simulator.clock(now=moment)
                if moment - began > HOUR:
                    simulator.clear()  # now the API shows what was late
                page = exporter.samples("/usage?organization=acme")
                recording.add(moment, page)
        end = moments[-1] + 1200
        for moment in (end - 600, end):  # so that the rules have seen the last one
            recording.add(moment, page)
        make_blocks(recording.write(folder / "live.om"), folder / "data")
        record_growth(folder, began, end)
        month = sum(value for name, value in page.items() if name.startswith(INPUT))
        yield Live(simulator, folder / "exporter.yml", request.param, end, folder / "data", month)


def record_growth(folder: Path, start: int, end: int) -> None:
    """What the rules have recorded of the live series alone: the import comes later.

    Sums of fewer labels are made of what other rules have recorded, once that is in a block.
    """
    file = folder / "growth.yml"
    groups = yaml.safe_load((ROOT / "prometheus" / "rules" / "recording-growth.yml").read_text())["groups"]
    recorded = [rule for group in groups if "usage" in group["name"] for rule in group["rules"]]
    begin = start - start % 600
    levels = {rule["record"].partition(":")[0] for rule in recorded}
    for level in sorted(levels, key=lambda labels: -labels.count("_")):
        rules = [rule for rule in recorded if rule["record"].partition(":")[0] == level]
        file.write_text(yaml.safe_dump({"groups": [{"name": "growth", "interval": "10m", "rules": rules}]}))
        with prometheus_of(folder, folder / "data") as found:
            argv = [
                str(PROMTOOL), "tsdb", "create-blocks-from", "rules", "--url", found.url, "--start", str(begin),
                "--end", str(end), "--output-dir", str(folder / "growth"), str(file),
            ]  # fmt: skip
            subprocess.run(argv, check=True, capture_output=True, timeout=800)
        for block in (folder / "growth").iterdir():
            if block.is_dir():
                block.rename(folder / "data" / block.name)


def joined(live: Live, folder: Path, *options: str) -> Path:
    """Its data together with an import."""
    output = folder / "past.om"
    label = ("--label", "instance=exporter:9985", "--scraped-since", live.began)
    files = ("--config.file", str(live.config), "-o", str(output))
    done(run(live.simulator, "backfill", *files, "--from", "2026-11-10", *label, *options))
    shutil.copytree(live.data, folder / "data")
    make_blocks(output, folder / "data")
    return folder / "data"


@pytest.mark.parametrize("asked", [False, True], ids=["told", "asked"])
@pytest.mark.parametrize(
    ("to", "step"), [("2026-11-16", "30m"), ("2026-11-17", "5m"), ("2026-11-18", "6h"), ("2026-11-18", "30m")]
)
def test_what_is_imported_into_a_prometheus_that_reads_meanwhile_is_counted_once(
    live: Live, tmp_path: Path, note: Note, to: str, step: str, asked: bool
) -> None:
    start, end, began = unix("2026-11-11"), live.now, unix(live.began)
    before = total(usage(live.simulator, unix("2026-11-01"), start), "input_tokens")
    used = live.month_to_date - before
    (tmp_path / "asked").mkdir()
    with prometheus_of(tmp_path / "asked", live.data) as found:
        options = ("--prometheus", found.url) if asked else ()
        data = joined(live, tmp_path, "--to", to, "--step", step, *options)

    with prometheus_of(tmp_path, data) as found:
        window = f"[{end - start + 1}s] @ {end}"
        assert 0 == found.value(f"sum(resets({INPUT}{window}))")
        counted = f"sum({INPUT} @ {end}) - sum(last_over_time({INPUT}[1d] @ {start}))"
        assert used == found.value(counted)
        assert used == pytest.approx(found.value(f"sum(increase({INPUT}{window}))"), rel=0.01)
        assert began - 60 >= (
            found.value(f"max(max_over_time(timestamp({INPUT})[{end - start}s:1m] @ {began - 30}))") or 0
        )
        if asked and unix(to) + 86_400 >= began:
            grown = found.value(f"sum(sum_over_time({GROWTH}[{end - start}s] @ {end}))") or 0
            note(
                "joint of an import",
                f"{live.began} step {step} to {to}: growth less usage {grown - used:.0f} of {used:.0f}",
            )
            assert used == pytest.approx(grown, abs=0.5)
