# SPDX-License-Identifier: Apache-2.0
"""Texts of thresholds.yml with `{{ ... }}`: a few forms that surely work, checked against the labels of the alert."""

import re
from collections.abc import Sequence

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_HUMANIZE = r"humanize|humanize1024|humanizeDuration|humanizePercentage"
_VALUE = re.compile(rf'\s*(?:\$value(?:\s*\|\s*(?:{_HUMANIZE}))?|printf\s+"%\.[0-9]f"\s+\$value)\s*')
_LABEL = re.compile(r"\s*\$labels\.([A-Za-z_][A-Za-z0-9_]*)\s*")
_FORMS = "$value, $value | humanize, humanizeDuration or humanizePercentage, and $labels.NAME"


def problem_of(text: str, labels: Sequence[str]) -> str | None:
    """What is wrong with a text whose alert carries these labels; None when it is fine."""
    rest = _ACTION.sub("", text)
    if "{{" in rest or "}}" in rest:
        return "has {{ without }}, or the reverse; write both, or neither"
    for action in _ACTION.findall(text):
        label = _LABEL.fullmatch(action)
        if label and label[1] not in labels:
            return f"names label {label[1]}, which the alert does not carry; it carries {', '.join(labels)}"
        if not label and not _VALUE.fullmatch(action):
            return f"has {{{{{action[:40]}}}}}; allowed between braces: {_FORMS}"
    return None
