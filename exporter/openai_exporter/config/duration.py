# SPDX-License-Identifier: Apache-2.0
"""Prometheus durations: `1h30m`, `15s`, `500ms`; a bare number is seconds."""

import re

_UNITS = {"y": 31536000.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WRITTEN = r"(?=[0-9])" + "".join(rf"(?:[0-9]{{1,9}}{unit})?" for unit in _UNITS)
_WHOLE = re.compile(_WRITTEN)
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_LONGEST = 100 * _UNITS["y"]

ALLOWED = "a duration such as 15s, 500ms or 1h30m"
PATTERN = f"^(?:{_WRITTEN}|0)$"
"""Written form, units from the largest to the smallest; for JSON Schema."""


def parse_duration(value: object) -> float:
    """Seconds of a duration, to the millisecond.

    Raises:
        ValueError: not a duration, negative, or longer than 100 years; the message says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be {ALLOWED}")
    seconds = _written(value) if isinstance(value, str) else value
    if seconds < 0:
        raise ValueError(f"must not be negative; give {ALLOWED}")
    if not seconds <= _LONGEST:
        raise ValueError(f"must be {ALLOWED}, at most 100y")
    return round(float(seconds), 3)


def _written(text: str) -> float:
    if text == "0":
        return 0.0
    if text.startswith("-"):
        return -1.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"must be {ALLOWED}")
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """The shortest exact Prometheus duration of a number of seconds, to the millisecond."""
    rest = round(seconds * 1000)
    if rest == 0:
        return "0s"
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text
