# SPDX-License-Identifier: Apache-2.0
"""What tiles say, and in which color: the real chain healthy, in an outage, with usage alone, and with nothing.

A cell is `words|color`, a regular expression; a tile of several values has one after the other, joined by `; `.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.dashboards.conftest import Chain, few_probes, running_chain
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, ask
from tests.dashboards.pages import Json, Page, Panel, pages

pytestmark = pytest.mark.stack

STATES = ("healthy", "outage", "usage alone", "nothing")
UNKNOWN = r"Unknown\|text"
ALL_UP, NONE_UP = r"(\d+) of \1\|green", r"[01] of [2-9]\|red"
NO_PROBES, NO_SUCCESSES = r"No probes yet\|text", r"No successes\|text"
NO_USAGE, NO_COSTS = r"No usage read\|text", r"No costs read\|text"
NOT_RECORDED = r"Not recorded yet\|text"
FAST = r"0[.\d]*(e-\d+)?\|green"
PLAIN = r"[.\d]+\|text"
NOTICE = r"\d+\|(green|orange)"


def _all(cell: str, nothing: str) -> tuple[str, str, str, str]:
    """What probes do not change."""
    return cell, cell, cell, nothing


TABLE: dict[str, tuple[str, str, str, str]] = {
    "overview / Up now": (ALL_UP, NONE_UP, UNKNOWN, UNKNOWN),
    "overview / Success": (r"1\|green", r"0[.\d]*\|(red|orange)", NO_PROBES, NO_PROBES),
    "overview / Latency p95": (FAST, rf"{NO_SUCCESSES}|{FAST}", NO_SUCCESSES, NO_SUCCESSES),
    "overview / TTFT p95": (FAST, rf"{NO_SUCCESSES}|{FAST}", NO_SUCCESSES, NO_SUCCESSES),
    "overview / Alerts firing": (
        rf"0\|green; {NOTICE}", rf"[1-9]\d*\|red; {NOTICE}", rf"0\|green; {NOTICE}", UNKNOWN,
    ),
    "overview / Error budget left": (r"1\|green", r"-?[.\d]+\|(red|orange)", NOT_RECORDED, NOT_RECORDED),
    "overview / Provider incidents": (r"None\|green", r"None\|green|\d+\|orange", r"None\|green", UNKNOWN),
    "overview / Rate limit headroom": (r"[.\d]+\|green", UNKNOWN, UNKNOWN, UNKNOWN),
    "overview / Next model shutdown": (
        r"None in use\|green|[.\d]+\|\w+", r"None in use\|green|[.\d]+\|\w+(; .*)?", UNKNOWN, UNKNOWN,
    ),
    "overview / Month to date": _all(r"[.\d]+\|(text|red)", NO_COSTS),
    "overview / Forecast": _all(r"[.\d]+\|(text|red)", NO_COSTS),
    "overview / Highest budget use": _all(r"[.\d]+\|(green|orange|red)", r"No budgets read\|text"),
    "probes / Up now": (ALL_UP, NONE_UP, UNKNOWN, UNKNOWN),
    "probes / p95": (FAST, rf"{NO_SUCCESSES}|{FAST}", NO_SUCCESSES, NO_SUCCESSES),
    "probes / Failures": (r"0\|green", r"[1-9]\d*\|orange", NO_PROBES, NO_PROBES),
    "slo / SLI": (r"1\|green", r"0[.\d]*\|red", NOT_RECORDED, NOT_RECORDED),
    "slo / Budget": (r"1\|green", r"-?[.\d]+\|(red|orange)", NOT_RECORDED, NOT_RECORDED),
    "slo / Runs out": (r"Not in sight\|green", r"Exhausted\|red", NOT_RECORDED, NOT_RECORDED),
    "models / Listed": (r"[1-9]\d*\|text", r"[1-9]\d*\|text", UNKNOWN, UNKNOWN),
    "models / Retiring": (NOTICE, NOTICE, UNKNOWN, UNKNOWN),
    "models / API keys": _all(r"[1-9]\d*\|text", UNKNOWN),
    "models / Unused": _all(NOTICE, UNKNOWN),
    "exporter / Targets up": _all(ALL_UP, UNKNOWN),
    "exporter / Config": _all(r"Loaded\|green", UNKNOWN),
    "exporter / Version": _all(r"\d[\w.]+\|text", UNKNOWN),
    "exporter / Capped": (r"0\|green", r"0\|green", UNKNOWN, UNKNOWN),
    "usage / Tokens": _all(r"[1-9][.\de+]*\|text", NO_USAGE),
    "usage / Input": _all(r"[1-9][.\de+]*\|blue", NO_USAGE),
    "usage / Output": _all(r"[1-9][.\de+]*\|red", NO_USAGE),
    "usage / Requests": _all(r"[1-9][.\de+]*\|green", NO_USAGE),
    "usage / Est. cost": _all(PLAIN, NO_USAGE),
    "usage / Billed": _all(PLAIN, NO_COSTS),
    "costs / Today": _all(r"[.\d]+\|(text|red)", NO_COSTS),
    "costs / Yesterday": _all(PLAIN, NO_COSTS),
    "costs / This month": _all(r"[.\d]+\|(text|red)", NO_COSTS),
    "costs / Forecast": _all(r"[.\d]+\|(text|red)", NO_COSTS),
    "costs / Last month": _all(PLAIN, NO_COSTS),
    "costs / Est./bill": _all(r"[.\d]+\|(green|orange)", UNKNOWN.replace("Unknown", "(Not compared|No costs read)")),
    "costs / Non-USD": _all(r"0\|green", NO_COSTS),
}  # fmt: skip
"""Tile -> its cells, in the order of STATES."""


def _tile(name: str) -> tuple[Page, Panel]:
    return next((page, panel) for page in pages() for panel in page.panels if str(panel) == name)


def _settings(panel: Panel, legend: str) -> Json:
    """The panel's settings with those overrides by name that fit a value."""
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
        if each["type"] == "value" and not math.isnan(value) and f"{value + 0.0:g}" in options:
            return dict(options[f"{value + 0.0:g}"])
        low, high = options.get("from"), options.get("to")
        if each["type"] == "range" and (low is None or value >= low) and (high is None or value <= high):
            return dict(options["result"])
    return {}


