# SPDX-License-Identifier: Apache-2.0
"""Recording rules evaluated over a past that is in a database already: level by level, as they need each other."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from openai_exporter.demo.ports import LOOPBACK, Ports
from openai_exporter.demo.processes import Service, Supervisor
from openai_exporter.demo.state import answers
from openai_exporter.errors import StartError

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
