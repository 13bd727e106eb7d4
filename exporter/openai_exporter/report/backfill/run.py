# SPDX-License-Identifier: Apache-2.0
"""An import from its request to its file: read what is missing, then write. Prints nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.report.backfill.counters import Counters
from openai_exporter.report.backfill.families import Families
from openai_exporter.report.backfill.fetch import fetch
from openai_exporter.report.backfill.gauges import CostGauges
from openai_exporter.report.backfill.grid import Grid
from openai_exporter.report.backfill.journal import Journal, writable
from openai_exporter.report.backfill.plan import Request, Step, last_moment, steps
from openai_exporter.report.source import Source
from openai_exporter.usage.budgets import pinned
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.flow import FlowDataset
from openai_exporter.usage.wanted import budgets_of


@dataclass(frozen=True, slots=True)
class Import:
    """An import that has been planned.

    Attributes:
        resumed: whether there was a journal to go on with.
        end: time of the last sample.
        steps: all its queries.
        missing: those that have not been made.
    """

    request: Request
    organization: Organization
    journal: Journal
    resumed: bool
    end: int
    steps: tuple[Step, ...]

    @property
    def missing(self) -> int:
        """How many queries have not been made."""
        return sum(not self.journal.has(step.name) for step in self.steps)


def planned(
    organization: Organization, request: Request, journal: Journal, now: float, *, resume: bool
) -> Import:
    """Open the journal and plan the queries.

    Args:
        now: the API's time.

    Raises:
        StartError: the journal cannot be used, or the output not be written.
    """
    resumed = journal.begin(request, now, resume=resume)
    end = last_moment(request, journal.as_of)
    return Import(request, organization, journal, resumed, end, steps(organization, request, end))


def read(found: Import, source: Source, done: Callable[[Step], None]) -> None:
    """Make the queries that have not been made.

    Raises:
        UpstreamError, CallsSpentError: what was read stays in the journal.
    """
    fetch(found.organization, source, found.journal, found.steps, done)


def write(found: Import, config: Config, source: Source, done: Callable[[str], None]) -> int:
    """Write the output from the journal and remove that; how many samples it has.

    Raises:
        StartError: the output cannot be written.
    """
    journal = found.journal
    with writable(journal.output):
        families = Families(journal.folder, found.request.labels)
        try:
            for name in dict.fromkeys(step.dataset for step in found.steps):
                _write_dataset(name, found, config, source, families)
                done(name)
            families.assemble(journal.output)
        except OSError:
            families.discard()
            raise
    journal.remove()
    return families.samples


def _write_dataset(name: str, found: Import, config: Config, source: Source, families: Families) -> None:
    request, organization, journal = found.request, found.organization, found.journal
    live_from = found.end if request.live_from is None else request.live_from
    own = tuple(step for step in found.steps if step.dataset == name)
    if name == COSTS:
        assert organization.costs is not None
        by, limit = organization.costs.group_by, organization.series_limit
        grid = Grid(request.start, found.end, request.step)
        CostGauges(by, limit, families, grid, journal.as_of).write(journal, own)
    else:
        flow = FlowDataset(name, organization, source.context, pinned(budgets_of(config, organization)))
        # A sample more where the live series begin: growth goes up to there and not only to the step before.
        grid = Grid(request.start, found.end, request.step, int(live_from))
        Counters(flow, families, grid, live_from).write(journal, own)
