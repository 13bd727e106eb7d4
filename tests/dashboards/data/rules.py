# SPDX-License-Identifier: Apache-2.0
"""Fills recording rules in: evaluates those that need nothing recorded first, then those that need these."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.dashboards.data.series import Series
from tests.dashboards.data.timeline import COARSE, FINE, Paced, Timeline
from tests.dashboards.data.tsdb import Server, load, serving
from tests.mixin.lint.parser import seconds

Rule = Mapping[str, Any]
Part = tuple[int, int, int]
"""First and last moment in Unix seconds, and the seconds between samples."""
_RECORDED = re.compile(r"[a-z_]+:[a-zA-Z0-9_]+:[a-zA-Z0-9_]+")


def levels(groups: Sequence[Mapping[str, Any]]) -> list[list[Rule]]:
    """Recording rules in the order in which they need each other."""
    waiting = [rule for group in groups for rule in group["rules"] if "record" in rule]
    found: list[list[Rule]] = []
    while waiting:
        open_names = {rule["record"] for rule in waiting}
        ready = [rule for rule in waiting if not open_names & set(_RECORDED.findall(rule["expr"]))]
        assert ready, f"rules need each other: {sorted(open_names)}"
        found.append(ready)
        waiting = [rule for rule in waiting if rule not in ready]
    return found


def needed(groups: Sequence[Mapping[str, Any]], names: set[str]) -> list[Mapping[str, Any]]:
    """The groups, with only those rules that `names` need, directly or through others."""
    rules = [rule for group in groups for rule in group["rules"] if "record" in rule]
    found: set[str] = set()
    while names - found:
        found |= names
        names = {each for rule in rules if rule["record"] in found for each in _RECORDED.findall(rule["expr"])}
    return [{**group, "rules": [r for r in group["rules"] if r.get("record") in found]} for group in groups]


def recorded_names(text: str) -> set[str]:
    """Recorded series that an expression reads."""
    return set(_RECORDED.findall(text))


def fill_in(folder: Path, timeline: Timeline, groups: Sequence[Mapping[str, Any]]) -> int:
    """Evaluate the recording rules over the whole timeline; returns how many samples were recorded."""
    slow = [group for group in groups if _pace(group) > COARSE]
    samples = 0
    for level in levels([group for group in groups if group not in slow]):
        samples += _record(folder, timeline, level, _parts(timeline))
    # Each level starts a server: groups of one pace are filled in together.
    for pace in dict.fromkeys(map(_pace, slow)):
        paced = Paced(timeline.start, timeline.end, timeline.fine_from, int(pace))
        parts = [(paced.times[0], paced.times[-1], paced.pace)]
        for level in levels([group for group in slow if _pace(group) == pace]):
            samples += _record(folder, paced, level, parts)
    return samples


def _pace(group: Mapping[str, Any]) -> float:
    """Seconds between two evaluations, where a group has a pace of its own."""
    return seconds(group.get("interval", "0s"))


def _parts(timeline: Timeline) -> list[Part]:
    last_coarse = timeline.start + (timeline.fine_from - 1 - timeline.start) // COARSE * COARSE
    return [(timeline.start, last_coarse, COARSE), (timeline.fine_from, timeline.end, FINE)]


def _record(folder: Path, timeline: Timeline, rules: Sequence[Rule], parts: Sequence[Part]) -> int:
    with serving(folder) as server:
        recorded = [series for rule in rules for series in _evaluate(server, rule, timeline, parts)]
    return load(folder, timeline, recorded) if recorded else 0


def _evaluate(server: Server, rule: Rule, timeline: Timeline, parts: Sequence[Part]) -> Iterator[Series]:
    """The series that a rule records, with a value wherever it has one."""
    places = {t: place for place, t in enumerate(timeline.times)}
    values: dict[tuple[tuple[str, str], ...], list[float | None]] = {}
    for start, end, step in parts:
        answer = server.ask("/api/v1/query_range", query=rule["expr"], start=start, end=end, step=step)
        assert answer["status"] == "success", f"{rule['record']}: {answer}"
        for row in answer["data"]["result"]:
            metric = {**row["metric"], **rule.get("labels", {})}
            metric.pop("__name__", None)
            line = values.setdefault(tuple(sorted(metric.items())), [None] * timeline.length)
            for t, value in row["values"]:
                line[places[int(t)]] = float(value)
    for labels, line in values.items():
        yield Series(rule["record"], dict(labels), line)
