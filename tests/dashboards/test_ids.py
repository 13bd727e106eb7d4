# SPDX-License-Identifier: Apache-2.0
"""Ids of panels, units, reducers, transformations and colours are those that Grafana 11 to 13 all know."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.dashboards.pages import Panel, panels, strings

IDS: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "ids.yml").read_text())
_COLOR = re.compile(
    r"(?:(?:super-light|light|semi-dark|dark)-)?(?:green|yellow|orange|red|purple|blue)|text|transparent"
)
_DATE = re.compile(r"time:[-YMDHm: ]+|suffix: [a-z ]+|prefix:\$")


def _properties(panel: Panel, name: str) -> Iterator[object]:
    if name in panel.defaults:
        yield panel.defaults[name]
    for override in panel.overrides:
        yield from (each["value"] for each in override["properties"] if each["id"] == name)


def _used(name: str) -> list[object]:
    return [value for panel in panels() for value in _properties(panel, name)]


def _unknown(kind: str, used: set[str]) -> set[str]:
    return used - set(IDS[kind])


def test_panel_types_exist() -> None:
    assert _unknown("panels", {panel.kind for panel in panels()}) == set()


def test_units_exist() -> None:
    assert {unit for unit in _unknown("units", set(map(str, _used("unit")))) if not _DATE.fullmatch(unit)} == set()


def _reducers(panel: Panel) -> set[str]:
    options = panel.json.get("options", {})
    used = {*options.get("reduceOptions", {}).get("calcs", []), *options.get("legend", {}).get("calcs", [])}
    for each in panel.json.get("transformations", []):
        fields = each["options"].get("fields", {}) if each["id"] == "groupBy" else {}
        used |= {reducer for field in fields.values() for reducer in field["aggregations"]}
    return used


def test_reducers_exist() -> None:
    assert _unknown("reducers", {reducer for panel in panels() for reducer in _reducers(panel)}) == set()


def test_transformations_exist() -> None:
    used = {each["id"] for panel in panels() for each in panel.json.get("transformations", [])}

    assert _unknown("transformations", used) == set()


def test_colours_exist() -> None:
    modes = [color for color in _used("color") if isinstance(color, dict)]
    steps = [step for found in _used("thresholds") if isinstance(found, dict) for step in found["steps"]]
    named = [mode["fixedColor"] for mode in modes if mode["mode"] == "fixed"] + [step["color"] for step in steps]

    assert _unknown("color_modes", {mode["mode"] for mode in modes}) == set()
    assert [name for name in named if not _COLOR.fullmatch(name)] == []


def test_matchers_properties_and_cells_exist() -> None:
    overrides = [override for panel in panels() for override in panel.overrides]

    assert _unknown("matchers", {override["matcher"]["id"] for override in overrides}) == set()
    assert _unknown("properties", {p["id"] for override in overrides for p in override["properties"]}) == set()


def test_cells_of_tables_have_the_types_of_grafana_11() -> None:
    used = [
        *_used("custom.cellOptions"),
        *(panel.defaults["custom"]["cellOptions"] for panel in panels() if panel.kind == "table"),
    ]

    assert _unknown("cells", {cell["type"] for cell in used if isinstance(cell, dict)}) == set()
    assert {cell["mode"] for cell in used if isinstance(cell, dict) and "mode" in cell} <= {"basic", "gradient", "lcd"}
    assert [name for panel in panels() for name in strings(panel.json) if name == "custom.displayMode"] == []
