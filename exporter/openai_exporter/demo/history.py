# SPDX-License-Identifier: Apache-2.0
"""The past of the simulated organization in the demo's Prometheus: import, and recording rules evaluated over it.

Usage and costs come from the simulator, through `openai-exporter backfill` as for a real organization; the recording
rules are then evaluated over them. Probes have no past: nobody probed.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml

from openai_exporter.demo.processes import KEYS, LOOPBACK, Ports, Service, Supervisor
from openai_exporter.errors import StartError

DAY, HOUR = 86_400, 3600
COARSE_STEP, FINE_STEP = 1800, 300
"""Seconds between samples: far back, and (within Prometheus' look-back) for the last days."""
FINE_USAGE_DAYS, FINE_RECORDED_DAYS = 1, 7
_PORT = 19090
_START_SECONDS, _QUERY_SECONDS, _PROGRAM_SECONDS = 30.0, 30.0, 120
_BLOCK = "648h"
"""One block for it all: promtool reads the file once per block."""
_RECORDED = re.compile(r"[a-z_]+:[a-zA-Z0-9_]+:[a-zA-Z0-9_]+")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Rule = Mapping[str, Any]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Past:
    """What fills the database.

    Attributes:
        promtool, prometheus: the programs.
        instance: the label of the exporter's live series.
        rules: files of recording rules.
        data: the demo's folder, with `exporter.yml`; the database is its `prometheus`.
        days: how long it is.
    """

    promtool: str
    prometheus: str
    instance: str
    rules: tuple[Path, ...]
    data: Path
    days: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the past: first and last timestamp in Unix seconds, and the seconds between samples."""

    start: int
    end: int
    step: int


def fill(past: Past, report: Report, stopping: Callable[[], bool], now: Callable[[], float] = time.time) -> str:
    """Import the past before Prometheus starts; returns what is missing, empty when nothing is.

    Args:
        report: gets what is being done, in a few words.
        stopping: whether to give up.
    """
    try:
        end = int(now()) // HOUR * HOUR
        folder = past.data / "history"
        folder.mkdir(parents=True, exist_ok=True)
        report(f"usage and costs of {past.days} days")
        # One day in one of them only, for increases must not be there twice.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda part: _import_usage(past, folder, part), _parts(past.days, end, FINE_USAGE_DAYS, DAY)))
        parts = _parts(past.days, end, FINE_RECORDED_DAYS, COARSE_STEP)
        # The coarse samples of usage are seen until the next one.
        levels = record(past.prometheus, past.data / "prometheus", folder, past.rules, parts, COARSE_STEP + 60)
        for number, total in levels:
            report(f"recording rules over {past.days} days, {number} of {total}")
            _import(past, folder / "recorded.om")
            if stopping():
                break
    except (StartError, OSError, subprocess.SubprocessError) as error:
        return f"the pages begin now, without a past: {error}"
    return ""


def _parts(days: int, end: int, hourly_days: int, gap: int) -> list[Part]:
    """Up to `hourly_days` at the fine step, and what is before them, up to `gap` seconds earlier, at the coarse one."""
    near = end - min(days, hourly_days) * DAY
    coarse = [Part(end - days * DAY, near - gap, COARSE_STEP)] if days > hourly_days else []
    return [*coarse, Part(near, end, FINE_STEP)]


def _import_usage(past: Past, folder: Path, part: Part) -> None:
    output = folder / f"usage-{part.step}.om"
    first, last = (datetime.fromtimestamp(unix, UTC).date().isoformat() for unix in (part.start, part.end))
    argv = [sys.executable, "-m", "openai_exporter", "backfill", "--config.file", str(past.data / "exporter.yml")]
    argv += ["--from", first, "--to", last, "--step", f"{part.step}s", "--hourly-days", str(past.days)]
    _run([*argv, "--no-resume", "--label", f"instance={past.instance}", "--output", str(output)])
    _import(past, output)


def _import(past: Past, text: Path) -> None:
    """Make blocks of a file in the OpenMetrics format, and remove it."""
    argv = [past.promtool, "tsdb", "create-blocks-from", "--quiet", "openmetrics"]
    _run([*argv, f"--max-block-duration={_BLOCK}", str(text), str(past.data / "prometheus")])
    text.unlink()


def _run(argv: Sequence[str]) -> None:
    env = {**os.environ, **KEYS}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, env=env)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise StartError(f"{Path(argv[0]).name}: {lines[-1]}")


def record(
    prometheus: str, data: Path, folder: Path, files: Sequence[Path], parts: Sequence[Part], lookback: int = 300
) -> Iterator[tuple[int, int]]:
    """Evaluate the recording rules of `files` over the database `data` with a Prometheus of its own.

    Writes one level of rules after the other to `recorded.om` in `folder`, in the OpenMetrics format; yields its
    number and how many there are, for it to be imported before the next one.

    Args:
        lookback: seconds that a sample is seen.

    Raises:
        StartError: Prometheus does not start or refuses a rule.
    """
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    ordered = levels([rule for document in documents for group in document["groups"] for rule in group["rules"]])
    (folder / "empty.yml").write_text("{}\n", encoding="utf-8")
    ports = Ports()
    url = f"http://{LOOPBACK}:{ports.hold(_PORT)}"
    ports.close()
    argv = (
        prometheus,
        f"--config.file={folder / 'empty.yml'}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address={url.removeprefix('http://')}",
        f"--query.lookback-delta={lookback}s",
        "--log.level=warn",
    )
    for number, level in enumerate(ordered, 1):
        supervisor = Supervisor(folder)
        try:
            service = Service("recorder", argv, url)
            supervisor.start(service, timeout=_START_SECONDS, stopping=lambda: False)
            lines = [line for rule in level for line in _samples(url, rule, parts)]
        finally:
            supervisor.stop()
        (folder / "recorded.om").write_text("".join([*lines, "# EOF\n"]), encoding="utf-8")
        yield number, len(ordered)


def levels(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Recording rules in groups that only need what is in the groups before, or their own earlier samples.

    Raises:
        StartError: rules need each other in a circle.
    """
    waiting = [rule for rule in rules if "record" in rule]
    ordered: list[list[Rule]] = []
    while waiting:
        open_names = {rule["record"] for rule in waiting}
        ready = [rule for rule in waiting if not (open_names - {rule["record"]}) & set(_RECORDED.findall(rule["expr"]))]
        if not ready:
            raise StartError(f"recording rules need each other: {', '.join(sorted(open_names))}")
        ordered.append(ready)
        waiting = [rule for rule in waiting if rule not in ready]
    return ordered


def _samples(url: str, rule: Rule, parts: Sequence[Part]) -> Iterator[str]:
    """Lines in the OpenMetrics format: series by series, each in the order of time."""
    lines: dict[str, list[str]] = {}
    for part in parts:
        params = {"query": rule["expr"], "start": part.start, "end": part.end, "step": part.step}
        answer = requests.post(f"{url}/api/v1/query_range", params, timeout=_QUERY_SECONDS)
        if not answer.ok:
            raise StartError(f"recording rule {rule['record']}: {answer.text[:200]}")
        for series in answer.json()["data"]["result"]:
            name = _series_name(rule, series["metric"])
            lines.setdefault(name, []).extend(
                f"{name} {value} {int(timestamp)}\n" for timestamp, value in series["values"]
            )
    for samples in lines.values():
        yield from samples


def _series_name(rule: Rule, metric: Mapping[str, str]) -> str:
    labels = {name: value for name, value in metric.items() if name != "__name__"} | rule.get("labels", {})
    pairs = ",".join(f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in sorted(labels.items()))
    return f"{rule['record']}{{{pairs}}}"
