# SPDX-License-Identifier: Apache-2.0
"""An import of historical usage and costs: plans queries, reads them into a journal, and writes OpenMetrics."""

import errno
import functools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from openai_exporter.client.session import Session
from openai_exporter.config.sections import Organization
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.exposition import LabelWriter
from openai_exporter.files import check_replaceable, write_atomically
from openai_exporter.metrics import Metric, usage as metrics
from openai_exporter.prices import version
from openai_exporter.report.series import MARGIN, CostGauges, Counters, Families, Grid, Joint, Line, Slot
from openai_exporter.report.source import Source
from openai_exporter.usage import costs, counters, ledger, rows, service

_WIDTHS = {"1h": ledger.HOUR, "1d": ledger.DAY}
_PAGES = {"1h": 168, "1d": costs.USAGE_DAYS}
_TIMEOUT = 60.0
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be imported.

    Attributes:
        start: first second, the start of a UTC day.
        end: the end of the last day.
        step: seconds between two samples of a series.
        hourly_days: days before the end that are read by the hour.
        labels: added to each series.
        scraped_since: when the live series began, None after the end: the import ends there.
        prometheus: root of a Prometheus that read them then; empty when none is to be asked.
    """

    start: int
    end: int
    step: int
    hourly_days: int
    labels: tuple[tuple[str, str], ...]
    scraped_since: float | None = None
    prometheus: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One query of one dataset."""

    dataset: str
    part: ledger.Range

    @property
    def name(self) -> str:
        """The name of its file in the journal."""
        return f"{self.dataset}-{self.part.width}-{self.part.start}"

    @property
    def end(self) -> int:
        """The end of its last bucket."""
        assert self.part.end is not None
        return self.part.end


class Backfill:
    """An import that has been planned.

    Args:
        now: the API's time.
        resume: continue with what an earlier run has read.

    Raises:
        StartError: the journal cannot be used, or the output not be written.

    Attributes:
        resumed: whether there was a journal to continue with.
        end: time of the last sample: the requested end, or the last full hour.
        steps: all its queries.
    """

    def __init__(self, source: Source, request: Request, output: Path, now: float, *, resume: bool) -> None:
        self.request = request
        self.journal = Journal(output)
        self._joint = joint(request, source)
        self.resumed = self.journal.begin(_identity(source, request), now, resume=resume)
        self.end = min(request.end, ledger.hour_start(self.journal.as_of))
        self.steps = plan(source.organization, request, self.end)
        self._source = source

    @property
    def missing(self) -> int:
        """How many queries have not been made."""
        return sum(not self.journal.has(step.name) for step in self.steps)

    def read(self, done: Callable[[Step], None]) -> None:
        """Make the queries that have not been made; `done` is called after each.

        Raises:
            UpstreamError, CallsSpentError: what was read stays in the journal.
        """
        for step in self.steps:
            if not self.journal.has(step.name):
                with self.journal.writing(step.name) as file:
                    _read(self._source, step, file)
            done(step)

    def write(self, done: Callable[[str], None]) -> int:
        """Write the output from the journal and remove that; how many samples it has.

        Raises:
            StartError: the output cannot be written.
        """
        with writable(self.journal.output):
            families = Families(self.journal.folder, self.request.labels)
            try:
                for name in dict.fromkeys(step.dataset for step in self.steps):
                    self._write_dataset(name, families)
                    done(name)
                families.assemble(self.journal.output)
            except OSError:
                families.discard()
                raise
        self.journal.remove()
        return families.samples

    def _write_dataset(self, name: str, families: Families) -> None:
        organization, request = self._source.organization, self.request
        end = self.end if request.scraped_since is None else min(self.end, int(request.scraped_since))
        steps = [step for step in self.steps if step.dataset == name]
        slots = functools.partial(_slots, self.journal, steps)
        if name == costs.NAME:
            assert organization.costs is not None
            grid = Grid(request.start, end, request.step)
            by, limit = organization.costs.group_by, organization.series_limit
            CostGauges(by, limit, families, grid, self.journal.as_of).write(slots())
        else:
            limits = service.budgets_of(self._source.config, organization)
            dataset = counters.CounterDataset(name, organization, self._source.context, costs.pinned(limits))
            # One more sample before the live series begin: what these begin with is an increase over a short time.
            grid = Grid(request.start, end, request.step, self._joint.time - MARGIN if self._joint else None)
            joint = self._joint
            if joint and joint.first and (name,) not in joint.first(metrics.SERIES):
                joint = replace(joint, first=None)  # it could not be read then
            Counters(dataset, families, grid, joint).write(slots)


