# SPDX-License-Identifier: Apache-2.0
"""Historical data of the simulated organization for a Prometheus that has not started yet.

Usage and costs come from the simulator, through `openai-exporter backfill` as for a real organization; those of probes
from `probe_history`. The recording rules that look back, or that dashboards draw, are then evaluated over both.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml

from openai_exporter.demo.probe_history import STEPS, ProbeHistory, Series, Target, Timeline, parse, parts, read_targets
from openai_exporter.demo.processes import KEYS, LOOPBACK, Ports, Service, Supervisor
from openai_exporter.errors import StartError
from openai_exporter.metrics import usage
from openai_exporter.usage.ledger import DAY, HOUR

COARSE_STEP, FINE_STEP = 1800, 300
"""Seconds between samples of usage: far back, and of the last day."""
GROWTH_STEP = 600
"""Seconds over which growth of usage is recorded."""
_PORT = 19090
_START_SECONDS, _QUERY_SECONDS, _PROGRAM_SECONDS = 30.0, 60.0, 240
_READS = 60
_BLOCK = "1458h"
"""The first of promtool's lengths past 40 days: it reads the file once per block."""
_RECORDED = re.compile(r"[a-z_]+:[a-zA-Z0-9_]+:[a-zA-Z0-9_]+")
_LOOKED_BACK_AT = re.compile(rf"({_RECORDED.pattern})(?:{{[^}}]*}})?\s*(?:\[| offset)")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Rule = Mapping[str, Any]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Past:
    """What fills the database.

    Attributes:
        promtool, prometheus: the programs.
        exporter: root URL of the running exporter.
        config: its configuration.
        bundle: folder that holds `prometheus/rules` and `dashboards/generated`.
        database: the folder of a Prometheus that has not started yet.
        work: folder for what is made on the way.
        days: how long it is.
    """

    promtool: str
    prometheus: str
    exporter: str
    config: Path
    bundle: Path
    database: Path
    work: Path
    days: int

    @property
    def instance(self) -> str:
        """The label of the exporter's live series."""
        return self.exporter.removeprefix("http://")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the past: first and last timestamp in Unix seconds, and the seconds between samples."""

    start: int
    end: int
    step: int


Step = tuple[Rule, Sequence[Part]]
"""A recording rule, and over what it is evaluated."""


def fill(past: Past, report: Report, stopping: Callable[[], bool], now: Callable[[], float] = time.time) -> str:
    """Import the past before Prometheus starts; returns what is missing, empty when nothing is.

    Args:
        report: gets what is being done, in a few words.
        stopping: whether to give up.
    """
    try:
        past.work.mkdir(parents=True, exist_ok=True)
        report(f"usage, costs and probes of {past.days} days")
        end = int(now()) // HOUR * HOUR
        # One day in one of them only, for increases must not be there twice.
        with ThreadPoolExecutor() as pool:
            halves = _halves(past.days, end)
            imported = dict(
                item for found in pool.map(lambda part: _import_usage(past, part), halves) for item in found
            )
        _import_probes(past, imported, end, int(now()))
        # Samples far back are seen until the next one.
        steps = _evaluated(past, end, int(now()))
        levels = record(past.prometheus, past.database, past.work, steps, 2 * COARSE_STEP)
        for number, total in levels:
            report(f"recording rules over {past.days} days, {number} of {total}")
            _import(past, past.work / "recorded.om")
            if stopping():
                break
    except (StartError, OSError, requests.RequestException, subprocess.SubprocessError) as error:
        return f"no historical data, dashboards begin now: {error}"
    return ""


def fill_new(past: Past, report: Report) -> str:
    """As `fill`, into a database that is still new, as a whole or not at all; returns why not.

    One that a Prometheus has used, or that has this past already, stays as it is.
    """
    if any(path.name == "wal" or (path / "meta.json").exists() for path in past.database.iterdir()):
        return f"{past.database} holds data already, nothing is imported"
    shutil.rmtree(past.work, ignore_errors=True)
    made = replace(past, database=past.work / "database")
    problem = fill(made, report, lambda: False)
    if not problem:
        for block in made.database.iterdir():
            if (block / "meta.json").exists():
                block.rename(past.database / block.name)
    shutil.rmtree(past.work, ignore_errors=True)
    return problem


def recording_rules(bundle: Path) -> list[Rule]:
    """The bundle's recording rules."""
    paths = sorted((bundle / "prometheus" / "rules").glob("recording-*.yml"))
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
    return [rule for each in documents for group in each["groups"] for rule in group["rules"] if "record" in rule]


