# SPDX-License-Identifier: Apache-2.0
"""What an on-call person sees of a scenario: which alerts fire, when, and how many notifications follow.

To add a row, add an entry to a file of scenarios/ and run `python -m tests.rules.scenarios`: it plays every scenario
with promtool through the generated rules, and through Alertmanager's routes, inhibitions and hours as they are
generated, and writes docs/scenarios.md. test_scenarios.py asserts the entry's own numbers and that the page is current.

    - name: the scenario in words, unique
      areas: [availability]        # rule files alerts-*.yml; default availability, latency, limits, exporter
      thresholds: false            # whether the alerts of thresholds.yml count too; default true
      alerts: [OpenAITargetDown]   # these alone; default all of them
      step: 1m                     # of samples and evaluations
      probes:                      # default labels: target openai, module chat, endpoint chat, model gpt-6-luna
        - {story: 'ok 2h, timeout_total 5m, ok 1h', pace: 5m, min_interval: 60m, labels: {model: gpt-5}}
      series: {'up{job="x"}': 1x100}     # any other series, promtool's notation, one value per step
      organization: {keys: 200, part: 0, days: 14, holiday: 8}  # healthy usage, days counted from 0; see PARTS
    fault: 2h                    # moment that times are counted from; default: the end of the first phase
      pages: 1                     # notifications that the receiver `page` gets, reminders and resolutions left out
      tickets: 0                   # those of the receivers `notify` and `cost`
      first: 5m                    # latest moment of the first page (without page: ticket), counted from the fault

A phase of a story is an outcome (`ok` is success) and how long it lasts; `ok@12s` gives a duration, `gone` is a scrape
that fails, `none` no scrape at all, and `(...)x3` repeats. Key `shared: true`: another Prometheus asks, this one reads
cached results. Every scenario starts at 1970-01-01 00:00, a Thursday. Receivers `info` and `nobody` are ignored.
"""

import itertools
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from openai_exporter.probe.judge import OUTCOMES
from tests.mixin.alerting import matches
from tests.mixin.bundle import ALERTMANAGER, FRUGAL, PROMTOOLS, ROOT, load_yaml, rule_files
from tests.mixin.lint.nodes import Selector, selectors
from tests.mixin.lint.parser import parse, seconds

FOLDER = Path(__file__).parent / "scenarios"
PAGE = ROOT / "docs" / "scenarios.md"
AREAS = ("availability", "latency", "limits", "exporter")
LABELS = {
    "job": "openai", "instance": "e:9985", "target": "openai", "provider": "openai", "module": "chat",
    "endpoint": "chat", "model": "gpt-6-luna",
}  # fmt: skip
PARTS = 12
"""Each twelfth key is a series of its own, the others are one, since promtool reads 10,000 samples at once."""
MOST = 20
"""Scenarios of a batch, at most."""
LONG = 420
"""Steps of a short scenario, at most."""
LOOKBACK = 300
"""Seconds after which promtool takes a sample for gone."""
_IGNORED = ("info", "nobody", "watchdog")
_PHASE = re.compile(r"(\w+)(?:@([\d.]+)s)? (\w+)")

