# SPDX-License-Identifier: Apache-2.0
"""The metric catalogue: each name, type, unit, HELP text and label is spelt here and nowhere else.

Code refers to the constants; documents, rules, panels and tests read `CATALOGUE`.
"""

from openai_exporter.metrics import own, probe, usage
from openai_exporter.metrics.metric import LABELS, Kind, Metric, Page, metrics_of

CATALOGUE: dict[str, Metric] = {metric.name: metric for module in (probe, usage, own) for metric in metrics_of(module)}

__all__ = ["CATALOGUE", "LABELS", "Kind", "Metric", "Page"]
