# SPDX-License-Identifier: Apache-2.0
"""Whatever the API does wrong: the last good figures stay, and the page says what failed."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.scraping import ADMIN_KEY, Now, Scrape, asked, configured, of, scrape, service, up

MORE = """
  cost_drift: null
  usage:
    completions: {group_by: [project_id, model]}
    vector_stores: {group_by: [project_id]}
"""
HASTY = f"  timeout: 700ms{MORE}"
"""Only for what is to time out: a busy machine may take as long for a good answer."""
DATASETS = {"completions", "vector_stores", "costs", "names", "limits"}
FRESHNESS = {
    metrics.UP.name,
    metrics.REFRESH_DURATION.name,
    metrics.REFRESH_CALLS.name,
    metrics.CLOCK_OFFSET.name,
    metrics.CALLS.name,
    metrics.CALLS_LIMIT.name,
}
ANYTHING = "/v1/organization/*"

FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    *((f"status-{code}", reason, {"kind": "status", "status": code}) for code, reason in (
        (400, "bad_request"), (401, "auth"), (403, "permission"), (404, "not_found"), (418, "bad_request"),
        (500, "server_error"), (502, "server_error"), (503, "server_error"), (599, "server_error"),
    )),
    ("drip", "timeout", {"kind": "drip", "interval_seconds": 0.1}),
    ("drip-headers", "timeout", {"kind": "drip", "interval_seconds": 0.1, "part": "headers"}),
    ("hang", "timeout", {"kind": "hang"}),
    ("hang-mid-body", "timeout", {"kind": "hang", "when": "mid_body", "after_bytes": 20}),
    ("reset", "connection_reset", {"kind": "reset"}),
    ("reset-mid-body", "connection_reset", {"kind": "reset", "when": "mid_body", "after_bytes": 20}),
    ("truncate", "truncated", {"kind": "truncate", "after_bytes": 20}),
    ("malformed-json", "malformed", {"kind": "malformed_json"}),
    ("html-502", "server_error", {"kind": "html"}),
    ("html-200", "malformed", {"kind": "html", "status": 200}),
    ("wrong-types", "malformed", {"kind": "wrong_types"}),
    ("empty", "malformed", {"kind": "empty"}),
    ("empty-object", "malformed", {"kind": "empty", "content": "object"}),
    ("empty-array", "malformed", {"kind": "empty", "content": "array"}),
    ("empty-null", "malformed", {"kind": "empty", "content": "null"}),
    ("huge", "response_too_large", {"kind": "huge"}),
    ("outage-503", "server_error", {"kind": "outage", "mode": "503", "scope": "organization"}),
    ("outage-reset", "connection_reset", {"kind": "outage", "mode": "reset", "scope": "organization"}),
]  # fmt: skip


@pytest.fixture
def instruments() -> Instruments:
    return Instruments(process=False)


@pytest.fixture
async def usage(simulator: SimulatorControl, now: Now, instruments: Instruments) -> AsyncIterator[UsageService]:
    made = service(simulator.api_url, now, more=MORE, instruments=instruments)
    yield made
    await made.close()


class Replaced:
    """A service that goes on from another one with its configuration."""

    def __init__(self, before: UsageService, config: Config) -> None:
        self.service = before.replaced_by(config, config.organizations[0])

    async def aclose(self) -> None:
        await self.service.close()


def figures(found: Scrape) -> Scrape:
    return {series: value for series, value in found.items() if series[0] not in FRESHNESS}


def failures(instruments: Instruments) -> dict[str, dict[str, int]]:
    """Counted failures by dataset and reason."""
    found: dict[str, dict[str, int]] = {}
    for line in instruments.render("text/plain")[0].decode().splitlines():
        if line.startswith("openai_exporter_upstream_failures_total{") and not line.endswith(" 0.0"):
            labels = dict(pair.split("=") for pair in line[line.index("{") + 1 : line.index("}")].split(","))
            api, reason = labels["api"].strip('"'), labels["reason"].strip('"')
            found.setdefault(api, {})[reason] = int(float(line.rsplit(" ", 1)[1]))
    return found


@pytest.mark.parametrize(("reason", "fault"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_a_fault_keeps_the_last_figures_and_is_named(
    usage: UsageService,
    simulator: SimulatorControl,
    now: Now,
    instruments: Instruments,
    reason: str,
    fault: dict[str, Any],
) -> None:
    before = scrape(await usage.page())
    assert dict.fromkeys(DATASETS, 1.0) == up(before)
    simulator.fault(path=ANYTHING, **fault)
    simulator.clock(advance=1000)
    now.advance(1000)
    config = configured(simulator.api_url, more=HASTY if reason == "timeout" else MORE)
    async with contextlib.aclosing(Replaced(usage, config)) as faced:
        after = scrape(await faced.service.page())
        assert dict.fromkeys(DATASETS, 0.0) == up(after)
        assert figures(before) == figures(after)
        reasons = {each.name: each.reason for each in faced.service.summary().datasets}
        assert dict.fromkeys(DATASETS, reason) == reasons
        assert {name: {reason: 1} for name in DATASETS} == failures(instruments)


@pytest.mark.parametrize("broken", sorted(DATASETS))
async def test_one_failing_dataset_does_not_touch_the_others(
    usage: UsageService, simulator: SimulatorControl, now: Now, broken: str
) -> None:
    paths = {
        "completions": "/v1/organization/usage/completions",
        "vector_stores": "/v1/organization/usage/vector_stores",
        "costs": "/v1/organization/costs",
        "names": "/v1/organization/users",
        "limits": "/v1/organization/spend_alerts",
    }
    await usage.page()
    simulator.fault("status", path=paths[broken], status=500)
    now.advance(1000)
    after = scrape(await usage.page())
    assert {name: float(name != broken) for name in DATASETS} == up(after)


async def test_a_dataset_that_was_never_read_yields_no_series(usage: UsageService, simulator: SimulatorControl) -> None:
    simulator.fault("status", path=ANYTHING, status=500)
    found = scrape(await usage.page())
    names = {name for name, _ in found}
    assert FRESHNESS - {metrics.CLOCK_OFFSET.name} | {metrics.UNREAD_SINCE.name} == names
    assert usage.summary().month_to_date_usd is None
    assert usage.summary().input_tokens is None


async def test_a_rate_limit_holds_back_everything_for_as_long_as_the_api_says(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    await usage.page()
    simulator.fault("rate_limit", path="/v1/organization/usage/completions", retry_after=120)
    now.advance(1000)
    found = scrape(await usage.page())
    assert [name for name, value in up(found).items() if not value] == ["completions"]
    assert 120 == usage.summary().waiting
    simulator.clear()
    before = asked(usage)
    now.advance(119)
    await usage.page()
    assert before == asked(usage)
    now.advance(2)
    assert dict.fromkeys(DATASETS, 1.0) == up(scrape(await usage.page()))


async def test_a_quota_answer_without_retry_after_backs_off_longer_each_time(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    simulator.fault("rate_limit", path=ANYTHING, retry_after=None)
    waits = []
    for _ in range(8):
        await usage.page()
        waits.append(usage.summary().waiting)
        now.advance(waits[-1] + 300)
    assert [15, 30, 60, 120, 240, 480, 600, 600] == waits


async def test_an_endless_page_cursor_is_noticed(usage: UsageService, simulator: SimulatorControl, now: Now) -> None:
    before = scrape(await usage.page())
    simulator.fault("page_loop", path=ANYTHING)
    now.advance(1000)
    after = scrape(await usage.page())
    states = {each.name: each for each in usage.summary().datasets}
    for name in ("completions", "vector_stores", "costs"):
        assert states[name].reason == "page_loop"
        assert states[name].calls <= 3
    kept = {k: v for k, v in figures(before).items() if k[0] != metrics.LAST_SUCCESS.name}
    assert kept == {series: after[series] for series in kept}


async def test_late_buckets_and_missing_headers_are_no_failures(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    await usage.page()
    simulator.fault("late_buckets", path=ANYTHING, by_seconds=3600)
    simulator.fault("missing_headers", path=ANYTHING)
    simulator.clock(advance=1000)
    now.advance(1000)
    assert dict.fromkeys(DATASETS, 1.0) == up(scrape(await usage.page()))


async def test_a_project_key_is_told_which_scope_is_missing_and_how_to_make_an_admin_key(
    simulator: SimulatorControl, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-proj-0123456789abcdef"
    usage = service(simulator.api_url, now, more=MORE, key=key)
    with caplog.at_level(logging.INFO):
        assert dict.fromkeys(DATASETS, 0.0) == up(scrape(await usage.page()))
    errors = {each.name: each.error for each in usage.summary().datasets}
    scopes = {"completions": "api.usage.read", "costs": "api.usage.read", "names": "api.management.read"}
    for name, scope in scopes.items():
        assert scope in errors[name]
        assert "which only admin keys have" in errors[name]
        assert "https://platform.openai.com/settings/organization/admin-keys" in errors[name]
        assert "environment variable KEY" in errors[name]
    assert key not in caplog.text + "".join(errors.values())
    await usage.close()


async def test_the_key_reaches_no_page_log_or_error(
    usage: UsageService, simulator: SimulatorControl, caplog: pytest.LogCaptureFixture
) -> None:
    message = f"Incorrect API key provided: {ADMIN_KEY}."
    simulator.fault("status", path=ANYTHING, status=401, message=message)
    with caplog.at_level(logging.DEBUG):
        page = await usage.page()
    assert ADMIN_KEY not in caplog.text + page.body().decode() + repr(usage.summary())


async def test_a_failure_is_logged_once_and_so_is_its_end(
    usage: UsageService, simulator: SimulatorControl, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    await usage.page()
    simulator.fault("status", path="/v1/organization/costs", status=500)
    with caplog.at_level(logging.INFO, "openai_exporter"):
        for _ in range(3):
            now.advance(1000)
            await usage.page()
        simulator.clear()
        now.advance(1000)
        await usage.page()
    assert [
        "organization acme: dataset costs could not be read (server_error): "
        "HTTP 500: The server had an error while processing the request.",
        "organization acme: dataset costs is read again",
    ] == [record.getMessage() for record in caplog.records]


async def test_a_failed_half_of_a_reading_is_not_taken_over(
    usage: UsageService, simulator: SimulatorControl, now: Now
) -> None:
    before = scrape(await usage.page())
    simulator.fault("truncate", path="/v1/organization/usage/completions", after_bytes=4000, probability=1)
    simulator.clock(advance=7200)
    now.advance(7200)
    after = scrape(await usage.page())
    assert of(before, metrics.INPUT_TOKENS) == of(after, metrics.INPUT_TOKENS)
