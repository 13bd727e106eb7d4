# SPDX-License-Identifier: Apache-2.0
"""Reads the queries of a plan into the journal, one file each. Renders nothing."""

import json
from collections.abc import Callable, Sequence
from typing import IO

from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.report.backfill.journal import Journal, writable
from openai_exporter.report.backfill.plan import Step
from openai_exporter.report.source import Source, TakeCosts, TakeUsage
from openai_exporter.usage.costrow import CostRow
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.fold import Labels, Values


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
