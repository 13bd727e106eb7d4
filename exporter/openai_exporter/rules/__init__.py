# SPDX-License-Identifier: Apache-2.0
"""The user's rules: thresholds.yml and raw rule files, compiled to one Prometheus rule file."""

from openai_exporter.rules.examples import failures
from openai_exporter.rules.rule_file import Built, build, build_from, find_promtool, is_stale, write
from openai_exporter.rules.thresholds import ThresholdFile, load_thresholds, parse_thresholds

__all__ = [
    "Built",
    "ThresholdFile",
    "build",
    "build_from",
    "failures",
    "find_promtool",
    "is_stale",
    "load_thresholds",
    "parse_thresholds",
    "write",
]
