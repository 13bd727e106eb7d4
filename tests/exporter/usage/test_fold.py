# SPDX-License-Identifier: Apache-2.0
"""What folds into `other`, and that a restart without any memory decides the same."""

from collections.abc import Callable

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.simulator.testing import SimulatorControl, running_simulator
from openai_exporter.usage import UsageService
from openai_exporter.usage.fold import Fold, Labels, Rows

from .scraping import Now, Scrape, counters, of, one, scrape, service
from .walking import DAY, HOUR

OTHER = ("other",)


def rows(**sizes: int) -> Rows:
    return {(name,): (size,) for name, size in sizes.items()}


def fold(limit: int, **before: int) -> Fold:
    made = Fold(limit, sum)
    if before:
        made.preferred = made.largest(rows(**before))
    return made


@pytest.mark.parametrize(
    ("made", "known", "first", "kept"),
    [
        pytest.param(fold(2), (), {}, {"b", "c"}, id="without a month before the largest"),
        pytest.param(fold(2, a=1), (), {}, {"a", "b"}, id="those of the month before, then by name"),
        pytest.param(
            fold(2, x=1), (), {("b",): 2, ("c",): 3, ("a",): 1}, {"a"}, id="room is kept, the day decides"
        ),
        pytest.param(fold(2, a=1, b=2, c=3), (), {}, {"b", "c"}, id="the largest of the month before"),
        pytest.param(fold(2), (("z",),), {}, {"c"}, id="what is known stays"),
        pytest.param(fold(2), (("z",), OTHER), {}, {"c"}, id="other takes no room"),
        pytest.param(fold(3), (), {}, {"a", "b", "c"}, id="room for all"),
    ],
)
def test_who_keeps_its_labels(
    made: Fold, known: tuple[Labels, ...], first: dict[Labels, int], kept: set[str]
) -> None:
    found = rows(a=1, b=2, c=3)
    made.apply((found,), known, first)
    assert kept == {name for (name,) in found if name != "other"}
    assert 6 == sum(value for (value,) in found.values())
    assert 3 - len(kept) == made.dropped


MORE = """
  names: false
  limits: false
  costs: null
  series_limit: 12
  usage:
    completions: {group_by: [project_id, api_key_id, model]}
"""


def exposed(page: Scrape) -> Scrape:
    """Every counter that is not zero, and how many series are folded."""
    found = {series: value for series, value in counters(page).items() if value}
    return found | {("dropped", ()): one(page, metrics.SERIES_DROPPED, operation="completions")}


async def test_a_restart_without_storage_folds_the_same_series() -> None:
    now = Now()
    with running_simulator(latency_scale=0, seed=11, clock="2026-10-30T07:10:00Z", speed=0) as simulator:

        def started() -> UsageService:
            return service(simulator.api_url, now, more=MORE)

        live = started()
        await live.page()
        seen = set()
        for hours in (5, 20, 14, 1, 3, 7, 30, 48, 24 * 9, 24 * 7):
            simulator.clock(advance=hours * HOUR)
            now.advance(DAY)
            await live.page()
            now.advance(DAY)
            found = exposed(scrape(await live.page()))
            assert found == exposed(await fresh(started))
            seen.add(found["dropped", ()])
        await live.close()
    assert min(seen) > 0


async def fresh(started: Callable[[], UsageService]) -> Scrape:
    """The page of an exporter that has just started."""
    made = started()
    page = scrape(await made.page())
    await made.close()
    return page


async def test_the_largest_of_the_month_before_are_those_that_keep_their_labels(
    simulator: SimulatorControl, now: Now
) -> None:
    usage = service(simulator.api_url, now, more=MORE)
    found = scrape(await usage.page())
    await usage.close()
    tokens = of(found, metrics.INPUT_TOKENS)
    [other] = [value for labels, value in tokens.items() if ("model", "other") in labels]
    assert 13 == len(tokens)
    assert 0 < other < sum(tokens.values()) / 2
