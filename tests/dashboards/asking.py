# SPDX-License-Identifier: Apache-2.0
"""Asks every query of a page, and tells what was refused or empty."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, Values, ask, seconds
from tests.dashboards.pages import Json, Page, Panel, strings

_NOTHING = {"NaN", "-2", "-1e-09"}
"""Values that stand for words why there is nothing."""
QUIET_IN_THE_DEMO = {
    "exporter / State persisted": "No --storage.path is set",
    "overview / Retiring models in use": "No model in use has a shutdown date",
}
"""Panels that may be empty a minute after the demo started, and what they say then."""


@dataclass(frozen=True)
class Asked:
    """A query of a panel and Prometheus' answer."""

    panel: Panel
    target: Json
    answer: Json

    @property
    def name(self) -> str:
        """Page, panel and letter of the query."""
        return f"{self.panel} {self.target['refId']}"

    @property
    def rows(self) -> list[Json]:
        """Its series."""
        found: list[Json] = self.answer["data"]["result"]
        return found

    @property
    def has_data(self) -> bool:
        """Whether there is more than the row that says why there is nothing."""
        values = {value for row in self.rows for _, value in row.get("values", [row.get("value")])}
        return bool(values - _NOTHING)


def ask_all(server: Server, page: Page, when: Range, values: Values | None = None) -> list[Asked]:
    """Every query of a page, with All chosen where `values` say nothing."""
    return [
        Asked(panel, target, ask(server, page, panel, target, when, values or {}))
        for panel in page.panels
        for target in panel.targets
    ]


def refused(asked: list[Asked]) -> list[str]:
    """What Prometheus refused, and why."""
    return [f"{each.name}: {each.answer.get('error')}" for each in asked if each.answer["status"] != "success"]


def empty(asked: list[Asked]) -> list[str]:
    """Names of queries without data."""
    return [each.name for each in asked if not each.has_data]


_ID = re.compile(r"var-(\w+)=\$\{__(?:data\.fields|field\.labels)\.(\w+):percentencode\}")


def linked_ids(server: Server, page: Page, panel: Panel, when: Range) -> set[tuple[str, str]]:
    """What the data links of a panel hand over for what it shows: (variable, id)."""
    rows = [row for each in panel.targets for row in ask(server, page, panel, each, when, {})["data"]["result"]]
    links = [found for text in strings(panel.json["fieldConfig"]) for found in _ID.findall(text)]
    return {(name, row["metric"][label]) for row in rows for name, label in links if row["metric"].get(label)}


def without_data(server: Server, pages: Iterable[Page], now: float) -> Iterator[tuple[Panel, str]]:
    """Panels of which no query has data in the range that their page opens with, and the text that they show then."""
    for page in pages:
        for panel in page.panels:
            back = panel.json.get("timeFrom") or page.json["time"]["from"].removeprefix("now-")
            when = Range(now - seconds(back), now)
            asked = [Asked(panel, target, ask(server, page, panel, target, when, {})) for target in panel.targets]
            if asked and not any(each.answer["status"] == "success" and each.has_data for each in asked):
                yield panel, panel.defaults.get("noValue", "")