def joint(request: Request, source: Source) -> Joint | None:
    """Where live series take over. Usage younger than `finalize_after`, or than usage may be late, is not final there.

    Raises:
        StartError: Prometheus is to be asked and cannot be, or knows none.
    """
    if request.scraped_since is None:
        return None
    first = None
    if request.prometheus:
        first = functools.cache(functools.partial(_first_values, request, source))
        if not first(metrics.SERIES):
            raise StartError(
                f"{request.prometheus}: has no usage with the labels {dict(request.labels)} within 5 minutes after "
                f"--scraped-since; give the labels of the live series with --label, and the time at which they began"
            )
    late = max(source.organization.finalize_after, counters.UNSETTLED_MONTH)
    final = max(ledger.month_start(request.scraped_since), ledger.hour_start(request.scraped_since - late))
    return Joint(int(request.scraped_since), int(final), first)


_FIRST = 300
"""Seconds after the live series began in which each has its first sample; a later one began at 0."""


def _first_values(request: Request, source: Source, metric: Metric) -> dict[ledger.Labels, float]:
    """What the live series of a metric began with, by their labels: a counter is least at first."""
    names, values = zip(*request.labels, strict=True)
    selector = f"{metric.name}{LabelWriter(names).write(values).strip()}"
    at = (request.scraped_since or 0) + _FIRST
    params = [("query", f"min_over_time({selector}[{_FIRST + MARGIN}s])"), ("time", str(at))]
    session = Session(request.prometheus, _TIMEOUT, source.network)
    try:
        with session.get("/api/v1/query", params, api="prometheus") as reply:
            document = reply.json_object(_MOST_BYTES)
            result = [(each["metric"], float(each["value"][1])) for each in document["data"]["result"]]
    except (UpstreamError, LookupError, TypeError, ValueError) as error:
        cause = str(error) if isinstance(error, UpstreamError) else "it does not answer as Prometheus does"
        raise StartError(f"{request.prometheus}: cannot be asked: {cause}; give the URL of a Prometheus") from None
    finally:
        session.close()
    first: dict[ledger.Labels, float] = {}
    for labels, value in result:
        key = tuple(labels.get(name, "") for name in metric.labels)
        first[key] = max(value, first.get(key, 0))  # of replicas
    return first


def plan(organization: Organization, request: Request, end: int) -> tuple[Step, ...]:
    """All queries: by the day far back, by the hour near the end.

    A counter begins with its month, so each dataset is read from the start of the month on.
    """
    month = ledger.month_start(request.start)
    fine = min(end, max(month, ledger.day_start(end - request.hourly_days * ledger.DAY)))
    steps: list[Step] = []
    for name in organization.usage:
        if name in rows.OPERATIONS:
            steps += [Step(name, part) for part in _ranges(month, fine, "1d", _PAGES["1d"])]
            steps += [Step(name, part) for part in _ranges(fine, end, "1h", _PAGES["1h"])]
    if organization.costs is not None:
        days = _ranges(ledger.previous_month_start(month), ledger.day_start(end) + ledger.DAY, "1d", costs.COST_DAYS)
        steps += [Step(costs.NAME, part) for part in days]
    return tuple(steps)


def _ranges(start: int, end: int, width: str, limit: int) -> Iterator[ledger.Range]:
    size = _WIDTHS[width] * limit
    for begin in range(start, end, size):
        yield ledger.Range(begin, min(end, begin + size), width, limit)


def _identity(source: Source, request: Request) -> dict[str, Any]:
    """What decides the queries and their results: a journal of another identity is of no use."""
    config, organization = source.config, source.organization
    identity = asdict(request)
    del identity["scraped_since"], identity["prometheus"]  # decide only what is written
    identity["fine_days"] = identity.pop("hourly_days")  # its name in journals
    identity["organization"] = {
        "name": organization.name,
        "base_url": organization.base_url,
        "usage": {name: list(usage.group_by) for name, usage in organization.usage.items()},
        "costs": list(organization.costs.group_by) if organization.costs else None,
        "series_limit": organization.series_limit,
        "prices": version(config.all_prices),
    }
    decoded: dict[str, Any] = json.loads(json.dumps(identity))
    return decoded


