# SPDX-License-Identifier: Apache-2.0
"""Takes pictures of pages in a running Grafana with headless Chromium.

`make screenshots GRAFANA_URL=http://localhost:3000` makes thirty days of data, serves them as a Prometheus on port
19091, and draws every page in both themes. The Grafana must have the pages (dashboards/generated) and a Prometheus
data source that reads http://127.0.0.1:19091; dashboards/README.md shows how.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.dashboards.data.__main__ import made
from tests.dashboards.data.tsdb import serving
from tests.dashboards.pages import Page, config, pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PNGQUANT = shutil.which("pngquant")
"""Makes pictures a third as large where it is installed."""
PORT = 19091
"""Where the data are served."""
_PIXELS_PER_ROW = 38
_HEAD = 190
"""Pixels above the first panel: navigation, variables and links."""


@dataclass(frozen=True)
class View:
    """How pages are looked at: theme, size in pixels (height 0: the whole page) and time range."""

    theme: str
    width: int
    height: int
    start: str
    end: str


def height_of(page: Page) -> int:
    """Pixels that a whole page needs."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in page.json["panels"])
    return _HEAD + _PIXELS_PER_ROW * int(bottom)


def take(grafana: str, page: Page, view: View, out: Path) -> None:
    """Write one picture; its name says page and theme."""
    assert CHROMIUM is not None
    query = {"theme": view.theme, "from": view.start, "to": view.end, "kiosk": "", "timezone": "utc"}
    uid = config()["dashboards"][page.name]
    url = f"{grafana.rstrip('/')}/d/{uid}/x?{urllib.parse.urlencode(query)}"
    size = f"{view.width},{view.height or height_of(page)}"
    # Charts are drawn when they scroll into view, which headless Chromium does only with all compositor stages.
    waits = ["--virtual-time-budget=60000", "--run-all-compositor-stages-before-draw"]
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *waits]
    with tempfile.TemporaryDirectory() as profile:
        argv = [CHROMIUM, *flags, f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={out}", url]
        subprocess.run(argv, check=True, capture_output=True, timeout=600)
    if PNGQUANT is not None:
        subprocess.run([PNGQUANT, "--force", "--output", str(out), "250", str(out)], check=True, timeout=600)


def missing(grafana: str) -> str:
    """Why there can be no pictures; empty when there can."""
    if CHROMIUM is None:
        return "chromium is not installed (Debian: apt-get install chromium)"
    if not grafana:
        return "set GRAFANA_URL to a running Grafana (11 or later) that has the pages; see dashboards/README.md"
    try:
        with urllib.request.urlopen(f"{grafana.rstrip('/')}/api/dashboards/uid/openai-overview", timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        remedy = "provision dashboards/generated and allow anonymous access"
        return f"{grafana} has no page openai-overview (HTTP {error.code}): {remedy}"
    except OSError as error:
        return f"{grafana} does not answer: {error}"


def _draw(given: argparse.Namespace) -> None:
    for theme in ("dark", "light"):
        for page in pages():
            if not given.page or page.name in given.page:
                out = given.out / f"{page.name}-{theme}.png"
                take(given.grafana, page, View(theme, given.width, 0, page.json["time"]["from"], "now"), out)
                print(f"{out}: {out.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> int:
    """Take the pictures; 2 when something that this needs is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="*", help="pages, such as overview (default: all)")
    parser.add_argument("--grafana", default=os.environ.get("GRAFANA_URL", ""), help="its root URL")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=1500)
    parser.add_argument("--data", type=Path, help="make data in this folder, or take those in it, and serve them")
    given = parser.parse_args()
    why = missing(given.grafana)
    if why:
        print(f"screenshots: {why}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    if given.data:
        print("making thirty days of data, which takes some minutes the first time ...", flush=True)
        made(given.data, 30.0, 0.0)
    with serving(given.data / "data", port=PORT) if given.data else nullcontext():
        _draw(given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