Labels = dict[str, str]
Alert = frozenset[tuple[str, str]]
Firing = Mapping[Any, Sequence[Labels]]
"""Seconds -> labels of the alerts that fire then."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What one receiver got at once."""

    at: float
    receiver: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """One entry of a file."""

    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def step(self) -> float:
        return seconds(str(self.data.get("step", "1m")))

    @cached_property
    def stories(self) -> list[list[tuple[str, float]]]:
        """Outcome and duration at each step, by probe."""
        return [list(self._story(each["story"])) for each in self.data.get("probes", ())]

    @property
    def fault(self) -> float:
        """Seconds from the start to what the scenario is about."""
        if "fault" in self.data:
            return seconds(str(self.data["fault"]))
        story = self.data["probes"][0]["story"]
        first = _PHASE.search(story)
        assert first, story
        return seconds(first[3])

    @property
    def steps(self) -> int:
        if self.stories:
            return max(map(len, self.stories))
        if "organization" in self.data:
            return int(self.data["organization"]["days"] * 86_400 / self.step)
        return 1 + max(sum(1 + int(n or 0) for n in re.findall(r"(?:^| )[^ ]+?(?:x(\d+))?(?= |$)", str(v))) - 1
                       for v in self.data["series"].values())  # fmt: skip

    def _story(self, text: str) -> Iterator[tuple[str, float]]:
        while match := re.search(r"\(([^()]*)\)x(\d+)", text):
            text = text.replace(match[0], ", ".join([match[1]] * int(match[2])))
        for phase in text.split(", "):
            match = _PHASE.fullmatch(phase.strip())
            assert match, f"{self.name}: {phase!r}"
            assert match[1] in ("ok", "gone", "none") or match[1] in OUTCOMES, f"{self.name}: {match[1]!r}"
            lasts = seconds(match[3])
            assert lasts % self.step == 0, f"{self.name}: {phase!r} is no number of steps"
            yield from [("success" if match[1] == "ok" else match[1], float(match[2] or 1))] * int(lasts / self.step)

    def input_series(self) -> dict[str, str]:
        """Series in promtool's notation."""
        steps = self.steps
        own = '{job="openai",instance="e:9985"}'
        found = {
            f"up{own}": f"1x{steps}",
            f"process_start_time_seconds{own}": f"1000x{steps}",
            f"openai_exporter_config_last_reload_successful{own}": f"1x{steps}",
        }
        for probe, story in zip(self.data.get("probes", ()), self.stories, strict=True):
            found |= self._probe(probe, story)
        if "organization" in self.data:
            found |= _organization(self.data["organization"], self.step, steps)
        return found | {name: str(values) for name, values in self.data.get("series", {}).items()}

    def _probe(self, probe: Mapping[str, Any], story: Sequence[tuple[str, float]]) -> dict[str, str]:
        pace, least = (seconds(str(probe.get(key, "0s"))) for key in ("pace", "min_interval"))
        labels = LABELS | probe.get("labels", {})
        seen = ["success", *dict.fromkeys(name for name, _ in story if name in OUTCOMES and name != "success")]
        columns: dict[tuple[str, str], list[str]] = {}
        result, asked, up = ("", 0.0), -1e9, True
        for number, now in enumerate(story):
            at = number * self.step
            if (pace and at % pace) or now[0] == "none":
                row: dict[tuple[str, str], str] = {}
            elif now[0] == "gone":
                row = {("up", ""): "0"} | ({key: "stale" for key in columns if key[0] != "up"} if up else {})
                up = False
            else:
                up, fresh = True, at - asked >= least - 1e-6
                if fresh:
                    result, asked = now, at
                other = bool(probe.get("shared"))
                row = _answer(result, fresh and not other, asked - 20 * other, at, seen)
            for key in row.keys() - columns.keys():
                columns[key] = ["_"] * number
            for key, column in columns.items():
                column.append(row.get(key, "_"))
        return {_series(name, labels, more): _short(column) for (name, more), column in columns.items()}

    def rules(self) -> list[dict[str, Any]]:
        """Groups of the alerts of its areas, and of all that they read; recorded series first."""
        wanted, groups, alerts = set(), [], self.data.get("alerts")
        areas = {f"alerts-{area}.yml" for area in self.data.get("areas", AREAS)}
        if self.data.get("thresholds", True):
            areas |= {file for file in all_rule_files() if file.startswith("user-")}
        files = dict(sorted(all_rule_files().items(), key=lambda each: (not each[0].startswith("recording"), each[0])))
        for file, document in reversed(files.items()):
            for group in reversed(document["groups"]):
                kept = []
                for rule in reversed(group["rules"]):
                    asked = file in areas and (alerts is None or rule.get("alert") in alerts)
                    if asked or rule.get("record") in wanted:
                        kept.append(rule)
                        wanted |= set(re.findall(r"\w+:[\w:]+", rule["expr"]))
                if kept:
                    groups.append({"name": group["name"], "rules": kept[::-1]})
        return groups[::-1] if self.step <= LOOKBACK else _ordered(groups[::-1])

    @property
    def batch(self) -> str:
        """Scenarios of one batch are played at once, each as a cluster of its own."""
        rules = f"{self.data.get('areas', AREAS)}, thresholds {self.data.get('thresholds', True)}"
        rules += f", {self.data['alerts']}" if "alerts" in self.data else ""
        return f"{rules}, step {self.step:g}s, {'long' if self.steps > LONG else 'short'}"


