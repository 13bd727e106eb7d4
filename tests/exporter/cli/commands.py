# SPDX-License-Identifier: Apache-2.0
"""Commands as people and scripts run them: real processes."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.exporter.web.exporters import run_cli


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


def cli(*arguments: str, env: Mapping[str, str] | None = None) -> Outcome:
    process = run_cli(*arguments, env={"COLUMNS": "100", **(env or {})})
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)
