# SPDX-License-Identifier: Apache-2.0
"""The pages against Grafana's own types, opt-in: GRAFANA_SCHEMA names a folder with these packages of npm installed:
`npm install --prefix FOLDER @grafana/schema@12 typescript@5`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.dashboards.pages import Json, drawn, pages, panels

FOLDER = os.environ.get("GRAFANA_SCHEMA")
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    FOLDER is None or NODE is None, reason="opt-in: set GRAFANA_SCHEMA to a folder with @grafana/schema (npm)"
)

_TYPES = {
    "timeseries": "TimeSeries",
    "stat": "Stat",
    "gauge": "Gauge",
    "bargauge": "BarGauge",
    "table": "Table",
    "state-timeline": "StateTimeline",
    "heatmap": "Heatmap",
    "barchart": "BarChart",
    "piechart": "PieChart",
    "text": "Text",
}
_WITH_FIELDS = ("timeseries", "state-timeline", "barchart", "piechart")
# String enums accept no plain strings; as templates they do.
_HEAD = """
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def _module(name: str) -> str:
    """Path of a generated module; its place in the package differs between versions."""
    assert FOLDER is not None
    package = Path(FOLDER).resolve() / "node_modules" / "@grafana" / "schema" / "dist"
    found = next(package.rglob(f"{name}_types.gen.d.ts"), None)
    if found is None:
        pytest.skip(f"this version of @grafana/schema has no types of {name}")
    return str(found).removesuffix(".d.ts")


def _check(folder: Path, lines: list[str]) -> str:
    """What the compiler says of a program."""
    source = folder / "check.ts"
    source.write_text("\n".join(lines))
    assert FOLDER is not None
    compiler = Path(FOLDER) / "node_modules" / "typescript" / "bin" / "tsc"
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    done = subprocess.run([str(NODE), str(compiler), *flags, str(source)], capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def _imports() -> list[str]:
    return [
        f"import type * as {_TYPES[kind]} from '{_module(_TYPES[kind] + 'PanelCfg')}';"
        for kind in sorted({panel.kind for panel in panels()})
    ]


def test_options_and_fields_of_every_panel_have_the_right_types(tmp_path: Path) -> None:
    lines = [_HEAD, *_imports()]
    for number, panel in enumerate(panels()):
        options = json.dumps(panel.json["options"])
        lines.append(f"export const o{number}: Partial<Plain<{_TYPES[panel.kind]}.Options>> = {options};")
    for number, panel in enumerate(drawn()):
        if panel.kind in _WITH_FIELDS:
            custom = json.dumps(panel.defaults["custom"])
            lines.append(f"export const f{number}: Partial<Plain<{_TYPES[panel.kind]}.FieldConfig>> = {custom};")

    assert _check(tmp_path, lines) == ""


def _common(annotation: Json) -> Json:
    """What annotations of all data sources have; the rest belongs to Prometheus."""
    return {key: annotation[key] for key in ("name", "datasource", "enable", "hide", "iconColor")}


def test_every_page_has_the_right_type(tmp_path: Path) -> None:
    lines = [_HEAD, f"import type {{ Dashboard }} from '{_module('dashboard')}';"]
    for page in pages():
        document: Json = {**page.json, "annotations": {"list": [_common(each) for each in page.annotations]}}
        lines.append(f"export const {page.name}: Partial<Plain<Dashboard>> = {json.dumps(document)};")

    assert _check(tmp_path, lines) == ""
