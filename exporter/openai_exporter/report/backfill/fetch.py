# SPDX-License-Identifier: Apache-2.0
"""Which queries an import needs, and what it has read so far, one file each, so that an interruption loses nothing."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.prices.table import version
from openai_exporter.report.source import Source, TakeCosts, TakeUsage
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.ledger import Labels, Values
from openai_exporter.usage.rows import OPERATIONS, CostRow
from openai_exporter.usage.window import (
    DAY,
    HOUR,
    Range,
    day_start,
    hour_start,
    month_start,
    previous_month_start,
)

# Which queries an import needs: by the day far back, by the hour near its end. Calls nothing.

WIDTHS: Mapping[str, int] = {"1h": HOUR, "1d": DAY}
_PAGES = {"1h": 168, "1d": 31}
_COST_DAYS = 180


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; a journal of another request is of no use.

    Attributes:
        start: first second, the start of a UTC day.
        end: the end of the last day.
        step: seconds between two samples of a series.
        fine_days: days before the end that are read by the hour.
        labels: added to each series.
        organization: name, address and grouping.
        live_from: when the live series began, None after the end: from then on the rules record growth.
    """

    start: int
    end: int
    step: int
    fine_days: int
    labels: tuple[tuple[str, str], ...]
    organization: Mapping[str, Any]
    live_from: float | None = None

    def document(self) -> dict[str, Any]:
        """What decides which queries are made, as plain data for comparison with a journal."""
        found = asdict(self) | {"labels": [list(each) for each in self.labels]}
        del found["live_from"]  # decides only what is written
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One query of one dataset."""

    dataset: str
    part: Range

    @property
    def name(self) -> str:
        """The name of its file in the journal."""
        return f"{self.dataset}-{self.part.width}-{self.part.start}"

    @property
    def end(self) -> int:
        """The end of its last bucket."""
        assert self.part.end is not None
        return self.part.end


def identity(config: Config, organization: Organization) -> dict[str, Any]:
    """What of a configuration decides the figures of an organization."""
    return {
        "name": organization.name,
        "base_url": organization.base_url,
        "usage": {name: list(usage.group_by) for name, usage in organization.usage.items()},
        "costs": list(organization.costs.group_by) if organization.costs else None,
        "series_limit": organization.series_limit,
        "prices": version(config.all_prices),
    }


def last_moment(request: Request, now: float) -> int:
    """The time of the last sample: the end asked for, or the last full hour."""
    return min(request.end, hour_start(now))


def steps(organization: Organization, request: Request, end: int) -> tuple[Step, ...]:
    """All queries; a counter begins with its month, so each reads from the start of the month on."""
    month = month_start(request.start)
    fine = min(end, max(month, day_start(end - request.fine_days * DAY)))
    found: list[Step] = []
    for name in organization.usage:
        if name in OPERATIONS:
            found += [Step(name, part) for part in _ranges(month, fine, "1d", _PAGES["1d"])]
            found += [Step(name, part) for part in _ranges(fine, end, "1h", _PAGES["1h"])]
    if organization.costs is not None:
        days = _ranges(previous_month_start(month), day_start(end) + DAY, "1d", _COST_DAYS)
        found += [Step(COSTS, part) for part in days]
    return tuple(found)


def _ranges(start: int, end: int, width: str, limit: int) -> Iterator[Range]:
    size = WIDTHS[width] * limit
    for begin in range(start, end, size):
        yield Range(begin, min(end, begin + size), width, limit)


# What an import has read so far, in a folder beside its output, so that an interruption loses nothing.

Line = list[Any]


class Journal:
    """The folder `OUTPUT.parts`: the request, and one file per query that was read to its end.

    Attributes:
        as_of: the API's time at which the import began; its last sample follows from it.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f"{output.name}.parts"
        self.as_of = 0.0
        self._plan = self.folder / "plan.json"

    def begin(self, request: Request, now: float, *, resume: bool) -> bool:
        """Open the journal, or start it; whether there was one to go on with.

        Raises:
            StartError: it belongs to another request, or the place cannot be written to.
        """
        with writable(self.output):
            if not resume:
                shutil.rmtree(self.folder, ignore_errors=True)
            if self._plan.exists():
                self._check(request)
                return True
            if self.output.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.folder.mkdir(exist_ok=True)
            self.as_of = now
            self._save(self._plan, [json.dumps({"as_of": now, "request": request.document()})])
        return False

    def has(self, name: str) -> bool:
        """Whether that query was read to its end."""
        return self._file(name).exists()

    def draft(self, name: str) -> Path:
        """Where a query's lines are written until it is complete."""
        return self._file(name).with_suffix(".new")

    def complete(self, name: str) -> None:
        """The draft is whole."""
        with writable(self.output):
            self.draft(name).replace(self._file(name))

    def buckets(self, name: str) -> Iterator[tuple[int, Iterator[Line]]]:
        """Start and rows of each bucket that has any, in the order of time."""
        with self._file(name).open(encoding="utf-8") as file:
            yield from groupby(map(json.loads, file), key=lambda line: int(line[0]))

    def remove(self) -> None:
        """Forget it all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _check(self, request: Request) -> None:
        try:
            found = json.loads(self._plan.read_text(encoding="utf-8"))
            self.as_of, kept = float(found["as_of"]), found["request"]
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{self.folder}: is damaged; give --no-resume to begin anew") from None
        if kept != json.loads(json.dumps(request.document())):
            raise StartError(
                f"{self.folder}: belongs to an import with other options or another configuration; "
                "repeat those, or give --no-resume to begin anew"
            )

    def _save(self, path: Path, lines: Iterable[str]) -> None:
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        new.replace(path)


class writable:  # noqa: N801 (reads as a statement: with writable(path))
    """Turns a failure to write into one line that names the place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise StartError(f"{self._path}: cannot be written: {reason}; {_remedy(error)}") from None


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some and run the same command again, what was read is kept; or choose another --output"
    return "choose another --output"


