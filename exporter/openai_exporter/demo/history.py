# SPDX-License-Identifier: Apache-2.0
"""The past of the simulated organization in the demo's Prometheus: its pages have a past from the first minute.

Usage and costs come from the simulator's own books, through `openai-exporter backfill` as for a real organization; the
recording rules are then evaluated over that past. Probes have no past: nobody probed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from openai_exporter.demo.recorded import Part, Recorder
from openai_exporter.errors import StartError

DAY, HOUR = 86_400, 3600
COARSE_STEP, FINE_STEP = 1800, 300
"""Seconds between samples: far back, and (within Prometheus' look-back) where it is looked at from near."""
FINE_USAGE_DAYS, FINE_RECORDED_DAYS = 1, 7
_SECONDS = 120
_BLOCK = "648h"
"""One block for it all: promtool reads the file once per block."""


@dataclass(frozen=True, slots=True)
class Past:
    """What fills the database.

    Attributes:
        promtool, prometheus: the programs.
        config: the exporter's configuration.
        keys: the environment that holds its keys.
        instance: the label of the exporter's live series.
        rules: files of recording rules.
        data: the demo's folder; the database is its `prometheus`.
        days: how long it is.
    """

    promtool: str
    prometheus: str
    config: Path
    keys: dict[str, str]
    instance: str
    rules: tuple[Path, ...]
    data: Path
    days: int


Tell = Callable[[str], None]


def fill(past: Past, tell: Tell, stopping: Callable[[], bool], now: Callable[[], float] = time.time) -> str:
    """Import the past before Prometheus starts; returns what is missing, empty when nothing is.

    Args:
        tell: told what is being done, in a few words.
        stopping: whether to give up.
    """
    try:
        end = int(now()) // HOUR * HOUR
        folder = past.data / "history"
        folder.mkdir(parents=True, exist_ok=True)
        _usage(past, folder, tell, end)
        _recorded(past, folder, tell, stopping, end)
    except (StartError, OSError, subprocess.SubprocessError) as error:
        return f"the pages begin now, without a past: {error}"
    return ""


def _usage(past: Past, folder: Path, tell: Tell, end: int) -> None:
    tell(f"usage and costs of {past.days} days")

    fine = min(past.days, FINE_USAGE_DAYS)
    near = end - fine * DAY

    def one(begin: int, last: int, step: int) -> None:
        output = folder / f"usage-{step}.om"
        argv = [sys.executable, "-m", "openai_exporter", "backfill", "--config.file", str(past.config)]
        argv += ["--from", _day(begin), "--to", _day(last), "--step", f"{step}s"]
        argv += ["--fine-days", str(past.days), "--no-resume"]
        _run([*argv, "--label", f"instance={past.instance}", "--output", str(output)], past.keys)
        _blocks(past, output)

    # One day in one of them only, for growth must not be there twice.
    coarse = [(end - past.days * DAY, near - DAY, COARSE_STEP)] if past.days > fine else []
    with ThreadPoolExecutor() as pool:
        list(pool.map(one, *zip(*coarse, (near, end, FINE_STEP), strict=True)))


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _recorded(past: Past, folder: Path, tell: Tell, stopping: Callable[[], bool], end: int) -> None:
    fine = min(past.days, FINE_RECORDED_DAYS)
    near = end - fine * DAY
    coarse = [Part(end - past.days * DAY, near - COARSE_STEP, COARSE_STEP)] if past.days > fine else []
    parts = [*coarse, Part(near, end, FINE_STEP)]
    # The coarse samples of usage are seen until the next one.
    recorder = Recorder(past.prometheus, past.data / "prometheus", folder, past.rules, COARSE_STEP + 60)
    for number, total in recorder.levels(parts):
        tell(f"recording rules over {past.days} days, {number} of {total}")
        _blocks(past, folder / "recorded.om")
        if stopping():
            break


def _blocks(past: Past, text: Path) -> None:
    """Make blocks of a file in the OpenMetrics format, and remove it."""
    head = [past.promtool, "tsdb", "create-blocks-from", "--quiet", "openmetrics"]
    _run([*head, f"--max-block-duration={_BLOCK}", str(text), str(past.data / "prometheus")])
    text.unlink()


def _run(argv: Sequence[str], env: Mapping[str, str] = MappingProxyType({})) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, env={**os.environ, **env})
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise StartError(f"{Path(argv[0]).name}: {said[-1]}")
