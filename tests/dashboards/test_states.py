# SPDX-License-Identifier: Apache-2.0
"""What tiles say, and in which colour, where the real chain reads usage alone, and where there is nothing at all.

A cell is `words|colour`, a regular expression; a tile of several figures has one after the other, joined by `; `.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.conftest import Chain, running_chain
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, ask
from tests.dashboards.pages import Json, Page, Panel, pages

pytestmark = pytest.mark.stack

UNKNOWN = r"Unknown\|text"
STATES = ("usage alone", "nothing")
TABLE: dict[str, tuple[str, str]] = {
    "overview / Up now": (UNKNOWN, UNKNOWN),
    "overview / Success": (r"No probes yet\|text", r"No probes yet\|text"),
    "overview / Latency p95": (r"No good answers\|text", r"No good answers\|text"),
    "overview / TTFT p95": (r"No good answers\|text", r"No good answers\|text"),
    "overview / Alerts firing": (r"0\|green; \d+\|(green|orange)", UNKNOWN),
    "overview / Error budget left": (r"Not recorded yet\|text", r"Not recorded yet\|text"),
    "overview / Provider incidents": (r"(None|0)\|green", UNKNOWN),
    "overview / Rate limit headroom": (UNKNOWN, UNKNOWN),
    "overview / Next model shutdown": (UNKNOWN, UNKNOWN),
    "probes / Up now": (UNKNOWN, UNKNOWN),
    "probes / p95": (r"No good answers\|text", r"No good answers\|text"),
    "probes / Failures": (r"No probes yet\|text", r"No probes yet\|text"),
    "slo / SLI": (r"Not recorded yet\|text", r"Not recorded yet\|text"),
    "slo / Runs out": (r"Not recorded yet\|text", r"Not recorded yet\|text"),
    "models / Listed": (UNKNOWN, UNKNOWN),
    "models / Retiring": (UNKNOWN, UNKNOWN),
    "models / API keys": (r"[1-9]\d*\|text", UNKNOWN),
    "models / Unused": (r"\d+\|(green|orange)", UNKNOWN),
    "exporter / Targets up": (r"(\d+) of \1\|green", UNKNOWN),
    "exporter / Config": (r"Loaded\|green", UNKNOWN),
}
"""Tile -> its cells, in the order of STATES."""


def _tile(name: str) -> tuple[Page, Panel]:
    return next((page, panel) for page in pages() for panel in page.panels if str(panel) == name)


def _settings(panel: Panel, legend: str) -> Json:
    """The panel's settings with those overrides by name that fit a figure."""
    found = dict(panel.defaults)
    for override in panel.overrides:
        if override["matcher"]["options"] == legend:
            found |= {each["id"]: each["value"] for each in override["properties"]}
    return found


def _mapped(value: float, mappings: list[Json]) -> Json:
    for each in mappings:
        options = each["options"]
        if each["type"] == "special" and math.isnan(value):
            return dict(options["result"])
        if each["type"] == "value" and not math.isnan(value) and f"{value:g}" in options:
            return dict(options[f"{value:g}"])
        low, high = options.get("from"), options.get("to")
        if each["type"] == "range" and (low is None or value >= low) and (high is None or value <= high):
            return dict(options["result"])
    return {}


def _figure(panel: Panel, legend: str, name: str, value: float) -> str:
    """Words and colour of one figure, by the rules of Grafana's field display."""
    settings = _settings(panel, legend)
    steps = [step for step in settings["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    mapped = _mapped(value, settings.get("mappings", []))
    words = name if panel.json["options"]["textMode"] == "name" and not math.isnan(value) else f"{value:g}"
    return f"{mapped.get('text', words)}|{mapped.get('color', steps[-1]['color'] if steps else 'text')}"


def _shown(server: Server, name: str, when: Range) -> str:
    """What a tile shows."""
    page, panel = _tile(name)
    figures = []
    for target in panel.targets:
        answer = ask(server, page, panel, target, when, {})
        assert answer["status"] == "success", (name, answer)
        for row in answer["data"]["result"]:
            value = float((row.get("value") or row["values"][-1])[1])
            legend = target["legendFormat"]
            label = re.sub(r"\{\{(\w+)\}\}", lambda found, row=row: row["metric"].get(found[1], ""), legend)  # type: ignore[misc]
            figures.append(_figure(panel, legend, label, value))
    return "; ".join(figures) or _figure(panel, "", "", math.nan)


def _wrong(server: Server, when: Range, state: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Those of the tiles whose cell differs: tile -> (what is wanted, what is shown)."""
    cells = {name: (TABLE[name][STATES.index(state)], _shown(server, name, when)) for name in names}
    return {name: (wanted, shown) for name, (wanted, shown) in cells.items() if not re.fullmatch(wanted, shown)}


def _reached(chain: Chain, state: str, began: float, deadline: float = 200.0) -> None:
    """Wait until every tile has shown its cell: on a busy machine a single scrape may be late."""
    wrong: dict[str, tuple[str, str]] = dict.fromkeys(TABLE, ("", ""))
    end = time.monotonic() + deadline
    while wrong and time.monotonic() < end:
        time.sleep(1)
        # Some steps at least.
        wrong = _wrong(chain.server, Range(began, max(time.time(), began + 20), hurried=5.0), state, wrong)
    print(f"{state}: {len(TABLE) - len(wrong)} of {len(TABLE)} cells")
    assert wrong == {}, state


@pytest.fixture(scope="module")
def usage_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """An exporter that probes nothing."""

    def without(document: dict[str, Any]) -> None:
        document["probes"] = []

    with running_chain(Path(tmp_path_factory.mktemp("usage")), without) as found:
        yield found


def test_the_table_has_enough_cells() -> None:
    assert len(TABLE) * len(STATES) >= 40


def test_tiles_with_usage_alone(usage_alone: Chain) -> None:
    _reached(usage_alone, "usage alone", usage_alone.started)


def test_tiles_with_nothing(nothing: Server) -> None:
    assert _wrong(nothing, Range(0, 6 * 3600), "nothing", TABLE) == {}
