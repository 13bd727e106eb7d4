# SPDX-License-Identifier: Apache-2.0
"""What a configuration asks for of one organization; light, for it is needed before anything is read."""

from openai_exporter.config import Config
from openai_exporter.config.organization import Budget, Organization


def dataset_names(organization: Organization) -> tuple[str, ...]:
    """The names of all datasets, in the order in which they are read."""
    wanted = (
        *organization.usage,
        *(["costs"] if organization.costs is not None else []),
        *(["names"] if organization.names else []),
        *(["limits"] if organization.limits else []),
        *(["peak_minute"] if organization.peak_minute is not None else []),
        *(["cost_drift"] if organization.cost_drift is not None and organization.costs is not None else []),
    )
    return tuple(wanted)


def budgets_of(config: Config, organization: Organization) -> tuple[Budget, ...]:
    """The budgets of one organization; one that names none belongs to the only one."""
    return tuple(each for each in config.budgets if each.organization in (None, organization.name))
