# SPDX-License-Identifier: Apache-2.0
"""Which datasets an organization's configuration asks for. Reads nothing."""

from dataclasses import dataclass

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.usage.budgets import pinned
from openai_exporter.usage.costs import CostsDataset
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.drift import DriftDataset
from openai_exporter.usage.flow import FlowDataset
from openai_exporter.usage.levels import LevelDataset
from openai_exporter.usage.limits import LimitsDataset
from openai_exporter.usage.names import NamesDataset
from openai_exporter.usage.operations import OPERATIONS, VECTOR_STORES
from openai_exporter.usage.peak import PeakDataset
from openai_exporter.usage.wanted import budgets_of


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of one organization.

    Attributes:
        flows: usage endpoints that are counted.
        first: what is read first: usage and costs.
        second: what needs many calls, and what is read seldom: names, limits, peak minute, cost drift.
    """

    flows: tuple[FlowDataset, ...]
    costs: CostsDataset | None
    names: NamesDataset | None
    first: tuple[Dataset, ...]
    second: tuple[Dataset, ...]

    @classmethod
    def of(cls, config: Config, organization: Organization, context: Context) -> "Datasets":
        """Fresh datasets for a configuration."""
        kept = pinned(budgets_of(config, organization))
        flows = tuple(
            FlowDataset(name, organization, context, kept)
            for name in organization.usage
            if name in OPERATIONS
        )
        levels = [LevelDataset(organization, context)] if VECTOR_STORES in organization.usage else []
        costs = CostsDataset(organization, context) if organization.costs is not None else None
        names = NamesDataset(organization, context) if organization.names else None
        second: list[Dataset] = [names] if names else []
        limits = LimitsDataset(organization, lambda: names.active_projects if names else None)
        if organization.limits:
            second.append(limits)
        if organization.peak_minute is not None:
            second.append(PeakDataset(organization, context, lambda: limits.models))
        if organization.cost_drift is not None and costs is not None:
            second.append(DriftDataset(organization, context))
        return cls(flows, costs, names, (*flows, *levels, *([costs] if costs else [])), tuple(second))

    @property
    def all(self) -> tuple[Dataset, ...]:
        """All of them, in the order in which they are read."""
        return (*self.first, *self.second)
