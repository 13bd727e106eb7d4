# SPDX-License-Identifier: Apache-2.0
"""The generated pages as tests read them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.mixin.bundle import mixin

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "dashboards" / "generated"
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::\w+)?\}|([A-Za-z_]\w*))")

Json = dict[str, Any]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
"""How everything names its data source: by the page's variable."""


@dataclass(frozen=True)
class Panel:
    """A panel that draws something; `page` is the file's stem."""

    page: str
    json: Json

    @property
    def title(self) -> str:
        """Its title."""
        found: str = self.json["title"]
        return found

    @property
    def kind(self) -> str:
        """Its type."""
        found: str = self.json["type"]
        return found

    @property
    def targets(self) -> list[Json]:
        """Its queries."""
        found: list[Json] = self.json.get("targets", [])
        return found

    @property
    def defaults(self) -> Json:
        """Settings of all its fields."""
        found: Json = self.json.get("fieldConfig", {}).get("defaults", {})
        return found

    @property
    def overrides(self) -> list[Json]:
        """Settings of some fields."""
        found: list[Json] = self.json.get("fieldConfig", {}).get("overrides", [])
        return found

    def __str__(self) -> str:
        return f"{self.page} / {self.title}"


@dataclass(frozen=True)
class Page:
    """A page; `name` is the file's stem."""

    name: str
    json: Json

    @property
    def panels(self) -> list[Panel]:
        """Everything but rows; those of collapsed rows too."""
        return [Panel(self.name, each) for each in self.placed if each["type"] != "row"]

    @property
    def placed(self) -> list[Json]:
        """Rows and panels in the order of their ids."""
        return [each for outer in self.json["panels"] for each in [outer, *outer.get("panels", [])]]

    @property
    def variables(self) -> Mapping[str, Json]:
        """Variables by name."""
        return {each["name"]: each for each in self.json["templating"]["list"]}

    @property
    def annotations(self) -> list[Json]:
        """Annotations that ask Prometheus."""
        return [each for each in self.json["annotations"]["list"] if "expr" in each]


@cache
def pages() -> tuple[Page, ...]:
    """The pages of dashboards/generated/."""
    return tuple(Page(path.stem, json.loads(path.read_text())) for path in sorted(GENERATED.glob("*.json")))


@cache
def config() -> Json:
    """The mixin's `_config`."""
    found: Json = mixin("_config")
    return found


def panels() -> list[Panel]:
    """Every panel of every page."""
    return [panel for page in pages() for panel in page.panels]


def drawn() -> list[Panel]:
    """Panels that draw data."""
    return [panel for panel in panels() if panel.kind != "text"]


def failing(check: Callable[[Panel], bool], among: Iterable[Panel]) -> list[str]:
    """Those panels for which `check` does not hold, by name."""
    return [str(panel) for panel in among if not check(panel)]


def expressions(page: Page) -> Iterator[tuple[str, str]]:
    """Where each PromQL expression of a page stands, and the expression."""
    for panel in page.panels:
        yield from ((f"{panel} {target['refId']}", target["expr"]) for target in panel.targets)
    for annotation in page.annotations:
        yield f"{page.name}, annotation {annotation['name']}", annotation["expr"]


def variables_in(text: str) -> set[str]:
    """Names of variables that a text uses, those of Grafana itself (`__...`) aside."""
    found = {one or other for one, other in _VARIABLE.findall(text)}
    return {name for name in found if not name.startswith("__")}


def strings(value: Any) -> Iterator[str]:
    """Every string within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