def drawn(bundle: Path) -> Iterator[str]:
    """What the bundle's dashboards draw over time; the rest of what they show is of now."""
    for path in (bundle / "dashboards" / "generated").glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        for panel in [each for outer in document["panels"] for each in (outer, *outer.get("panels", ()))]:
            yield from (target["expr"] for target in panel.get("targets", ()) if not target.get("instant"))


def with_history(rules: Sequence[Rule], expressions: Iterable[str]) -> set[str]:
    """Names that the expressions read, or that rules look back at, and those that their rules need."""
    names = {name for rule in rules for name in _LOOKED_BACK_AT.findall(rule["expr"])}
    names.update(name for text in expressions for name in _RECORDED.findall(text))
    found: set[str] = set()
    while names - found:
        found |= names
        names = {name for rule in rules if rule["record"] in found for name in _RECORDED.findall(rule["expr"])}
    return found


def _evaluated(past: Past, until: int, now: int) -> list[Step]:
    """Each rule and when it is evaluated.

    That is over all of it, or just now where nothing needs more; what `openai-exporter backfill` records itself, where
    that ended, `until`.
    """
    rules, latest = recording_rules(past.bundle), Part(now - 60, now, 60)
    spans = [Part(start, end - 1, step) for start, end, step in parts(now, past.days, STEPS[:-1]) if start < end]
    spans.append(latest)
    written = {metric.name for levels in usage.RECORDED.values() for metric in levels}
    when = dict.fromkeys(with_history(rules, drawn(past.bundle)), spans)
    when |= {name: [Part(until + GROWTH_STEP, now, GROWTH_STEP)] for name in written}
    return [(rule, when.get(rule["record"], [latest])) for rule in rules]


def _halves(days: int, end: int) -> list[Part]:
    """The last day at the fine step, and what is before it, up to a day earlier, at the coarse one."""
    near = end - DAY
    coarse = [Part(end - days * DAY, near - DAY, COARSE_STEP)] if days > 1 else []
    return [*coarse, Part(near, end, FINE_STEP)]


def _import_usage(past: Past, part: Part) -> list[tuple[Series, float]]:
    """Import a part of usage and costs; returns the last value of each series, by its own labels."""
    output = past.work / f"usage-{part.step}.om"
    first, last = (datetime.fromtimestamp(unix, UTC).date().isoformat() for unix in (part.start, part.end))
    argv = [sys.executable, "-m", "openai_exporter", "backfill", "--config.file", str(past.config)]
    argv += ["--from", first, "--to", last, "--step", f"{part.step}s", "--hourly-days", str(past.days)]
    _run([*argv, "--no-resume", "--label", f"instance={past.instance}", "--output", str(output)])
    with output.open(encoding="utf-8") as lines:
        values = dict(line.rsplit(" ", 2)[:2] for line in lines if not line.startswith("#"))
    _import(past, output)
    own = ("instance", "job", "organization")
    samples = parse("\n".join(f"{series} {value}" for series, value in values.items()))
    return [
        ((each.name, frozenset(item for item in each.labels.items() if item[0] not in own)), each.value)
        for each in samples
    ]


