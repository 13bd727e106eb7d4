# SPDX-License-Identifier: Apache-2.0
"""The memory of a long import does not grow with its length."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from bench.usage import upstream
from tests.exporter.report.commands import ADMIN_KEY
from tests.stack.programs import environment

ROWS = 200
"""Results in each bucket."""
MOST_MIB = 150


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
        sys.executable, "-m", "openai_exporter", "backfill", "--config.file", str(config), "--from", first,
        "-o", str(output), "--step", "1d", "--fine-days", "2",
    ]  # fmt: skip
    with subprocess.Popen(argv, env=environment(KEY=ADMIN_KEY), stdout=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == child.returncode
    assert output.stat().st_size > days * ROWS * 9 * 150
    return used.ru_maxrss / 1024


def test_a_year_of_200_rows_a_day_takes_little_memory_and_hardly_more_than_a_month(tmp_path: Path) -> None:
    with upstream(ROWS) as url:
        month, year = peak_mib(url, tmp_path, 40), peak_mib(url, tmp_path, 365)

    assert year < MOST_MIB
    assert year - month < 10
