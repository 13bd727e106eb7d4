# SPDX-License-Identifier: Apache-2.0
"""The log of one probe: `key=value` lines that stay with its result, and one record for the process' log."""

import logging
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

from openai_exporter.model import ProbeResult
from openai_exporter.probe.redact import Redactor

LOGGER = logging.getLogger("openai_exporter.probe")

_BARE = re.compile(r"[^\s\"=\\]+")
MAX_VALUE = 300


class ProbeLog:
    """Collects lines; every value is masked and bounded when it is added."""

    __slots__ = ("_lines", "_redactor")

    def __init__(self, redactor: Redactor) -> None:
        self._lines: list[str] = []
        self._redactor = redactor

    def add(self, at: float, event: str, **values: object) -> None:
        """Append one line; `at` in seconds since the start, values that are None are left out."""
        parts = [f"at={at:.6f} event={event}"]
        for name, value in values.items():
            if value is not None:
                parts.append(f"{name}={self._shown(value)}")
        self._lines.append(" ".join(parts))

    def lines(self) -> tuple[str, ...]:
        """The lines so far."""
        return tuple(self._lines)

    def _shown(self, value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return f"{value:.6f}"
        if isinstance(value, int):
            return str(value)
        return quoted(self._redactor.label(str(value), MAX_VALUE))


def quoted(text: str) -> str:
    """A logfmt value: bare where that is unambiguous, else in double quotes."""
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def record(result: ProbeResult) -> None:
    """One record per probe for the process' log, with its fields under `fields`.

    Failures go out at INFO and successes at DEBUG, for neither is a fault of the exporter; those are errors.
    """
    level = logging.DEBUG if result.success else logging.INFO
    if result.outcome == "internal":
        level = logging.ERROR
    if LOGGER.isEnabledFor(level):
        text = "probe succeeded" if result.success else "probe failed"
        LOGGER.log(level, text, extra={"fields": fields(result)})


def fields(result: ProbeResult) -> Mapping[str, object]:
    """What a log record says of a result; already masked."""
    found: dict[str, object] = {
        "target": result.key.target,
        "module": result.key.module,
        "model": result.key.model,
        "outcome": result.outcome,
        "status": result.status_code,
        "duration_seconds": round(result.duration, 6),
        "request_id": result.request_id,
        "error_code": result.error_code,
        "message": "" if result.success else result.message,
    }
    return {name: value for name, value in found.items() if value != ""}


def located(error: Exception) -> str:
    """An exception and the line it came from, in place of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