# Reads the queries of a plan into the journal, one file each. Renders nothing.


def fetch(
    organization: Organization,
    source: Source,
    journal: Journal,
    steps: Sequence[Step],
    done: Callable[[Step], None],
) -> None:
    """Read what the journal does not have; `done` is told of each query.

    Raises:
        UpstreamError, CallsSpentError: what was read before stays in the journal.
    """
    for step in steps:
        if not journal.has(step.name):
            with writable(journal.output), journal.draft(step.name).open("w", encoding="utf-8") as file:
                _read(organization, source, step, _Lines(file, step))
            journal.complete(step.name)
        done(step)


def _read(organization: Organization, source: Source, step: Step, lines: "_Lines") -> None:
    if step.dataset == COSTS:
        assert organization.costs is not None
        source.costs(organization.costs.group_by, step.part, lines.costs)
    else:
        group_by: tuple[str, ...] = organization.usage[step.dataset].group_by  # type: ignore[index]
        source.usage(step.dataset, group_by, step.part, lines.usage)


class _Lines:
    """Rows of one query as lines of JSON; each try begins anew."""

    def __init__(self, file: IO[str], step: Step) -> None:
        self._file = file
        self._step = step
        self._newest = 0

    def usage(self) -> TakeUsage:
        """Begin a try of usage."""
        self._restart()

        def take(start: int, labels: Labels, values: Values) -> None:
            if any(values):
                self._write(start, labels, list(values))

        return take

    def costs(self) -> TakeCosts:
        """Begin a try of costs."""
        self._restart()

        def take(start: int, row: CostRow) -> None:
            if row.usd is not None:
                self._write(start, row.labels, str(row.usd))

        return take

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._newest = 0

    def _write(self, start: int, labels: Labels, figures: list[int] | str) -> None:
        if start < self._newest:
            message = f"the buckets are not in the order of time ({start} after {self._newest})"
            raise UpstreamError(message, api=self._step.dataset, reason="malformed")
        self._newest = start
        if self._step.part.start <= start < self._step.end:
            self._file.write(f"{json.dumps([start, labels, figures])}\n")