def _targets(past: Past) -> list[Target]:
    """The exporter's targets, once it has read the organization; until then it does not show all that it will."""
    read_targets(past.exporter, past.instance)  # over cold connections
    for _ in range(_READS):
        time.sleep(1.5)  # a result is repeated for a second
        targets = read_targets(past.exporter, past.instance)
        if not any(sample.name == usage.UNREAD_SINCE.name for target in targets for sample in target.samples):
            return targets
    raise StartError(f"{past.exporter} does not succeed in reading the organization")


def _import_probes(past: Past, imported: Mapping[Series, float], until: int, now: int) -> None:
    history = ProbeHistory(_targets(past), Timeline(now, past.days), imported, until)
    output = past.work / "probes.om"
    with output.open("w", encoding="utf-8") as file:
        file.writelines(history.lines())
        file.write("# EOF\n")
    _import(past, output)


def _import(past: Past, text: Path) -> None:
    """Make blocks of a file in the OpenMetrics format, and remove it."""
    argv = [past.promtool, "tsdb", "create-blocks-from", "--quiet", "openmetrics"]
    _run([*argv, f"--max-block-duration={_BLOCK}", str(text), str(past.database)])
    text.unlink()


def _run(argv: Sequence[str]) -> None:
    env = {**os.environ, **KEYS}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, env=env)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise StartError(f"{Path(argv[0]).name}: {lines[-1]}")


def record(
    prometheus: str, data: Path, folder: Path, steps: Sequence[Step], lookback: int = 300
) -> Iterator[tuple[int, int]]:
    """Evaluate recording rules over the database `data` with a Prometheus of its own.

    Writes one level of rules after the other to `recorded.om` in `folder`, in the OpenMetrics format; yields its
    number and how many there are, for it to be imported before the next one.

    Args:
        lookback: seconds that a sample is seen.

    Raises:
        StartError: Prometheus does not start or refuses a rule.
    """
    ordered = levels(steps)
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
            with ThreadPoolExecutor(2) as pool:
                lines = [line for found in pool.map(lambda step: _samples(url, *step), level) for line in found]
        finally:
            supervisor.stop()
        (folder / "recorded.om").write_text("".join([*lines, "# EOF\n"]), encoding="utf-8")
        yield number, len(ordered)


def levels(steps: Sequence[Step]) -> list[list[Step]]:
    """Recording rules in groups that only need what is in the groups before, or their own earlier samples.

    Raises:
        StartError: rules need each other in a circle.
    """
    waiting = list(steps)
    ordered: list[list[Step]] = []
    while waiting:
        names = {rule["record"] for rule, _ in waiting}
        ready = [
            step for step in waiting if not (names - {step[0]["record"]}) & set(_RECORDED.findall(step[0]["expr"]))
        ]
        if not ready:
            raise StartError(f"recording rules need each other: {', '.join(sorted(names))}")
        ordered.append(ready)
        waiting = [step for step in waiting if step not in ready]
    return ordered


def _samples(url: str, rule: Rule, parts: Sequence[Part]) -> list[str]:
    """Lines in the OpenMetrics format: series by series, each in the order of time."""
    found: dict[str, dict[int, str]] = {}
    for part in (part for part in parts if part.start <= part.end):
        params = {"query": rule["expr"], "start": part.start, "end": part.end, "step": part.step}
        answer = requests.post(f"{url}/api/v1/query_range", params, timeout=_QUERY_SECONDS)
        if not answer.ok:
            raise StartError(f"recording rule {rule['record']}: {answer.text[:200]}")
        for series in answer.json()["data"]["result"]:
            values = found.setdefault(_series_name(rule, series["metric"]), {})
            values.update((int(timestamp), value) for timestamp, value in series["values"])
    # An expression may give a series twice, under two names one after the other.
    return [f"{name} {value} {at}\n" for name, values in found.items() for at, value in sorted(values.items())]


def _series_name(rule: Rule, metric: Mapping[str, str]) -> str:
    labels = {name: value for name, value in metric.items() if name != "__name__"} | rule.get("labels", {})
    pairs = ",".join(f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in sorted(labels.items()))
    return f"{rule['record']}{{{pairs}}}"