def _ordered(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each group after those that it reads, for what they wrote in the step before is gone."""
    left, found = list(groups), list[dict[str, Any]]()
    while left:
        written = {each["name"]: {rule.get("record") for rule in each["rules"]} for each in left}
        read = {
            each["name"]: {name for rule in each["rules"] for name in re.findall(r"\w+:[\w:]+", rule["expr"])}
            for each in left
        }
        ready = [
            each
            for each in left
            if not any(read[each["name"]] & names for other, names in written.items() if other != each["name"])
        ]
        found += ready
        left = [each for each in left if each not in ready]
        assert ready, f"groups of rules read each other: {[*written]}"
    return found


def all_rule_files() -> dict[str, Any]:
    """Those of the mixin and those of thresholds.yml, as they are committed."""
    user = (ROOT / "prometheus" / "rules").glob("user-*.yml")
    return {**rule_files(), **{path.name: load_yaml(path) for path in user}}


def alive(groups: Sequence[dict[str, Any]], series: Iterable[str]) -> list[dict[str, Any]]:
    """The groups without the rules that can give nothing, since no series that they read exists, and without texts.

    A rule that says something of what is absent, or of the time alone, stays.
    """
    given = {name.partition("{")[0] for name in series} | {"ALERTS", "ALERTS_FOR_STATE"}
    left = [(number, rule) for number, group in enumerate(groups) for rule in group["rules"]]
    while True:
        written = [rule for _, rule in left if "record" in rule]
        kept = [(number, rule) for number, rule in left if _reads(rule["expr"], given, written)]
        if len(kept) == len(left):
            break
        left = kept
    rules: list[list[dict[str, Any]]] = [[] for _ in groups]
    for number, rule in left:
        # Texts ask Prometheus for more, at each step of a firing alert; nobody reads them here.
        rules[number].append({key: value for key, value in rule.items() if key != "annotations"})
    return [{**group, "rules": found} for group, found in zip(groups, rules, strict=True) if found]


def _reads(expr: str, given: Container[str], written: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an expression reads a series that is given, or one that a rule writes, or may do without any."""
    read = _selectors(expr)
    if not read or re.search(r"\b(absent|absent_over_time|vector)\b|\(\)", expr):
        return True
    return any(each.metric in given or any(_writes(rule, each) for rule in written) for each in read)


def _writes(rule: Mapping[str, Any], selector: Selector) -> bool:
    labels = rule.get("labels", {})
    equal = [each for each in selector.matchers if each.op == "=" and each.label in labels]
    return rule["record"] == selector.metric and all(labels[each.label] == each.value for each in equal)


@cache
def _selectors(expr: str) -> list[Selector]:
    return selectors(parse(expr))


def _organization(data: Mapping[str, Any], step: float, steps: int) -> dict[str, str]:
    """Usage in health: nights, weekends, a holiday, jobs at night, keys that are new, and a budget that lasts."""
    noise = random.Random(data.get("seed", 1))
    own = 'job="openai",instance="e:9985",organization="acme"'
    total, rest = [0.0] * steps, [0.0] * steps
    found = {}
    for key in range(data["keys"]):
        of_part = key % PARTS == data["part"]
        # US dollars a day: the largest keys spend hundreds of times as much as most do.
        size, nightly = min(noise.paretovariate(1.1) / 2, 40.0), key % 10 == 3
        since = steps * 2 // 3 if key % 9 == 7 else 0
        spent, values = noise.random() * 100, ["_"] * since
        for number in range(since, steps):
            day, seconds_of_day = divmod(number * step, 86_400)
            hour = seconds_of_day / 3600
            busy = (
                0.2 + 1.6 * max(0.0, math.sin(math.pi * (hour - 6) / 14)) if not nightly else 16.0 * (2 <= hour < 3.5)
            )
            free = (day + 3) % 7 in (5, 6) or day == data["holiday"]
            grown = size * step / 86_400 * busy * (0.3 if free else 1) * math.exp(noise.gauss(0, 0.3))
            grown *= number > since
            spent += grown
            total[number] += grown
            rest[number] += grown * (not of_part)
            values.append(f"{spent:.3f}")
        labels = f'{own},operation="completions",project_id="proj_{key % 20}",api_key_id="key_{key}",model="gpt-6"'
        if of_part:
            found[f"openai_usage_estimated_cost_usd_total{{{labels}}}"] = " ".join(values)
    others = f'{own},operation="completions",project_id="proj_x",api_key_id="others",model="gpt-6"'
    found[f"openai_usage_estimated_cost_usd_total{{{others}}}"] = " ".join(
        f"{value:.3f}" for value in itertools.accumulate(rest)
    )
    sums = list(itertools.accumulate(total))
    found[f'openai_usage_input_tokens_total{{{own},operation="completions",model="gpt-6"}}'] = " ".join(
        f"{value * 1e6:.0f}" for value in sums
    )
    budget = f'{own},budget="all",scope="organization",period="month"'
    return found | {
        f'openai_usage_up{{{own},dataset="completions"}}': f"1x{steps}",
        f'openai_usage_last_success_timestamp_seconds{{{own},dataset="completions"}}': f"0+{step:g}x{steps}",
        f"openai_budget_limit_usd{{{budget}}}": f"{sums[-1] * 2.6:.0f}x{steps}",
        f"openai_budget_warn_ratio{{{budget}}}": f"0.8x{steps}",
        f'openai_budget_spent_usd{{{budget},basis="billed"}}': " ".join(f"{value:.2f}" for value in sums),
    }


def _answer(
    result: tuple[str, float], fresh: bool, made: float, at: float, seen: Sequence[str]
) -> dict[tuple[str, str], str]:
    outcome, duration = result
    fact = OUTCOMES[outcome]
    row = {
        ("up", ""): "1",
        ("probe_success", ""): f"{fact.success:d}",
        ("probe_duration_seconds", ""): f"{9.5 if 'timeout' in outcome else duration:g}",
        ("probe_timeout_seconds", ""): "9.5",
        ("openai_probe_cached_age_seconds", ""): f"{at - made:g}",
        ("openai_probe_result_source", 'result_source="own"'): f"{fresh:d}",
    }
    if fact.made:
        row[("openai_probe_last_result_timestamp_seconds", "")] = f"{made + 0.5:.1f}"
    if fresh:
        row[("openai_probe_availability_valid", "")] = f"{fact.valid:d}"
        row[("openai_probe_availability_good", "")] = f"{fact.good:d}"
    return row | {("openai_probe_outcome", f'outcome="{each}"'): f"{each == outcome:d}" for each in seen}


def _series(name: str, labels: Mapping[str, str], more: str) -> str:
    matchers = [f'{key}="{value}"' for key, value in labels.items()]
    return f"{name}{{{','.join([*matchers, *filter(None, [more])])}}}"


def _short(column: Sequence[str]) -> str:
    """`1 1 1 _ _` as `1x2 _x2`."""
    parts: list[tuple[str, int]] = []
    for value in column:
        if parts and parts[-1][0] == value:
            parts[-1] = (value, parts[-1][1] + 1)
        else:
            parts.append((value, 1))
    texts = [
        f"{v}x{n}" if v == "_" else v if n == 1 else " ".join([v] * n) if v == "stale" else f"{v}x{n - 1}"
        for v, n in parts
    ]
    return " ".join(texts)


_FIRING = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'


def play(batch: Sequence[Scenario]) -> list[Firing]:
    """What fires at each step of each scenario; all of them are of one batch."""
    if not batch:
        return []
    step, steps = batch[0].step, [each.steps for each in batch]
    found: list[dict[float, list[Labels]]] = [{} for _ in batch]
    series = {
        _in_cluster(number, name): values
        for number, scenario in enumerate(batch)
        for name, values in scenario.input_series().items()
    }
    for at, alerts in _promtool(alive(batch[0].rules(), series), round(step), max(steps), series):
        for each in alerts:
            number = int(each.pop("cluster"))
            if at < steps[number] * step:
                found[number].setdefault(at, []).append(each)
    return [*found]


def _in_cluster(number: int, name: str) -> str:
    metric, _, labels = name.rstrip("}").partition("{")
    return f'{metric}{{cluster="{number}",{labels}}}'


def _promtool(
    groups: Sequence[Any], step: int, steps: int, series: Mapping[str, str]
) -> Iterator[tuple[float, list[Labels]]]:
    assert PROMTOOLS
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.yml").write_text(json.dumps({"groups": groups}))
        times = [f"{number * step}s" for number in range(steps)]
        test = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{step}s",
            "group_eval_order": [group["name"] for group in groups],
            "tests": [{
                "interval": f"{step}s",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [{"expr": _FIRING, "eval_time": time, "exp_samples": []} for time in times],
            }],
        }  # fmt: skip
        (Path(folder) / "test.yml").write_text(json.dumps(test))
        # The page is what the first version at hand says; newer ones differ at the edges of ranges (test_rules.py).
        command = [PROMTOOLS[0], "test", "rules", f"{folder}/test.yml"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ | FRUGAL)
    output = said.stdout + said.stderr
    blocks = re.split(r"\n\s*expr: ", output)[1:]
    assert blocks or said.returncode == 0, output
    for block in blocks:
        assert "got:" in block, block
        when = re.search(r", time: (\w+)", block)
        assert when
        samples = re.findall(r"(\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*\}) [-+\d.eE]+", block.split("got:")[-1])
        alerts = [dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', each)) for each in samples]
        for each in alerts:
            del each["__name__"], each["alertstate"]
        yield seconds(when[1]), alerts


# Alertmanager, as far as it decides whether and when something is sent.


def notifications(firing: Firing, step: float, end: float, config: Mapping[str, Any]) -> list[Notification]:
    """What is sent while alerts fire, once per news; reminders and resolutions are not news."""
    groups: dict[tuple[Any, ...], tuple[float, set[Alert]]] = {}
    sent = []
    hours = {each["name"]: each["time_intervals"] for each in config.get("time_intervals", ())}
    for number in range(int(end / step) + 1):
        at = number * step
        alerts = list(firing.get(at, ()))
        heard = [each for each in alerts if not _inhibited(each, alerts, config["inhibit_rules"])]
        current: dict[tuple[Any, ...], tuple[Mapping[str, Any], set[Alert], set[str]]] = {}
        for each in alerts:
            route = _route(each, config["route"])
            key = (route["receiver"], *[each.get(label, "") for label in route["group_by"]], str(route.get("matchers")))
            _, members, names = current.setdefault(key, (route, set(), set()))
            if each in heard and _open(route, hours, at):
                members.add(frozenset(each.items()))
                names.add(each["alertname"])
        for key in groups.keys() - current.keys():
            del groups[key]
        for key, (route, members, names) in current.items():
            due, known = groups.setdefault(key, (at + seconds(route["group_wait"]), set()))
            # Alertmanager looks at a group in its own time, which need not be that of a step.
            if due < at + step:
                if members - known and route["receiver"] not in _IGNORED:
                    sent.append(Notification(max(at, due), route["receiver"], tuple(sorted(names))))
                groups[key] = (max(at, due) + seconds(route["group_interval"]), members or known)
    return sent


def _route(labels: Labels, route: Mapping[str, Any]) -> Mapping[str, Any]:
    for child in route.get("routes", ()):
        if matches(child.get("matchers", []), labels):
            inherited = {key: value for key, value in route.items() if key not in ("routes", "matchers")}
            return _route(labels, inherited | dict(child))
    return route


def _inhibited(labels: Labels, alerts: Sequence[Labels], rules: Sequence[Mapping[str, Any]]) -> bool:
    """As Alertmanager does it: an alert that is on both sides of a rule is not muted by another that is."""
    for rule in rules:
        if not matches(rule["target_matchers"], labels):
            continue
        both = matches(rule["source_matchers"], labels)
        sources = [
            each
            for each in alerts
            if matches(rule["source_matchers"], each) and not (both and matches(rule["target_matchers"], each))
        ]
        equal = rule.get("equal", ())
        if any(all(each.get(label, "") == labels.get(label, "") for label in equal) for each in sources):
            return True
    return False


def _open(route: Mapping[str, Any], hours: Mapping[str, Any], at: float) -> bool:
    """Whether a route sends at that time: office hours are the only hours of the generated file."""
    names = route.get("active_time_intervals", [])
    now = datetime.fromtimestamp(at, UTC)
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    for each in [interval for name in names for interval in hours[name]]:
        first, _, last = each.get("weekdays", ["monday:sunday"])[0].partition(":")
        in_days = days.index(first) <= now.weekday() <= days.index(last or first)
        if in_days and any(t["start_time"] <= f"{now:%H:%M}" < t["end_time"] for t in each.get("times", ())):
            return True
    return not names


# The table.


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario with what came of it."""

    scenario: Scenario
    firing: Firing
    sent: Sequence[Notification]

    def to(self, *receivers: str) -> list[Notification]:
        return [each for each in self.sent if each.receiver in receivers]

    @property
    def pages(self) -> list[Notification]:
        return self.to("page")

    @property
    def tickets(self) -> list[Notification]:
        return self.to("notify", "cost")

    def row(self) -> str:
        cells = (
            self.scenario.name,
            "; ".join(self._fires()) or "nothing",
            f"{len(self.pages)}",
            f"{len(self.tickets)}",
        )
        return f"| {' | '.join(cells)} |\n"

    def _fires(self) -> Iterator[str]:
        times: dict[tuple[str, str], list[float]] = {}
        told = {name for each in self.sent for name in each.names}
        for at, alerts in self.firing.items():
            for each in alerts:
                if each["severity"] != "info" or each["alertname"] in told:
                    times.setdefault((each["alertname"], each["severity"]), []).append(at)
        for (name, severity), found in sorted(times.items(), key=lambda each: (min(each[1]), each[0])):
            spans = f"{self._when(min(found))} to {self._when(max(found))}"
            yield f"{name} ({severity}) {spans}"

    def _when(self, at: float) -> str:
        after = round(at - self.scenario.fault)
        sign, after = ("-" if after < 0 else "+"), abs(after)
        parts = [(after // 86400, "d"), (after % 86400 // 3600, "h"), (after % 3600 // 60, "m"), (after % 60, "s")]
        return sign + ("".join(f"{n}{unit}" for n, unit in parts if n) or "0m")


def scenarios() -> list[tuple[str, Scenario]]:
    """Title of the file and scenario, in the files' order."""
    found = []
    for path in sorted(FOLDER.glob("*.yml")):
        document = yaml.safe_load(path.read_text())
        found += [(str(document["title"]), Scenario(each)) for each in document["scenarios"]]
    return found


def batches(*titles: str) -> dict[str, list[Scenario]]:
    """The scenarios of these files, all by default, in batches: promtool reads 10,000 samples at once.

    Those of about the same length are together, for a batch is evaluated to the end of its longest.
    """
    found: dict[str, list[Scenario]] = {}
    chosen = [each for title, each in scenarios() if not titles or title in titles]
    for each in sorted(chosen, key=lambda each: each.steps):
        number = 1
        while len(found.get(f"{each.batch}, {number}", ())) >= MOST:
            number += 1
        found.setdefault(f"{each.batch}, {number}", []).append(each)
    return found


def played(batch: Sequence[Scenario]) -> list[Played]:
    config = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())
    return [
        Played(each, firing, notifications(firing, each.step, each.steps * each.step, config))
        for each, firing in zip(batch, play(batch), strict=True)
    ]


