# SPDX-License-Identifier: Apache-2.0
"""An organization's usage, costs, names, limits and budgets: read from its API, turned into families."""

from openai_exporter.usage.dataset import UsageSummary
from openai_exporter.usage.service import UsageService

__all__ = ["UsageService", "UsageSummary"]
