# SPDX-License-Identifier: Apache-2.0
"""Historical data of the demo's probes: what a scrape of the running exporter shows, over days, with three incidents.

The live endpoints are the template, so that each series has the name and the labels that it will have live; only what
moves is made up: outcomes, durations, rate limits, and what adds up over probes.
"""

import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import requests

from openai_exporter.exposition import number
from openai_exporter.metrics import probe, usage
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.usage.ledger import DAY, HOUR

STEPS = ((30 * DAY, 1800), (7 * DAY, 900), (2 * DAY, 300), (6 * HOUR, 60))
"""Seconds back from now, and seconds between samples from there on: those of a chart over that time, or less."""
RECENT = STEPS[-1][0]
OTHER_STEP = 120
"""Of what no service level needs, in the last hours: the range that dashboards open with."""
TIMEOUT = 15.0
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_COUNTED_EACH = 300
"""Seconds in which a counter of the exporter grew, before, by what it shows shortly after its start."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong at an hour (UTC) of a day.

    Attributes:
        days_ago: calendar days before today.
        ratio: of the probes that fail, with `outcome` and `status`.
        slower: seconds that each answer takes longer.
        endpoints: which it concerns.
        components: what the provider's status page admitted, from a quarter of an hour later on.
    """

    days_ago: int
    start_hour: float
    hours: float
    ratio: float = 0.0
    outcome: str = "success"
    status: int = 200
    slower: float = 0.0
    endpoints: frozenset[str] = frozenset({"chat", "responses"})
    components: frozenset[str] = frozenset()

    def begin(self, now: float) -> float:
        """When it began, in Unix seconds."""
        return now // DAY * DAY - self.days_ago * DAY + self.start_hour * HOUR

    def covers(self, at: float, now: float) -> bool:
        """Whether it lasted at that time."""
        return 0 <= at - self.begin(now) < self.hours * HOUR


OUTAGE = Incident(5, 9.0, 0.75, ratio=0.8, outcome="overloaded", status=503, components=frozenset({"Chat Completions"}))
SLOW_AFTERNOON = Incident(4, 13.0, 4.0, slower=3.5)
RATE_LIMITED = Incident(2, 15.0, 1.0, ratio=0.6, outcome="rate_limited_tokens", status=429)
INCIDENTS = (OUTAGE, SLOW_AFTERNOON, RATE_LIMITED)
"""None within the three days that the longest window of an alert on service levels looks back."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of an endpoint."""

    name: str
    own: str
    value: float

    @property
    def labels(self) -> dict[str, str]:
        """Its own labels."""
        return dict(_LABEL.findall(self.own))


Series = tuple[str, frozenset[tuple[str, str]]]
"""Its name and its own labels."""


@dataclass(frozen=True)
class Target:
    """What `/sd` lists, and what it answers; `labels` are those of the target, as in the text format."""

    path: str
    names: Mapping[str, str]
    labels: str
    samples: Sequence[Sample]


def read_targets(exporter: str, instance: str, job: str = "openai") -> list[Target]:
    """Every target of the exporter as Prometheus will see it.

    Raises:
        requests.RequestException: the exporter does not answer.
    """
    found = []
    for group in requests.get(f"{exporter}/sd", timeout=TIMEOUT).json():
        labels, prefix = group["labels"], "__param_"
        params = {name.removeprefix(prefix): labels[name] for name in labels if name.startswith(prefix)}
        names = {name: labels[name] for name in labels if not name.startswith("__")}
        path = labels["__metrics_path__"]
        answer = requests.get(f"{exporter}{path}", params=params, timeout=TIMEOUT)
        answer.raise_for_status()
        written = ",".join(f'{name}="{value}"' for name, value in {**names, "instance": instance, "job": job}.items())
        found.append(Target(path, names, written, parse(answer.text)))
    return found


