# SPDX-License-Identifier: Apache-2.0
"""What refreshes cost in API calls; the counts are printed after the tests."""

import asyncio

from openai_exporter.config.sections import PRICED
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl
from tests.conftest import Note
from tests.exporter.usage.conftest import START, Make
from tests.exporter.usage.scraping import ALL, Now, asked, of, scrape, since
from tests.exporter.usage.walking import GROUPS, MINUTE

READ = {*GROUPS, "vector_stores", "costs"}
UNNAMED = ALL + "  names: false\n  limits: false\n"
PLAIN = UNNAMED + "  cost_drift: null\n"
SCRAPERS = 10
Counts = dict[str, int]


def shown(when: str, calls: Counts) -> str:
    return f"{when:<40} {sum(calls.values()):5} calls to {len(calls)} endpoints"


async def scraped_by_ten(usage: UsageService) -> dict[str, float]:
    """Ten scrapes at once; what the page says of the calls."""
    pages = await asyncio.gather(*(usage.page() for _ in range(SCRAPERS)))
    assert 1 == len({id(page) for page in pages})
    told = of(scrape(pages[0]), metrics.REFRESH_CALLS)
    return {dict(labels)["dataset"]: value for labels, value in told.items()}


async def test_ten_scrapers_cost_one_page_per_endpoint(
    make: Make, simulator: SimulatorControl, now: Now, note: Note
) -> None:
    each = make(more=PLAIN)

    before = asked(each)
    await scraped_by_ten(each)
    first = since(each, before)
    assert READ == first.keys()
    assert max(first.values()) <= 4  # hours, days, the month before; and once more to learn the API's time
    note("API calls", shown(f"first refresh, {SCRAPERS} scrapers at once", first))

    simulator.clock(advance=11 * MINUTE)
    now.advance(11 * MINUTE)
    before = asked(each)
    told = await scraped_by_ten(each)
    found = since(each, before)
    assert dict.fromkeys(READ, 1) == found
    assert {1.0} == set(told.values())
    note("API calls", shown(f"a refresh, {SCRAPERS} scrapers at once", found))


async def test_hours_of_refreshes_cost_one_page_each_and_one_more_an_hour(
    make: Make, simulator: SimulatorControl, now: Now, note: Note
) -> None:
    each = make(more=PLAIN)
    await each.page()
    before = asked(each)
    for _ in range(6 * 6):
        simulator.clock(advance=10 * MINUTE)
        now.advance(10 * MINUTE)
        await each.page()
    found = since(each, before)
    assert 36 == found["costs"]
    assert 36 == found["vector_stores"]
    for name in GROUPS:
        # An audit reads the days of the month, too; the month before is read once a day by now.
        assert 36 + 5 <= found[name] <= 36 + 6 + 1
    note("API calls", shown("six hours, refreshed every 10 minutes", found))


async def test_the_cost_drift_costs_one_page_more_per_endpoint_with_prices_every_six_hours(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    async def calls(more: str) -> list[Counts]:
        """After each page of six hours."""
        each, found = make(more=more), list[Counts]()
        for _ in range(13):
            await each.page()
            found.append({name: count for name, count in asked(each).items() if count})
            simulator.clock(advance=30 * MINUTE)
            now.advance(30 * MINUTE)
        simulator.clock(now=START)
        now.advance(-13 * 30 * MINUTE)
        return found

    pages_of_drift = len(set(PRICED) & set(GROUPS)) + 1
    for place, (plain, with_drift) in enumerate(zip(await calls(PLAIN), await calls(UNNAMED), strict=True)):
        times = 1 if place < 12 else 2
        assert plain | {"cost_drift": times * pages_of_drift} == with_drift, place


async def test_an_outage_is_not_made_worse_by_scrapers(make: Make, simulator: SimulatorControl, now: Now) -> None:
    each = make(more=PLAIN)
    await each.page()
    simulator.fault("outage", mode="503", scope="organization")
    before = asked(each)
    for _ in range(60):
        simulator.clock(advance=15)
        now.advance(15)
        await scraped_by_ten(each)
    found = since(each, before)
    # 15 minutes, 600 scrapes: after 1, 2, 4 and then every 5 minutes.
    assert all(count <= 6 for count in found.values())
