# SPDX-License-Identifier: Apache-2.0
"""The bundle's thresholds at the demo's pace, so that an alert fires in seconds rather than minutes."""

from pathlib import Path

from openai_exporter.errors import ConfigError
from openai_exporter.rules import ThresholdFile, load_thresholds
from openai_exporter.rules.compile import groups
from openai_exporter.rules.measures import MEASURES
from openai_exporter.rules.output import as_rule_file
from openai_exporter.rules.schema import Threshold

NAME = "thresholds.yml"

_BUILT_IN = ThresholdFile.model_validate(
    {
        "thresholds": [
            {"name": "high_latency", "metric": "p95_latency", "operator": ">", "threshold": "5s", "for": "2m",
             "severity": "warning"},
            {"name": "high_error_rate", "metric": "error_rate", "operator": ">", "threshold": "5%", "for": "5m",
             "severity": "critical"},
        ]
    }
)  # fmt: skip
"""Where there is no bundle."""


def rule_file(thresholds: Path, interval: float) -> tuple[str, str]:
    """The text of a rule file, and what is wrong with the thresholds, in which case built-in ones are used.

    Args:
        thresholds: the bundle's file, which need not exist.
        interval: seconds between two scrapes.
    """
    problem = ""
    file = _BUILT_IN
    if thresholds.exists():
        try:
            file = load_thresholds(thresholds)
        except ConfigError as error:
            problem = str(error.problems[0])
    return as_rule_file(groups(faster(file, interval)), thresholds.name), problem


def faster(file: ThresholdFile, interval: float) -> ThresholdFile:
    """The same thresholds with the windows of probes shortened as the interval is."""
    factor = interval / file.settings.interval
    settings = file.settings.model_copy(update={"interval": interval})
    scaled = tuple(_scaled(each, factor) for each in file.thresholds)
    return file.model_copy(update={"settings": settings, "thresholds": scaled})


def _scaled(threshold: Threshold, factor: float) -> Threshold:
    measure = MEASURES[threshold.metric]
    if measure.is_usage:
        return threshold
    window = (threshold.window or measure.window) * factor
    return threshold.model_copy(
        update={"hold": round(threshold.hold * factor, 3), "window": round(window, 3)}
    )
