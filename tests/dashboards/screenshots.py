# SPDX-License-Identifier: Apache-2.0
"""Takes pictures of pages in a running Grafana with headless Chromium.

`python -m tests.dashboards.screenshots --grafana http://localhost:3000 --out docs/screenshots [PAGE ...]`
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from tests.dashboards.pages import Page, config, pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
        argv = [
            CHROMIUM,
            *flags,
            f"--user-data-dir={profile}",
            f"--window-size={size}",
            f"--screenshot={out}",
            url,
        ]
        subprocess.run(argv, check=True, capture_output=True, timeout=120)


def main() -> int:
    """Take the pictures; 1 when there is no browser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", nargs="*", help="pages, such as overview (default: all)")
    parser.add_argument("--grafana", required=True, help="root URL of a Grafana that has the pages")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=0)
    parser.add_argument("--from", dest="start", default="now-6h")
    parser.add_argument("--to", dest="end", default="now")
    given = parser.parse_args()
    if CHROMIUM is None:
        print("screenshots: chromium is not installed (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    view = View(given.theme, given.width, given.height, given.start, given.end)
    for page in pages():
        if not given.page or page.name in given.page:
            take(given.grafana, page, view, given.out / f"{page.name}-{view.theme}.png")
            print(given.out / f"{page.name}-{view.theme}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
