# SPDX-License-Identifier: Apache-2.0
"""Scrapes of a service while the simulator's clock goes on, beside what its books say."""

from openai_exporter.usage.rows import OPERATIONS
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.scraping import Now, Scrape, books, net, scrape

GROUPS = {
    "completions": ("project_id", "api_key_id", "model", "batch", "service_tier"),
    "decisions": ("project_id", "model", "api_source"),
    "embeddings": ("project_id", "api_key_id", "model"),
    "moderations": ("model",),
    "images": ("project_id", "size", "source"),
    "audio_speeches": ("user_id", "model"),
    "audio_transcriptions": ("project_id", "model"),
    "code_interpreter_sessions": ("project_id",),
    "file_search_calls": ("project_id", "api_key_id", "vector_store_id"),
    "web_search_calls": ("model", "context_level", "api_source"),
}
MINUTE, HOUR, DAY = 60, 3600, 86_400


def arrived(simulator: SimulatorControl) -> Scrape:
    rows = simulator.state()["books"]["arrived"]
    found: Scrape = {}
    for operation, group_by in GROUPS.items():
        found |= books(rows[operation], operation, group_by)
    return found


async def later(simulator: SimulatorControl, now: Now, each: UsageService, seconds: float) -> Scrape:
    simulator.clock(advance=seconds)
    now.advance(max(61, seconds))
    return scrape(await each.page())


def expect_net(simulator: SimulatorControl, found: Scrape) -> None:
    rows = simulator.state()["books"]["arrived"]
    for operation in GROUPS:
        columns = OPERATIONS[operation].sources
        expected = {each.name: sum(row[each.source] for row in rows[operation]) for each in columns}
        actual = net(found, operation)
        assert expected == {name: actual[name] for name in expected}