def _value(panel: Panel, legend: str, name: str, value: float) -> str:
    """Words and color of one value, by the rules of Grafana's field display."""
    settings = _settings(panel, legend)
    steps = [step for step in settings["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    color = steps[-1]["color"] if steps else "text"
    if settings["color"]["mode"] == "fixed":
        color = settings["color"]["fixedColor"]
    mapped = _mapped(value, settings.get("mappings", []))
    words = name if panel.json["options"]["textMode"] == "name" else mapped.get("text", f"{value:g}")
    return f"{words}|{mapped.get('color', color)}"


def _reduced(panel: Panel, row: Json) -> float:
    """The one number that the tile makes of a series."""
    values = [float(value) for _, value in row.get("values") or [row["value"]]]
    if panel.json["options"]["reduceOptions"]["calcs"] == ["sum"]:
        return math.fsum(value for value in values if not math.isnan(value))
    return values[-1]


def _shown(server: Server, name: str, when: Range) -> str:
    """What a tile shows."""
    page, panel = _tile(name)
    found = []
    for target in panel.targets:
        answer = ask(server, page, panel, target, when, {})
        assert answer["status"] == "success", (name, answer)
        for row in answer["data"]["result"]:
            legend = target["legendFormat"]
            label = re.sub(r"\{\{(\w+)\}\}", lambda found, row=row: row["metric"].get(found[1], ""), legend)  # type: ignore[misc]
            found.append(_value(panel, legend, label, _reduced(panel, row)))
    return "; ".join(found) or _value(panel, "", "", math.nan)


def _wrong(server: Server, when: Range, state: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Those of the tiles whose cell differs: tile -> (what is expected, what is shown)."""
    cells = {name: (TABLE[name][STATES.index(state)], _shown(server, name, when)) for name in names}
    return {name: (cell, shown) for name, (cell, shown) in cells.items() if not re.fullmatch(cell, shown)}


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
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Few probes that are answered at once."""
    with running_chain(Path(tmp_path_factory.mktemp("healthy")), few_probes, latency_scale=0) as found:
        yield found


@pytest.fixture(scope="module")
def usage_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """An exporter that probes nothing."""
    with running_chain(Path(tmp_path_factory.mktemp("usage")), lambda document: document.update(probes=[])) as found:
        yield found


def test_the_table_has_enough_cells() -> None:
    assert len(TABLE) * len(STATES) >= 60


def test_tiles_while_all_is_well_and_in_a_total_outage(healthy: Chain) -> None:
    _reached(healthy, "healthy", healthy.started)
    healthy.simulator.fault("outage", scope="inference", mode="503")
    _reached(healthy, "outage", time.time() + 8)


def test_tiles_with_usage_alone(usage_alone: Chain) -> None:
    _reached(usage_alone, "usage alone", usage_alone.started)


def test_tiles_with_nothing(nothing: Server) -> None:
    assert _wrong(nothing, Range(0, 6 * 3600), "nothing", TABLE) == {}