HEAD = """\
<!-- Generated by `python -m tests.rules.scenarios` from tests/rules/scenarios/; do not edit. -->
# Scenarios

What fires in which incident, when, and how many notifications follow.

promtool runs each scenario against the generated rules; notifications are what the generated
Alertmanager configuration then sends, without reminders and resolved messages. Times count from
the start of the fault. Probes run once a minute unless the scenario says otherwise. Alerts of
severity info are omitted where nobody is notified. Inhibited alerts are listed, and count as no
notification. A page is sent 30 seconds after its alert starts; one on the share of failures of a
single model after five minutes, with all models of its target that fail by then (`groupWait`). What
joins later causes at most one more notification every ten minutes (`groupInterval`).

`tests/stack/test_live_scenarios.py` runs incidents with the real programs: simulator, exporters in
two environments, two Prometheus servers on each, Alertmanager, ten times faster. All faults happen
at once, each to a target of its own. Run of 2026-11-28, on two cores that other work used too;
times are those of the unaccelerated rules, from the first failed result to the alert:

| scenario | pages | alert fires after | failed results by then | limit |
|---|---|---|---|---|
| outage of 5 minutes | 1 | 3.4 min | 4 | 5 min |
| outage of 20 minutes | 1 | 3.4 min | 4 | 5 min |
| hang of 10 minutes | 1 | 3.3 min | 4 | 5 min |
| one model of three fails for 15 minutes | 1 | 6.4 min | 7 | 8 min |
| key revoked for 10 minutes | 1 | 4.2 min | 5 | 5 min |
| quota exhausted for 15 minutes | 1 | 4.8 min | 5 | 5 min |
| nothing | 0 | - | - | - |
| exporter of staging killed | 1 | 3.9 min | - | 5 min |
| a key leaks outside business hours | 1 | 42 min | - | 60 min |
"""


def page(found: Sequence[tuple[str, Played]]) -> str:
    """The page, a table per file."""
    text, last = HEAD, ""
    for title, each in found:
        if title != last:
            text += f"\n## {title}\n\n| scenario | fires | pages | tickets |\n|---|---|---|---|\n"
        text, last = text + each.row(), title
    return text


if __name__ == "__main__":
    chosen = sys.argv[1:]
    results = {}
    for batch in batches().values():
        for each in played([each for each in batch if not chosen or any(word in each.name for word in chosen)]):
            results[each.scenario.name] = each
            print(each.row(), *each.sent, sep="\n  ", flush=True)
    if not chosen:
        PAGE.write_text(page([(title, results[entry.name]) for title, entry in scenarios()]))
