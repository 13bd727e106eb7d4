# SPDX-License-Identifier: Apache-2.0
"""The service: scrapes share a refresh, wait no longer than they may, and survive a reload."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import cast

import pytest

from openai_exporter.client.organization import OrganizationClient, Params, Reply
from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import usage as metrics
from openai_exporter.model import Answer
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.scraping import ADMIN_KEY, Now, Scrape, asked, counters, document, of, scrape, service, up

MORE = """
  usage:
    completions: {group_by: [project_id, model]}
"""


@pytest.fixture
async def usage(simulator: SimulatorControl, now: Now) -> AsyncIterator[UsageService]:
    made = service(simulator.api_url, now, more=MORE)
    yield made
    await made.close()


AT_ONCE = 10.0
"""Seconds; far below the deadline of a call that hangs, and enough for a busy machine."""
DATASETS = ("completions", "costs", "names", "limits", "cost_drift")


def unread(found: Scrape) -> dict[str, float]:
    """Since when each dataset is waited for."""
    return {dict(labels)["dataset"]: since for labels, since in of(found, metrics.UNREAD_SINCE).items()}


def calls(usage: UsageService) -> int:
    return asked(usage)["completions"]


async def test_ten_scrapers_cause_one_refresh(usage: UsageService, now: Now) -> None:
    await usage.page()
    before = calls(usage)
    now.advance(60)
    pages = await asyncio.gather(*(usage.page() for _ in range(10)))
    assert 1 == len({id(page) for page in pages})
    assert before + 1 == calls(usage)


async def test_scrapes_between_two_refreshes_share_the_figures(usage: UsageService, now: Now) -> None:
    first = await usage.page()
    before = calls(usage)
    now.advance(50)
    assert first is await usage.page()
    assert before == calls(usage)


async def test_a_scrape_that_comes_a_little_early_refreshes_too(usage: UsageService, now: Now) -> None:
    await usage.page()
    before = calls(usage)
    now.advance(58.5)
    await usage.page()
    assert before + 1 == calls(usage)


async def test_a_slow_api_delays_a_scrape_no_longer_than_its_limit(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    free = threading.Event()

    class SlowClient(OrganizationClient):
        """A client whose calls wait until they are let go."""

        @contextmanager
        def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
            assert free.wait(120)
            with super().open(path, params, api=api) as reply:
                yield reply

    credential = usage.config.organization_credential("acme")
    usage.client = lambda: SlowClient(simulator.api_url, credential, 120)
    free.set()
    first = await usage.page()
    free.clear()
    now.advance(61)
    assert first is await usage.page(0.2)
    free.set()
    assert first is not await usage.page()


async def test_before_anything_is_read_the_page_has_no_figures(
    usage: UsageService, simulator: SimulatorControl
) -> None:
    simulator.fault("latency", path="/v1/organization/*", delay_seconds=10.0)
    assert {metrics.UNREAD_SINCE.name} == {name for name, _ in scrape(await usage.page(0.05))}
    assert usage.summary().month_to_date_usd is None


async def test_names_do_not_hold_up_the_first_figures(usage: UsageService, simulator: SimulatorControl) -> None:
    simulator.fault("hang", path="/v1/organization/users", hold_seconds=60.0)
    deadline = time.monotonic() + 25
    while not up(found := scrape(await usage.page(0.1))):
        assert time.monotonic() < deadline
    assert {"completions": 1.0, "costs": 1.0} == up(found)


async def test_a_first_refresh_that_does_not_end_shows_since_when_it_is_waited_for(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    simulator.fault("hang", path="/v1/organization/*")
    begun = now.seconds
    for _ in range(3):
        found = scrape(await usage.page(0.05))
        assert {name for name, _ in found} == {metrics.UNREAD_SINCE.name}
        assert unread(found) == dict.fromkeys(DATASETS, begun)
        now.advance(600)


async def test_what_fails_from_the_start_is_waited_for_until_it_was_read_once(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    fault = simulator.fault("status", path="/v1/organization/costs", status=500)
    begun = now.seconds
    found = scrape(await usage.page())
    assert unread(found) == {"costs": begun, "cost_drift": begun}
    assert up(found)["costs"] == 0
    now.advance(700)
    config = configured(simulator, more=f"  calls_per_hour: 5000{MORE}")
    after = usage.replaced_by(config, config.organizations[0])
    assert unread(scrape(await after.page())) == {"costs": begun, "cost_drift": begun}
    simulator.clear(fault)
    now.advance(700)
    found = scrape(await after.page())
    assert not unread(found)
    assert set(up(found).values()) == {1}
    await after.close()


async def test_closing_ends_a_refresh_that_hangs(simulator: SimulatorControl, now: Now) -> None:
    usage = service(simulator.api_url, now, more=MORE)
    simulator.fault("hang", path="/v1/organization/*")
    await usage.page(0.2)
    start = time.monotonic()
    await usage.close()
    assert time.monotonic() - start < AT_ONCE
    assert {metrics.UNREAD_SINCE.name} == {name for name, _ in scrape(await usage.page())}


async def test_the_call_counters_are_there_before_the_first_call(simulator: SimulatorControl, now: Now) -> None:
    instruments = Instruments(process=False)
    usage = service(simulator.api_url, now, more=MORE, instruments=instruments)
    text = instruments.render("text/plain")[0].decode()
    assert 'openai_exporter_upstream_calls_total{api="limits",organization="acme"} 0.0' in text
    line = 'openai_exporter_upstream_failures_total{api="costs",organization="acme",reason="timeout"} 0.0'
    assert line in text
    await usage.close()


async def test_the_price_table_in_use_is_named(simulator: SimulatorControl, now: Now) -> None:
    instruments = Instruments(process=False)
    usage = service(simulator.api_url, now, more=MORE, instruments=instruments)
    await usage.page()
    text = instruments.render("text/plain")[0].decode()
    assert 'openai_exporter_price_table_info{source="genai-prices",version="0.2' in text
    await usage.close()


def configured(simulator: SimulatorControl, more: str = MORE, tail: str = "", key: str = ADMIN_KEY) -> Config:
    return parse_config(document(simulator.api_url, more, tail), "test", {"KEY": key}, Path())


async def test_a_reload_without_a_change_keeps_the_service(usage: UsageService, simulator: SimulatorControl) -> None:
    config = configured(simulator)
    assert usage is usage.replaced_by(config, config.organizations[0])


async def test_a_reload_keeps_what_was_read_and_shows_it_at_once(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    first = await usage.page()
    before = calls(usage)
    config = configured(simulator, tail="budgets: [{name: b, limit_usd: 100}]")
    new = usage.replaced_by(config, config.organizations[0])
    assert usage is not new
    # Without waiting: the page of before, or the one with the budget if that is written already.
    assert counters(scrape(await new.page(0))) == counters(scrape(first))
    found = scrape(await new.page())
    assert counters(scrape(first)) == counters(found)
    assert before == calls(usage)
    assert {100.0} == set(of(found, metrics.BUDGET_LIMIT).values())
    now.advance(61)
    await new.page()
    assert before + 1 == calls(usage)
    await new.close()


async def test_a_reload_with_another_grouping_reads_anew(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    first = scrape(await usage.page())
    config = configured(simulator, MORE.replace("[project_id, model]", "[model]"))
    new = usage.replaced_by(config, config.organizations[0])
    found = scrape(await new.page())
    names = {name for labels in of(found, metrics.INPUT_TOKENS) for name, _ in labels}
    assert {"operation", "model"} == names
    assert sum(of(first, metrics.INPUT_TOKENS).values()) == sum(of(found, metrics.INPUT_TOKENS).values())
    await new.close()


async def test_a_reload_with_another_key_takes_nothing_over_in_silence(
    usage: UsageService, simulator: SimulatorControl
) -> None:
    await usage.page()
    config = configured(simulator, key="sk-admin-another")
    new = usage.replaced_by(config, config.organizations[0])
    assert usage is not new
    assert {1.0} == set(up(scrape(await new.page())).values())
    await new.close()


async def test_a_replacement_that_is_never_asked_closes_its_predecessor(simulator: SimulatorControl, now: Now) -> None:
    usage = service(simulator.api_url, now, more=MORE)
    await usage.page()
    config = configured(simulator, tail="budgets: [{name: b, limit_usd: 100}]")
    await usage.replaced_by(config, config.organizations[0]).close()


async def test_two_organizations_do_not_touch_each_other(simulator: SimulatorControl, now: Now) -> None:
    good = service(simulator.api_url, now, more=MORE)
    bad = service(simulator.api_url, now, more=MORE, key="sk-proj-0123456789")
    pages = await asyncio.gather(good.page(), bad.page())
    assert [{1.0}, {0.0}] == [set(up(scrape(page)).values()) for page in pages]
    await good.close()
    await bad.close()


async def test_counters_are_kept_in_the_storage_folder(simulator: SimulatorControl, now: Now, tmp_path: Path) -> None:
    usage = service(simulator.api_url, now, more=MORE, storage=tmp_path)
    page = scrape(await usage.page())
    await usage.close()
    assert {"acme.usage.jsonl", "acme.usage.lock"} == {each.name for each in tmp_path.iterdir()}
    simulator.fault("status", path="/v1/organization/*", status=500)
    again = service(simulator.api_url, now, more=MORE, storage=tmp_path)
    found = scrape(await again.page())
    assert counters(page) == counters(found)
    assert 0.0 == up(found)["completions"]
    await again.close()


async def test_damaged_storage_is_no_obstacle(
    simulator: SimulatorControl, now: Now, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acme.usage.jsonl").write_text('{"format":')
    told = Instruments(process=False)
    usage = service(simulator.api_url, now, more=MORE, storage=tmp_path, instruments=told)
    assert {1.0} == set(up(scrape(await usage.page())).values())
    assert "damaged" in caplog.text
    assert {"kept": 1, "read": 0, "damaged": 1, "locked": 0, "write": 0, "newer": 0} == storage_state(told)
    await usage.close()


async def test_a_storage_folder_that_cannot_be_written_is_no_obstacle(
    simulator: SimulatorControl, now: Now, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    told = Instruments(process=False)
    folder = tmp_path / "file" / "folder"
    usage = service(simulator.api_url, now, more=MORE, storage=folder, instruments=told)
    assert {1.0} == set(up(scrape(await usage.page())).values())
    assert "cannot be written: Not a directory" in caplog.text
    assert {"kept": 0, "read": 1, "damaged": 0, "locked": 0, "write": 1, "newer": 0} == storage_state(told)
    await usage.close()


async def reloaded(usage: UsageService, simulator: SimulatorControl, limit_usd: int) -> UsageService:
    config = configured(simulator, tail=f"budgets: [{{name: b, limit_usd: {limit_usd}}}]")
    return usage.replaced_by(config, config.organizations[0])


@pytest.mark.parametrize("scraped", [False, True], ids=["unread", "read between"])
async def test_two_reloads_in_a_row_keep_the_figures(
    usage: UsageService, simulator: SimulatorControl, now: Now, tmp_path: Path, scraped: bool
) -> None:
    first = await usage.page()
    before = calls(usage)
    second = await reloaded(usage, simulator, 100)
    if scraped:
        await second.page()
    third = await reloaded(second, simulator, 200)
    assert counters(scrape(first)) == counters(scrape(await third.page(0)))
    found = scrape(await third.page())
    assert counters(scrape(first)) == counters(found)
    assert {200.0} == set(of(found, metrics.BUDGET_LIMIT).values())
    assert before == calls(usage)
    await third.close()


async def test_two_reloads_during_a_refresh_that_hangs_end_at_once(simulator: SimulatorControl, now: Now) -> None:
    usage = service(simulator.api_url, now, more=MORE)
    simulator.fault("hang", path="/v1/organization/*")
    await usage.page(0.2)
    second = await reloaded(usage, simulator, 100)
    await second.page(0.1)
    third = await reloaded(second, simulator, 200)
    await third.page(0.1)
    start = time.monotonic()
    await third.close()
    assert time.monotonic() - start < AT_ONCE


async def test_a_reload_hands_the_storage_over(
    simulator: SimulatorControl, now: Now, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usage = service(simulator.api_url, now, more=MORE, storage=tmp_path)
    await usage.page()
    new = await reloaded(usage, simulator, 100)
    now.advance(61)
    kept = tmp_path / "acme.usage.jsonl"
    kept.unlink()
    await new.page()
    now.advance(61)
    await new.page()
    assert kept.exists()
    assert "" == caplog.text
    await new.close()


def storage_state(instruments: Instruments) -> dict[str, float]:
    """The storage metrics: reason, or `kept`, to value."""
    found = {}
    for line in instruments.render("text/plain")[0].decode().splitlines():
        if line.startswith("openai_exporter_storage_failures_total"):
            found[line.partition('reason="')[2].partition('"')[0]] = float(line.split()[-1])
        if line.startswith("openai_exporter_storage_last_write_successful"):
            found["kept"] = float(line.split()[-1])
    return found


async def test_of_two_exporters_with_one_folder_the_second_waits_for_the_first(
    simulator: SimulatorControl, now: Now, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = [Instruments(process=False) for _ in range(2)]
    first, second = (service(simulator.api_url, now, more=MORE, storage=tmp_path, instruments=each) for each in told)
    pages = [scrape(await first.page()), scrape(await second.page())]
    assert counters(pages[0]) == counters(pages[1])
    assert {"kept": 1, "read": 0, "damaged": 0, "locked": 0, "write": 0, "newer": 0} == storage_state(told[0])
    assert {"kept": 0, "read": 0, "damaged": 0, "locked": 1, "write": 0, "newer": 0} == storage_state(told[1])
    assert f"another exporter (process {os.getpid()} on " in caplog.text
    assert "give each exporter its own --storage.path" in caplog.text
    await first.close()
    now.advance(61)
    await second.page()
    assert storage_state(told[1])["kept"] == 1
    await second.close()


class BrokenClient:
    """A client with a mistake of ours in it."""

    rekeyed = False

    def get(self, *args: object, **named: object) -> Answer:
        raise RuntimeError("a mistake")

    def open(self, *args: object, **named: object) -> AbstractContextManager[Reply]:
        raise RuntimeError("a mistake")

    def close(self) -> None: ...


async def test_a_mistake_of_ours_is_logged_and_counted_and_breaks_no_scrape(
    now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    config = parse_config(document("http://127.0.0.1:1/v1", MORE), "test", {"KEY": ADMIN_KEY}, Path())
    usage = UsageService(
        config,
        config.organizations[0],
        instruments=Instruments(process=False),
        now=now,
        client=cast("Callable[[], OrganizationClient]", BrokenClient),
    )
    found = scrape(await usage.page())
    await usage.close()
    assert {0.0} == set(up(found).values())
    assert {"unexpected RuntimeError, see the log"} == {each.error for each in usage.summary().datasets}
    assert "Traceback" in caplog.text
