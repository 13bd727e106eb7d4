# SPDX-License-Identifier: Apache-2.0
"""The past of the simulated organization in the demo's Prometheus: import, and recording rules evaluated over it."""

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
from types import MappingProxyType
from typing import Any

import requests
import yaml

from openai_exporter.demo.processes import LOOPBACK, Ports, Service, Supervisor
from openai_exporter.demo.state import answers
from openai_exporter.errors import StartError

# Recording rules evaluated over a past that is in a database already: level by level, as they need each other.

Rule = Mapping[str, Any]
Row = tuple[str, list[tuple[int, str]]]
"""A series as its lines begin, and its samples: Unix seconds and value as text."""
_RECORDED = re.compile(r"[a-z_]+:[a-zA-Z0-9_]+:[a-zA-Z0-9_]+")
_PORT = 19090
_START_SECONDS, _QUERY_SECONDS = 30.0, 30.0
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def levels(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Recording rules in groups that only need what is in the groups before.

    Raises:
        StartError: rules need each other in a circle.
    """
    waiting = [rule for rule in rules if "record" in rule]
    found: list[list[Rule]] = []
    while waiting:
        open_names = {rule["record"] for rule in waiting}
        ready = [rule for rule in waiting if not open_names & set(_RECORDED.findall(rule["expr"]))]
        if not ready:
            raise StartError(f"recording rules need each other: {', '.join(sorted(open_names))}")
        found.append(ready)
        waiting = [rule for rule in waiting if rule not in ready]
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the past: first and last moment in Unix seconds, and the seconds between samples."""

    start: int
    end: int
    step: int


class Recorder:
    """Evaluates rule files over the database `data` with a Prometheus of its own, and writes what they record.

    Args:
        folder: where `recorded.om` is written, in the OpenMetrics format, and a log.
        lookback: seconds that a sample is seen.
    """

    def __init__(
        self, prometheus: str, data: Path, folder: Path, files: Sequence[Path], lookback: int = 300
    ) -> None:
        self._lookback = lookback
        self._prometheus = prometheus
        self._data = data
        self._folder = folder
        documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
        groups = [group for document in documents for group in document["groups"]]
        self._levels = levels([rule for group in groups for rule in group["rules"]])

    def levels(self, parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
        """Write one level after the other; yields its number and how many there are, for it to be imported.

        Raises:
            StartError: Prometheus does not start or refuses a rule.
        """
        for number, level in enumerate(self._levels, 1):
            self._write(level, parts)
            yield number, len(self._levels)

    def _write(self, level: Sequence[Rule], parts: Sequence[Part]) -> None:
        supervisor = Supervisor(self._folder, answers)
        ports = Ports()
        port = ports.hold(_PORT)
        url = f"http://{LOOPBACK}:{port}"
        try:
            ports.release(port)
            supervisor.start(self._service(url), timeout=_START_SECONDS, stopping=lambda: False)
            rows = [row for rule in level for row in _evaluated(url, rule, parts)]
        finally:
            supervisor.stop()
        with (self._folder / "recorded.om").open("w", encoding="utf-8") as out:
            for head, samples in rows:
                out.writelines(f"{head} {value} {moment}\n" for moment, value in samples)
            out.write("# EOF\n")

    def _service(self, url: str) -> Service:
        config = self._folder / "empty.yml"
        config.write_text("{}\n", encoding="utf-8")
        argv = (
            self._prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={self._data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address={url.removeprefix('http://')}",
            f"--query.lookback-delta={self._lookback}s",
            "--log.level=warn",
        )
        return Service("recorder", argv, f"{url}/-/ready")


def _evaluated(url: str, rule: Rule, parts: Sequence[Part]) -> Iterator[Row]:
    found: dict[str, list[tuple[int, str]]] = {}
    for part in parts:
        asked = {"query": rule["expr"], "start": part.start, "end": part.end, "step": part.step}
        answer = requests.post(f"{url}/api/v1/query_range", asked, timeout=_QUERY_SECONDS)
        if not answer.ok:
            raise StartError(f"recording rule {rule['record']}: {answer.text[:200]}")
        for series in answer.json()["data"]["result"]:
            head = _head(rule, series["metric"])
            found.setdefault(head, []).extend((int(moment), value) for moment, value in series["values"])
    yield from found.items()


def _head(rule: Rule, metric: Mapping[str, str]) -> str:
    labels = {name: value for name, value in metric.items() if name != "__name__"} | rule.get("labels", {})
    pairs = ",".join(f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in sorted(labels.items()))
    return f"{rule['record']}{{{pairs}}}"


# The past of the simulated organization in the demo's Prometheus: its pages have a past from the first minute.
# Usage and costs come from the simulator's own books, through `openai-exporter backfill` as for a real one; the
# recording rules are then evaluated over that past. Probes have no past: nobody probed.

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
