# SPDX-License-Identifier: Apache-2.0
"""The memory of a long import does not grow with its length."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from bench.usage import upstream
from tests.exporter.report.commands import ADMIN_KEY
from tests.stack.programs import environment

ROWS = 100
"""Results in each bucket."""
MOST_MIB = 150
RUN = """
import sys
from openai_exporter.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(open("/proc/self/status").read())
"""
"""Runs the command, and tells its own peak: what wait4 tells of a child includes its parent's."""


def peak_mib(url: str, folder: Path, days: int) -> float:
    """The largest resident memory of an import, in MiB."""
    config = folder / "exporter.yml"
    groups = {"group_by": ["project_id", "api_key_id", "model", "batch", "service_tier"]}
    organization = {
        "name": "acme", "base_url": url, "admin_key_env": "KEY", "costs": None, "usage": {"completions": groups}
    }  # fmt: skip
    config.write_text(yaml.safe_dump({"organizations": [organization]}))
    first = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
    output = folder / f"{days}.om"
    argv = [
        sys.executable, "-c", RUN, "backfill", "--config.file", str(config), "--from", first,
        "-o", str(output), "--step", "1d", "--hourly-days", "2",
    ]  # fmt: skip
    ended = subprocess.run(
        argv, env=environment(KEY=ADMIN_KEY), capture_output=True, text=True, check=True, timeout=600
    )
    assert output.stat().st_size > days * ROWS * 9 * 150
    peak = re.search(r"VmHWM:\s+(\d+) kB", ended.stdout)
    assert peak is not None
    return int(peak[1]) / 1024


def test_a_year_of_100_rows_a_day_takes_little_memory_and_hardly_more_than_a_month(tmp_path: Path) -> None:
    with upstream(ROWS) as url:
        month, year = peak_mib(url, tmp_path, 40), peak_mib(url, tmp_path, 365)

    assert year < MOST_MIB
    assert year - month < 10
