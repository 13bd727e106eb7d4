# SPDX-License-Identifier: Apache-2.0
"""The simulated organization: usage, costs, directory and limits under /v1/organization."""

from openai_simulator.exchange import Identity, OrganizationSize
from openai_simulator.organization.organization import Organization
from openai_simulator.organization.seed import SeededSize

__all__ = ["Identity", "Organization", "OrganizationSize", "SeededSize"]
