# SPDX-License-Identifier: Apache-2.0
"""The commands against a simulator, its books, and a report that is made without one."""

import json
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from click.testing import CliRunner, Result

from openai_exporter.cli.main import main
from openai_exporter.report.report import Book, Report, Totals, make_report, parse_period
from openai_simulator.testing import SimulatorControl

NOW = "2026-11-19T09:00:00Z"
ADMIN_KEY = "sk-admin-0123456789abcdef"
OPERATIONS = ("completions", "embeddings")
"""What is read by default."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run(simulator: SimulatorControl, *arguments: str, key: str = ADMIN_KEY) -> Result:
    """A command with nothing but a key in the environment."""
    env = {"OPENAI_ADMIN_KEY": key, "OPENAI_BASE_URL": simulator.api_url}
    return CliRunner().invoke(main, arguments, env=env)


def done(result: Result) -> str:
    """Standard output of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def unix(text: str) -> int:
    """Seconds of a moment or day in UTC."""
    return int(datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00+00:00").timestamp())


def usage(
    simulator: SimulatorControl, start: int, end: int, operations: Iterable[str] = OPERATIONS
) -> list[dict[str, Any]]:
    """True rows of [start, end)."""
    return [row for row in _books(simulator, "usage", start, end) if row["operation"] in operations]


def total(rows: Iterable[dict[str, Any]], field: str) -> int:
    return sum(row.get(field) or 0 for row in rows)


def bill(simulator: SimulatorControl, start: int, end: int) -> list[dict[str, Any]]:
    """True charges of the days in [start, end), credits that were entered later included."""
    rows = _books(simulator, "bill", start, unix(NOW))
    return [row | {"usd": Decimal(row["usd"])} for row in rows if row["day"] < end]


def spent(rows: Iterable[dict[str, Any]], by: str | None = None) -> dict[str, Decimal]:
    """Sums by a dimension, or of all under the empty name."""
    found: dict[str, Decimal] = {}
    for row in rows:
        name = (row[by] or "") if by else ""
        found[name] = found.get(name, Decimal(0)) + row["usd"]
    return found


def october(cells: Mapping[tuple[str, str], Totals], name: Callable[[str], str] = lambda id: "") -> Report:
    """A report of October 2026 by project, from totals by day and project id."""
    book = Book("project", {(unix(day), id): totals for (day, id), totals in cells.items()}, billed=True)
    now = unix("2026-11-14")
    return make_report(book, "acme", parse_period("2026-10", now), now, name, ())


def one_project(name: str) -> Report:
    """One project of that name, with a credit."""
    counts = {"requests": 2, "input_tokens": 10, "output_tokens": 5}
    return october({("2026-10-05", "proj_1"): Totals(Decimal("-1.005"), 10**12, counts)}, lambda id: name)


def _books(simulator: SimulatorControl, what: str, start: int, end: int) -> list[dict[str, Any]]:
    url = f"{simulator.base_url}/_simulator/organization/{what}?start={start}&end={end}"
    with _OPENER.open(url, timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
    return found
