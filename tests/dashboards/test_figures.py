# SPDX-License-Identifier: Apache-2.0
"""Figures of panels against the simulator's books, through the real exporter, Prometheus and our rules.

The simulator's clock stands still but for one jump, so that what a panel must show is a difference of two books.
"""

import json
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.dashboards.conftest import Chain, running_chain
from tests.dashboards.grafana import ask, step_of
from tests.dashboards.pages import Json, Page, Panel, pages

pytestmark = pytest.mark.stack

NOON = "2026-11-12T12:20:00Z"
HOURS = 2
SPARE = 9.0
"""Seconds that a jump takes to be scraped, as a rule; five groups a minute always leave them."""
JUMPS = 5
"""That may be too slow, on a busy machine, each in a chain of its own."""
DEADLINE = 120.0
REQUESTS = "sum(openai_usage_requests_total)"
SCALE = 0.1
"""Of the rules' times: growth is recorded every minute."""
TOKENS = ("input_tokens", "output_tokens")
Figures = Mapping[str, float]
"""What a query shows, by the id or name in a label; one total has the empty name."""


@dataclass(frozen=True)
class Books:
    """What has arrived at the simulated API before the clock jumped, and after."""

    before: Json
    after: Json

    def grew(self, *fields: str, by: str = "", operations: tuple[str, ...] = ()) -> Figures:
        """Growth of usage; requests that searched the web are among the completions already."""
        sums: dict[str, float] = defaultdict(float)
        for sign, books in ((-1, self.before), (1, self.after)):
            for operation, rows in books["arrived"].items():
                for row in rows if operation in (operations or books["arrived"].keys() - {"web_search_calls"}) else ():
                    sums[row.get(by) or ""] += sign * sum(row.get(field) or 0 for field in fields)
        return {name: value for name, value in sums.items() if value}

    def estimated(self, by: str = "") -> Figures:
        """Growth of the estimated cost."""
        found = [books["estimated_cost_usd"]["arrived"] for books in (self.before, self.after)]
        if not by:
            return {"": float(Decimal(found[1]["total"]) - Decimal(found[0]["total"]))}
        grown = {name: Decimal(usd) - Decimal(found[0][by].get(name, 0)) for name, usd in found[1][by].items()}
        return {name: float(usd) for name, usd in grown.items() if usd}

    def billed(self, name: str) -> Figures:
        """What is billed of the month: one amount, or some by a label."""
        found = self.after["billed_cost_usd"]["arrived"][name]
        amounts = found if isinstance(found, dict) else {"": found}
        return {label: float(usd) for label, usd in amounts.items() if float(usd)}


def _cached(books: Books) -> Figures:
    return {"": books.grew("input_cached_tokens")[""] / books.grew("input_tokens")[""]}


def _largest(figures: Figures, count: int) -> Figures:
    return dict(sorted(figures.items(), key=lambda item: -item[1])[:count])


@dataclass(frozen=True)
class Row:
    """A figure of a panel.

    Attributes:
        query: its letter; two are added where a panel's lines are its parts.
        label: what tells its values apart.
        expected: what the books say.
        off: the part by which it may be wrong.
    """

    panel: str
    query: str
    label: str
    expected: Callable[[Books], Figures]
    off: float = 1e-6


def _growth(panel: str, *fields: str, query: str = "A", by: str = "") -> Row:
    return Row(panel, query, by, lambda books: books.grew(*fields, by=by))


def _estimate(panel: str, query: str = "A", by: str = "", in_books: str = "") -> Row:
    return Row(panel, query, by, lambda books: books.estimated(in_books))


def _counted(panel: str, field: str, *operations: str) -> Row:
    """Prometheus' own increase, which it extends to the whole range."""
    return Row(panel, "A", "", lambda books: books.grew(field, operations=operations), 0.15)


def _bill(panel: str, name: str, query: str = "A", by: str = "") -> Row:
    return Row(panel, query, by, lambda books: books.billed(name))


TABLE = (
    _growth("usage / Tokens", *TOKENS),
    _growth("usage / Input", "input_tokens"),
    _growth("usage / Output", "output_tokens"),
    _growth("usage / Requests", "num_model_requests"),
    _estimate("usage / Est. cost"),
    Row("usage / Cached", "A", "", _cached),
    _growth("usage / Total tokens", *TOKENS),
    _growth("usage / Input and output tokens", "input_tokens"),
    _growth("usage / Input and output tokens", "output_tokens", query="B"),
    _growth("usage / Requests per hour", "num_model_requests"),
    _growth("usage / Tokens by model", *TOKENS, query="AB"),
    _growth("usage / Tokens by project", *TOKENS, by="project_id"),
    _growth("usage / Models", "num_model_requests", by="model"),
    _growth("usage / Models", "input_tokens", query="B", by="model"),
    _growth("usage / Models", "input_cached_tokens", query="C", by="model"),
    _growth("usage / Models", "output_tokens", query="D", by="model"),
    _estimate("usage / Models", "E", "model", "by_model"),
    _growth("usage / API keys", "num_model_requests", by="api_key_id"),
    _growth("usage / API keys", "input_tokens", query="B", by="api_key_id"),
    _growth("usage / API keys", "output_tokens", query="C", by="api_key_id"),
    _growth("usage / Users", *TOKENS, by="user_id"),
    _counted("usage / Images", "images", "images"),
    _counted("usage / TTS chars", "characters", "audio_speeches"),
    _counted("usage / STT audio", "seconds", "audio_transcriptions"),
    _growth("overview / Tokens", "input_tokens"),
    _growth("overview / Tokens", "output_tokens", query="B"),
    _bill("overview / Spent today", "today", "AB"),
    _bill("overview / Month to date", "month_to_date", "AB"),
    _bill("overview / Cost of month", "month_to_date"),
    _bill("costs / Today", "today", "AB"),
    _bill("costs / Yesterday", "yesterday"),
    _bill("costs / This month", "month_to_date", "AB"),
    _bill("costs / Last month", "previous_month"),
    _bill("costs / Month to date and forecast", "month_to_date"),
    _bill("costs / This month by project", "by_project", by="project_id"),
    Row("costs / This month by line item", "A", "line_item", lambda books: _largest(books.billed("by_line_item"), 8)),
    _bill("costs / Billed line items", "by_line_item", by="line_item"),
    _bill("costs / Billed line items", "by_project", by="project_id"),
    _estimate("costs / Top spenders", "A", "project_id", "by_project"),
)
"""Growth in the time range, and what the month costs."""