class Journal:
    """What was read so far: the folder `OUTPUT.parts` with one file per finished query.

    Attributes:
        as_of: the API's time at which the import began; its last sample follows from it.
    """

    def __init__(self, output: Path) -> None:
        self.output = output.resolve() if output.is_symlink() else output
        self.folder = self.output.parent / f"{self.output.name}.parts"
        self.as_of = 0.0
        self._plan = self.folder / "plan.json"

    def begin(self, identity: dict[str, Any], now: float, *, resume: bool) -> bool:
        """Open the journal, or start it; whether there was one to continue with.

        Raises:
            StartError: it belongs to another request, or the place cannot be written to.
        """
        with writable(self.output):
            if not resume:
                shutil.rmtree(self.folder, ignore_errors=True)
            if self._plan.exists():
                self._check(identity)
                return True
            check_replaceable(self.output)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.as_of = now
            write_atomically(self._plan, json.dumps({"as_of": now, "request": identity}))
        return False

    def has(self, name: str) -> bool:
        """Whether that query was read to its end."""
        return self._file(name).exists()

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[str]]:
        """The file of a query; it is kept if the block ends without an error."""
        new = self._file(name).with_suffix(".new")
        with writable(self.output):
            with new.open("w", encoding="utf-8") as file:
                yield file
            new.replace(self._file(name))

    def buckets(self, name: str) -> Iterator[tuple[int, Iterator[Line]]]:
        """Start and rows of each bucket that has any, in the order of time."""
        with self._file(name).open(encoding="utf-8") as file:
            yield from groupby(map(json.loads, file), key=lambda line: int(line[0]))

    def remove(self) -> None:
        """Forget it all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _check(self, identity: dict[str, Any]) -> None:
        try:
            document = json.loads(self._plan.read_text(encoding="utf-8"))
            self.as_of, planned = float(document["as_of"]), document["request"]
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{self.folder}: is damaged; use --no-resume to start again") from None
        if planned != identity:
            raise StartError(
                f"{self.folder}: belongs to an import with other options or another configuration; "
                "repeat those, or use --no-resume to start again"
            )


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn a failure to write into one line that names the place."""
    try:
        yield
    except OSError as error:
        remedy = "choose another --output"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"free some and run the same command again, what was read is kept; or {remedy}"
        raise StartError(f"{path}: cannot be written: {error.strerror or error}; {remedy}") from None


def _read(source: Source, step: Step, file: IO[str]) -> None:
    organization, lines = source.organization, _Lines(file, step)
    if step.dataset == costs.NAME:
        assert organization.costs is not None
        source.costs(organization.costs.group_by, step.part, lines.restart, lines.cost)
    else:
        group_by: tuple[str, ...] = organization.usage[step.dataset].group_by
        source.usage(step.dataset, group_by, step.part, lines.restart, lines.usage)


class _Lines:
    """Rows of one query as lines of JSON."""

    def __init__(self, file: IO[str], step: Step) -> None:
        self._file = file
        self._step = step
        self._newest = 0

    def restart(self) -> None:
        """Forget the rows of a failed attempt."""
        self._file.seek(0)
        self._file.truncate()
        self._newest = 0

    def usage(self, start: int, labels: ledger.Labels, values: ledger.Values) -> None:
        """Write a row of usage, unless it is empty."""
        if any(values):
            self._write(start, labels, list(values))

    def cost(self, start: int, row: rows.CostRow) -> None:
        """Write a row of costs in USD."""
        if row.usd is not None:
            self._write(start, row.labels, str(row.usd))

    def _write(self, start: int, labels: ledger.Labels, values: list[int] | str) -> None:
        if start < self._newest:
            message = f"the buckets are not in the order of time ({start} after {self._newest})"
            raise UpstreamError(message, api=self._step.dataset, reason="malformed")
        self._newest = start
        if self._step.part.start <= start < self._step.end:
            self._file.write(f"{json.dumps([start, labels, values])}\n")


def _slots(journal: Journal, steps: Iterable[Step]) -> Iterator[Slot]:
    """All buckets, also those without rows, in the order of time."""
    for step in steps:
        width = _WIDTHS[step.part.width]
        next_start = step.part.start
        for start, lines in journal.buckets(step.name):
            yield from ((at, at + width, ()) for at in range(next_start, start, width))
            yield start, start + width, lines
            next_start = start + width
        yield from ((at, at + width, ()) for at in range(next_start, step.end, width))
