# SPDX-License-Identifier: Apache-2.0
"""The simulated organization: usage, costs, directory and limits under /v1/organization."""

from openai_exporter.simulator.calls import Identity, OrganizationSize
from openai_exporter.simulator.organization.organization import Organization
from openai_exporter.simulator.organization.size import SeededSize

__all__ = ["Identity", "Organization", "OrganizationSize", "SeededSize"]
