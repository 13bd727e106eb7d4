# SPDX-License-Identifier: Apache-2.0
"""The pages on what the real exporter says of the simulator, through a real Prometheus with our rules."""

import time
from collections.abc import Callable

import pytest

from tests.dashboards.asking import ask_all, empty, refused
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, choices
from tests.dashboards.pages import pages

pytestmark = pytest.mark.stack

SAMPLES = 8
"""Of every target before the pages are asked."""
DEADLINE = 120.0
QUIET = {
    "nothing fails or burns": (
        "What fires",
        "Failures by type",
        "Failed calls",
        "Requests refused",
        "Probes not sent",
        "Bad events",
        "Gone on",
        "slo / Each probe G",
    ),
    "is compared with days that are not there": ("band", "Cost per day", "by hour of day"),
    "needs usage that grows, which takes minutes": (
        "overview / Tokens",
        "Top spenders",
        "Estimated cost per day, by project",
        "models / Shutdown dates C",
        "usage / Models",
        "usage / Cached",
        "Input per request",
        "Output per input",
        "Cached share of input",
    ),
    "no probed model retires": ("Next retirement", "Models in use that retire", "Days to the shutdown"),
    "the simulated organization does not use it, or the configuration does not read it": (
        "Images",
        "To speech",
        "To text",
        "Tool calls",
        "Vector stores",
    ),
    "an answer of one token has no pace": ("Tokens/s", "Output tokens per second", "Gaps between tokens"),
    "the storage folder is in order": ("exporter / Failed calls B",),
    "plain HTTP has no certificate": ("probes / The last probe of each G",),
}
"""Why a panel may be empty on data that is seconds old, and parts of such panels' titles."""


@pytest.fixture(scope="module")
def seen(chain: tuple[Server, Callable[[], Range]]) -> tuple[Server, Range]:
    server, when = chain
    end = time.monotonic() + DEADLINE
    while not _settled(server):
        assert time.monotonic() < end, "no target is scraped often enough"
        time.sleep(0.5)
    return server, when()


def _settled(server: Server) -> bool:
    """Whether every target has its samples and every probe succeeds."""
    wanted = f"min(count_over_time(up[5m])) >= {SAMPLES} and min(up) == 1 and min(probe_success) == 1"
    return bool(server.ask("/api/v1/query", query=wanted)["data"]["result"])


def test_every_query_has_data_of_the_real_exporter(seen: tuple[Server, Range]) -> None:
    server, when = seen
    quiet = [part for parts in QUIET.values() for part in parts]
    asked = [each for page in pages() for each in ask_all(server, page, when)]

    print(f"{len(asked)} queries answered")
    assert refused(asked) == []
    missing = [name for name in empty(asked) if not any(part in name for part in quiet)]
    assert not missing, "; ".join(missing)


def test_every_variable_offers_what_the_real_exporter_names(seen: tuple[Server, Range]) -> None:
    server, when = seen
    for page in pages():
        offered = choices(server, page, when)
        assert all(offered.values()), (page.name, offered)