def _panel(name: str) -> tuple[Page, Panel]:
    return next((page, panel) for page in pages() for panel in page.panels if str(panel) == name)


def _shown(chain: Chain, row: Row) -> Figures:
    """What a panel shows: the sum of its bars, or the last value of its line."""
    page, panel = _panel(row.panel)
    when = chain.so_far
    sums: dict[str, float] = defaultdict(float)
    for target in panel.targets:
        if target["refId"] not in row.query:
            continue
        for found in ask(chain.server, page, panel, target, when, {})["data"]["result"]:
            points = found.get("values") or [found["value"]]
            numbers = [float(value) for _, value in points if value != "NaN"]
            scale = step_of(panel, target, when)[0] / 3600 if "per hour" in panel.title else 1.0
            value = scale * sum(numbers) if "growth10m" in target["expr"] else numbers[-1] if numbers else 0.0
            sums[found["metric"].get(row.label, "")] += value
    return {name: value for name, value in sums.items() if value}


@pytest.fixture(scope="module")
def jumped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chain, Books]]:
    """The chain after the simulated clock has jumped, with its books before and after."""

    def usage_alone(document: dict[str, Any]) -> None:
        del document["probes"], document["modules"], document["targets"], document["status_pages"]
        (organization,) = document["organizations"]
        organization["refresh_interval"] = "1s"
        organization["costs"]["refresh_interval"] = "1s"

    for _ in range(JUMPS):
        folder = tmp_path_factory.mktemp("jumped")
        with running_chain(folder, usage_alone, SCALE, clock=NOON, speed=0) as chain:
            books = _jump(chain)
            if books is not None:
                yield chain, books
                return
    pytest.fail(f"{JUMPS} jumps were not scraped before growth was recorded")


def _jump(chain: Chain) -> Books | None:
    """Let the clock jump; None where growth was recorded before all of the jump was scraped, so that some is lost."""
    _until(chain, "min(openai_usage_up) == 1")  # also what no growth is recorded of
    for grown in ("requests", "estimated_cost_usd", "tokens"):
        _until(chain, f"min(last_over_time(key_user_model:openai_usage_{grown}:growth10m[5m])) == 0")
    _clear_of_evaluations(chain)
    began, before = time.time(), chain.simulator.state()["books"]
    requests = chain.server.ask("/api/v1/query", query=REQUESTS)["data"]["result"][0]["value"][1]
    chain.simulator.clock(advance=HOURS * 3600)
    books = Books(before, chain.simulator.state()["books"])
    _until(chain, f"{REQUESTS} == {float(requests) + books.grew('num_model_requests')['']}")
    return books if max(last for last, _ in _recorded(chain)) < began else None


def _until(chain: Chain, state: str) -> None:
    end = time.monotonic() + DEADLINE
    while not chain.server.ask("/api/v1/query", query=state)["data"]["result"]:
        assert time.monotonic() < end, f"{state}: not within {DEADLINE} s"
        time.sleep(0.5)


def _clear_of_evaluations(chain: Chain) -> None:
    """Until no growth is recorded soon: what is scraped at that moment is in neither of two recorded steps."""
    end = time.monotonic() + DEADLINE
    due = [0.0]
    while min(due) < SPARE:
        assert time.monotonic() < end, due
        time.sleep(0.2)
        due = [last + interval - time.time() for last, interval in _recorded(chain)]


def _recorded(chain: Chain) -> list[tuple[float, float]]:
    """When each group of growth was evaluated last, and the seconds until its next time."""
    with urllib.request.urlopen(f"{chain.server.url}/api/v1/rules?type=record", timeout=60) as answer:
        groups = json.load(answer)["data"]["groups"]
    return [
        (datetime.fromisoformat(re.sub(r"\.\d+", "", each["lastEvaluation"])).timestamp(), each["interval"])
        for each in groups
        if each["name"].startswith("openai-usage-growth")
    ]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.panel} {row.query} {row.label}".strip())
def test_a_panel_shows_what_the_books_say(jumped: tuple[Chain, Books], row: Row) -> None:
    chain, books = jumped
    expected = row.expected(books)
    end = time.monotonic() + DEADLINE
    while (shown := _shown(chain, row)) != pytest.approx(expected, rel=row.off) and time.monotonic() < end:
        time.sleep(0.5)

    assert expected
    assert shown == pytest.approx(expected, rel=row.off)


def test_figures_of_many_panels_are_compared() -> None:
    assert len({row.panel for row in TABLE}) >= 25
