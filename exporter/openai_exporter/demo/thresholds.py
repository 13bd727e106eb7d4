# SPDX-License-Identifier: Apache-2.0
"""The user's rules: thresholds at the demo's pace, so that an alert fires in seconds, and raw rules as they are."""

from pathlib import Path

from openai_exporter.errors import ConfigError
from openai_exporter.rules import ThresholdFile, build_from, load_thresholds
from openai_exporter.rules.measures import MEASURES
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


def rule_file(alerting: Path, interval: float, promtool: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a rule file with the user's rules, and what is wrong with them.

    Args:
        alerting: the bundle's folder with `thresholds.yml`, in place of which built-in ones are used when it is missing
            or has a mistake, and `rules.d/`, whose rules are taken as they are.
        interval: seconds between two scrapes.
        promtool: path of promtool, to check raw rules with.
    """
    notes: list[str] = []
    file = _BUILT_IN
    if (alerting / NAME).exists():
        try:
            file = load_thresholds(alerting / NAME)
        except ConfigError as error:
            notes += [f"{error.problems[0]}; the demo goes on with thresholds of its own"]
    built = build_from(faster(file, interval), NAME, alerting / "rules.d", promtool)
    notes += [f"{problem}; left out" for problem in built.left_out]
    return built.text, (*notes, *built.notes)


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