def parse(text: str) -> list[Sample]:
    """The samples of the text format."""
    matches = (_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return [Sample(match[1], match[2] or "", float(match[3])) for match in matches if match]


@dataclass(frozen=True, slots=True)
class Run:
    """One probe that was made.

    Attributes:
        factor, slower: how its durations compare with the usual ones: a factor, and seconds more.
        noise: between 0 and 1.
    """

    outcome: str
    status: int
    factor: float
    slower: float
    noise: float

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return self.outcome == "success"


def parts(now: int, days: int, steps: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """First time, end (that is not part of it) and step of each part of the last `days`; times are multiples of it."""
    starts = [now - min(days * DAY, back) for back, _ in ((days * DAY, 0), *steps[1:])]
    ends = [*starts[1:], now + 1]
    return [(-(-start // step) * step, end, step) for start, end, (_, step) in zip(starts, ends, steps, strict=True)]


@dataclass(frozen=True)
class Timeline:
    """When something was scraped.

    Attributes:
        now: the last time, in Unix seconds.
        days: how long it is.
    """

    now: int
    days: int

    @cached_property
    def core(self) -> list[int]:
        """Times of what service levels and long charts need."""
        return [at for start, end, step in parts(self.now, self.days, STEPS) for at in range(start, end, step)]

    @cached_property
    def other(self) -> list[int]:
        """Times of everything else."""
        return list(range(self.now - min(self.days * DAY, RECENT), self.now + 1, OTHER_STEP))

    def run(self, name: str, endpoint: str, at: int) -> Run:
        """The probe of that name at a time: always the same one."""
        noise, chance = (zlib.crc32(f"{name}/{what}/{at}".encode()) / 2**32 for what in ("noise", "fails"))
        factor = (1.0 + 0.25 * math.sin(at / DAY * 2 * math.pi)) * math.exp(0.5 * noise - 0.25)
        for incident in INCIDENTS:
            if endpoint in incident.endpoints and incident.covers(at, self.now):
                if chance < incident.ratio:
                    return Run(incident.outcome, incident.status, 0.5 * factor, 0.0, noise)
                return Run("success", 200, factor, incident.slower * (0.5 + noise), noise)
        return Run("success", 200, factor, 0.0, noise)


_DURATIONS = {
    probe.DURATION.name: 1.0,
    probe.TIME_TO_FIRST_EVENT.name: 0.7,
    probe.TIME_TO_FIRST_TOKEN.name: 0.7,
    probe.SERVER_PROCESSING.name: 0.7,
    probe.INTER_TOKEN_MEAN.name: 0.01,
    probe.INTER_TOKEN_MAX.name: 0.05,
    probe.NETWORK.name: 0.0,
}
"""What takes time, and the share of an incident's seconds that it takes longer."""
_PHASES = {"processing": 0.7, "transfer": 0.3}
_ONLY_GOOD = {
    *(_DURATIONS.keys() - {probe.DURATION.name}),
    probe.TOKENS.name,
    probe.TOKEN_ARRIVALS.name,
    probe.COST.name,
    probe.OUTPUT_TOKENS_PER_SECOND.name,
    probe.PROBE_MODEL_INFO.name,
}
_CORE = {
    probe.SUCCESS.name,
    probe.DURATION.name,
    probe.TIME_TO_FIRST_TOKEN.name,
    probe.AVAILABILITY_VALID.name,
    probe.AVAILABILITY_GOOD.name,
    probe.RATE_LIMIT_LIMIT.name,
    probe.RATE_LIMIT_REMAINING.name,
    probe.MODEL_LISTED.name,
    probe.API_REQUESTS.name,
    usage.UP.name,
    usage.LAST_SUCCESS.name,
}
_MOVING = {usage.LAST_SUCCESS.name, usage.NEWEST_BUCKET.name, usage.STATUS_FETCHED.name, probe.LAST_RESULT.name}
"""Times that stay as far behind the time of the scrape as they are now."""
_HISTOGRAMS = {probe.API_LATENCY.name, probe.API_TTFT.name}
_OUTCOMES = {"success", *(incident.outcome for incident in INCIDENTS)}
Value = Callable[[int], float | None]


class ProbeHistory:
    """The history of all targets.

    Args:
        imported: last values of series whose history comes from somewhere else, up to the time `imported_until`.
    """

    def __init__(
        self, targets: Sequence[Target], timeline: Timeline, imported: Mapping[Series, float], imported_until: int
    ) -> None:
        self._targets = targets
        self._timeline = timeline
        self._imported = imported
        self._imported_names = {name for name, _ in imported}
        self._imported_until = imported_until
        self._runs: dict[str, dict[int, Run]] = {}
        self._usual: dict[str, dict[str, float]] = {}
        for target in targets:
            if target.path == "/probe":
                name, endpoint = _name(target.names), target.names["endpoint"]
                times = sorted({*timeline.core, *timeline.other})
                self._runs[name] = {at: timeline.run(name, endpoint, at) for at in times}
                self._usual[name] = {sample.name: sample.value for sample in target.samples}

    def lines(self) -> Iterator[str]:
        """All of it in the OpenMetrics format, but for its end: series by series, each in the order of time."""
        for target in self._targets:
            kinds = {"/probe": self._probe, "/metrics": self._own, "/status": self._status}
            kind = kinds.get(target.path, self._constant)
            for sample in target.samples:
                yield from (self._since_import if sample.name in self._imported_names else kind)(target, sample)
            for name, value in {"up": 1.0, "scrape_duration_seconds": 0.05}.items():
                yield from self._constant(target, Sample(name, "", value))
            yield from self._constant(target, Sample("scrape_samples_scraped", "", float(len(target.samples))))

    def _write(self, target: Target, sample: Sample, value: Value, core: bool) -> Iterator[str]:
        labels = ",".join(part for part in (sample.own, target.labels) if part)
        series = f"{sample.name}{{{labels}}}"
        for at in self._timeline.core if core else self._timeline.other:
            if (found := value(at)) is not None:
                yield f"{series} {number(float(found))} {at}\n"

    def _constant(self, target: Target, sample: Sample) -> Iterator[str]:
        """What does not change, or only as time goes by."""
        core = sample.name in _CORE
        if sample.name in _MOVING:
            age = max(0.0, self._timeline.now - sample.value)
            yield from self._write(target, sample, lambda at: at - age, core)
        elif not math.isnan(sample.value):
            yield from self._write(target, sample, lambda at: sample.value, core)

    def _since_import(self, target: Target, sample: Sample) -> Iterator[str]:
        """From where the import ended to what is shown now, evenly."""
        begin, now = self._imported_until, self._timeline.now
        first = self._imported.get((sample.name, frozenset(sample.labels.items())), 0.0)
        growth = max(0.0, sample.value - first) / max(1, now - begin)
        yield from self._write(target, sample, lambda at: first + growth * (at - begin) if at > begin else None, False)

    def _status(self, target: Target, sample: Sample) -> Iterator[str]:
        """The provider's status page: it admits an outage a quarter of an hour later."""
        labels, now = sample.labels, self._timeline.now
        own = {usage.STATUS_COMPONENT.name: labels.get("component"), usage.STATUS_INCIDENT.name: "any"}.get(sample.name)
        admitted = [each for each in INCIDENTS if own in each.components or (own == "any" and each.components)]
        if not admitted:
            yield from self._constant(target, sample)
            return
        bad = labels.get("state") == "major_outage" or labels.get("impact") == "major"

        def value(at: int) -> float:
            return float(bad) if any(each.covers(at - 900, now) for each in admitted) else sample.value

        yield from self._write(target, sample, value, core=True)

    def _probe(self, target: Target, sample: Sample) -> Iterator[str]:
        runs, labels = self._runs[_name(target.names)], sample.labels
        core = sample.name in _CORE or (sample.name == probe.OUTCOME.name and labels["outcome"] in _OUTCOMES)
        value = _probe_value(sample, labels)
        if value is None:
            yield from self._constant(target, sample)
            return
        yield from self._write(target, sample, lambda at: value(runs[at]), core)

    def _own(self, target: Target, sample: Sample) -> Iterator[str]:
        """The exporter's own endpoint: what adds up over probes, and over its own work."""
        labels = sample.labels
        runs = self._runs.get(_name(labels))
        if runs is not None and sample.name.rpartition("_")[0] in _HISTOGRAMS:
            if labels.get("status_code", "200") == "200":
                yield from self._histogram(target, sample, labels)
        elif runs is not None and sample.name in (probe.API_REQUESTS.name, probe.API_ERRORS.name):
            error = labels.get("error_type")
            core = error is None or error in _OUTCOMES
            counts = self._counted(runs, core, lambda run: float(error is None or run.outcome == error))
            yield from self._write(target, sample, counts.__getitem__, core)
        elif sample.name.endswith("_total"):
            begin = self._timeline.other[0] - DAY
            growth = sample.value / _COUNTED_EACH
            yield from self._write(target, sample, lambda at: growth * (at - begin), core=False)
        else:
            yield from self._constant(target, sample)

    def _histogram(self, target: Target, sample: Sample, labels: Mapping[str, str]) -> Iterator[str]:
        base, _, part = sample.name.rpartition("_")
        counts = self._within(base, _name(labels), part, float(labels.get("le", "inf")))
        if counts:
            yield from self._write(target, sample, counts.__getitem__, core=True)

    def _within(self, base: str, name: str, part: str, bound: float) -> dict[int, float]:
        """How a series of a histogram counts; nothing where it counts no more than the next lower bound does."""
        source = probe.DURATION.name if base == probe.API_LATENCY.name else probe.TIME_TO_FIRST_TOKEN.name
        usual, share = self._usual[name].get(source, 0.0), _DURATIONS[source]
        lower = max((each for each in probe.LATENCY_BUCKETS if each < bound), default=0.0)

        def seconds(run: Run) -> float:
            return usual * run.factor + share * run.slower

        runs = self._runs[name]
        if part == "bucket" and bound < math.inf and not any(lower < seconds(run) <= bound for run in runs.values()):
            return {}
        value = {"bucket": lambda run: float(seconds(run) <= bound), "sum": seconds}.get(part, lambda run: 1.0)
        return self._counted(runs, True, lambda run: value(run) if run.good else 0.0)

    def _counted(self, runs: Mapping[int, Run], core: bool, each: Callable[[Run], float]) -> dict[int, float]:
        """The sum of something over the probes so far, at each time."""
        times = self._timeline.core if core else self._timeline.other
        return dict(zip(times, accumulate(each(runs[at]) for at in times), strict=True))


def _name(labels: Mapping[str, str]) -> str:
    """The name of a probe, which is that of a model on a module and target."""
    return "/".join(labels.get(name, "") for name in ("target", "module", "model"))


def _probe_value(sample: Sample, labels: Mapping[str, str]) -> Callable[[Run], float | None] | None:
    """How a series of a probe follows from what happened; None for one that does not move."""
    name, value = sample.name, sample.value
    if name == probe.HTTP_DURATION.name and (share := _PHASES.get(labels["phase"])) is not None:
        return lambda run: value * run.factor + share * run.slower
    if (more := _DURATIONS.get(name)) is not None:
        only_good = name in _ONLY_GOOD
        return lambda run: None if only_good and not run.good else value * run.factor + more * run.slower
    if name == probe.OUTPUT_TOKENS_PER_SECOND.name:
        return lambda run: value / (run.factor + run.slower) if run.good else None
    if name == probe.RATE_LIMIT_REMAINING.name:
        return lambda run: value * ((0.7 + 0.3 * run.noise) if run.status != 429 else 0.01)
    if name in _ONLY_GOOD:
        return lambda run: value if run.good else None
    plain: dict[str, Callable[[Run], Any]] = {
        probe.SUCCESS.name: lambda run: run.good,
        probe.AVAILABILITY_GOOD.name: lambda run: run.good,
        probe.AVAILABILITY_VALID.name: lambda run: OUTCOMES[run.outcome].valid,
        probe.OUTCOME.name: lambda run: run.outcome == labels["outcome"],
        probe.HTTP_STATUS.name: lambda run: run.status,
    }
    return plain.get(name)
