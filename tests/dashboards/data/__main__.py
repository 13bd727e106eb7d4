# SPDX-License-Identifier: Apache-2.0
"""Serves a Prometheus with made-up data, to look at the pages: `python -m tests.dashboards.data FOLDER`."""

import argparse
import shutil
import time
from pathlib import Path

from tests.dashboards.data import scenarios
from tests.dashboards.data.rules import needed, recorded_names
from tests.dashboards.data.timeline import HOUR
from tests.dashboards.data.tsdb import serving
from tests.dashboards.pages import expressions, pages
from tests.mixin.bundle import mixin

AHEAD = 2 * HOUR
"""Seconds for which data go on after they were made."""


def main() -> None:
    """Make the data unless the folder holds some, then serve it until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the database is, or will be")
    parser.add_argument("--days", type=float, default=30.0, help="how far back (default: 30; takes some minutes)")
    parser.add_argument("--outage", type=float, default=0.0, help="minutes of outage until now (default: 0)")
    options = parser.parse_args()
    end = made(options.folder, options.days, options.outage)
    with serving(options.folder / "data") as server:
        print(f"{server.url} until {end} (Unix seconds); stop with Ctrl-C", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


def made(folder: Path, days: float, outage: float) -> int:
    """The moment at which the data ends, in Unix seconds: hours from now, so that a page asked until now is full.

    Data that have ended are made anew. `outage` is how many minutes ago it began, 0 for never.
    """
    stamp = folder / "end"
    now = int(time.time()) // 60 * 60
    if stamp.is_file() and int(stamp.read_text()) < now:
        shutil.rmtree(folder)
    if not stamp.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        end = now + AHEAD
        wanted = {name for page in pages() for _, text in expressions(page) for name in recorded_names(text)}
        rules = needed(mixin("prometheusRules")["groups"], wanted)
        when = scenarios.timeline(end, days, fine=AHEAD + (26 * HOUR if days > 2 else 6 * HOUR))
        scenarios.build(folder / "data", when, rules, now - outage * 60 if outage else scenarios.NEVER)
        stamp.write_text(str(end))
    return int(stamp.read_text())


if __name__ == "__main__":
    main()
