# SPDX-License-Identifier: Apache-2.0
"""Caching, sharing, waiting, spending, reloading: against a running simulator, with a clock in hand."""

import asyncio
import gc
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.client.connection import Reply
from openai_exporter.client.exchange import ApiCall, Exchange, Failure, FailureKind, Step, WireError
from openai_exporter.client.pool import Terms
from openai_exporter.config import Secret
from openai_exporter.config.secret import Masker
from openai_exporter.exposition import Instruments
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult
from openai_exporter.probe.result import Frame
from openai_exporter.probe.service import Clients, located, proxy_secrets, run_probe
from openai_exporter.probe.state import History, StateStore
from openai_simulator.testing import SimulatorControl
from tests.exporter.attempts import at_best
from tests.exporter.client.exchanges import until
from tests.exporter.client.rawserver import Turn, answer, raw_server
from tests.exporter.probe.exchanges import exchange, setting, timeout
from tests.exporter.probe.probers import KEY, MODULES, QUIET, configuration, key_of, prober_for, within

# One probe and the turns that it takes, so that many that end at once hold up nothing else.

RESET = Failure(FailureKind.CONNECTION_RESET, Step.TRANSFER, "reset")


@dataclass(frozen=True)
class Caller:
    """Ends every call with one exchange."""

    found: Exchange

    async def call(self, call: ApiCall, terms: Terms, key: Secret | None) -> Exchange:
        if self.found.failure is not None:
            raise WireError(self.found)
        return self.found


@pytest.mark.parametrize(
    ("failure", "outcome", "turns"),
    [
        pytest.param(None, "success", 2, id="an answer is judged in a turn of its own"),
        pytest.param(RESET, "connection_reset", 2, id="so is a broken one"),
        pytest.param(timeout(), "timeout_total", 1, id="one that was cut had its turn for that"),
    ],
)
async def test_each_piece_of_computing_has_one_turn(failure: Failure | None, outcome: str, turns: int) -> None:
    taken = 0

    async def turn() -> None:
        nonlocal taken
        taken += 1

    frame = Frame(ProbeKey("api", "models", ""), setting(Endpoint.MODELS), 0.0, 5.0, Masker())
    caller = Caller(exchange({"object": "list", "data": [{"id": "m", "object": "model"}]}, failure=failure))
    result = await run_probe(frame, caller.call, Terms(5.0), None, turn)
    assert (outcome, turns) == (result.outcome, taken)


def test_an_exception_is_told_in_one_line() -> None:
    with pytest.raises(KeyError) as raised:
        vars()["x"]
    assert located(raised.value).startswith("KeyError: 'x' at test_service.py:")
    assert located(ValueError("y")) == "ValueError: y"


# Clients are made once per target and move with a reload.

URL = "http://127.0.0.1:1/v1"


async def test_a_target_has_one_client_that_moves_to_the_next_configuration() -> None:
    config = configuration(URL)
    clients = Clients({})
    first = await clients.get(config.targets[0])
    assert first is await clients.get(config.targets[0])
    moved = clients.hand_over(configuration(URL))
    assert first is await moved.get(config.targets[0])
    changed = moved.hand_over(configuration(URL, organization="org-1"))
    assert first is not await changed.get(configuration(URL, organization="org-1").targets[0])
    await moved.aclose()
    assert first is not await moved.get(config.targets[0]), "what was closed is not used again"


async def test_a_proxy_that_cannot_be_used_does_not_stop_a_client_from_being_made() -> None:
    clients = Clients({"all": "socks5://127.0.0.1:1"})
    assert (await clients.get(configuration(URL).targets[0])).pool.host == "127.0.0.1"


# What a probe leaves behind: its answer goes with it, without help of the garbage collector, which rarely runs.


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _alive() -> list[str]:
    return [type(each).__name__ for each in gc.get_objects() if isinstance(each, Exchange | Reply)]


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses_stream", "speech", "models"])
async def test_the_answer_is_freed_at_once(simulator: SimulatorControl, no_collector: None, module: str) -> None:
    async with prober_for(configuration(simulator.api_url)) as prober:
        answer = await prober.probe(key_of(module))
        assert answer.result.success
        assert _alive() == []


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("status", {"status": 500}), ("hang", {}), ("reset", {}), ("truncate", {}), ("malformed_json", {})],
)
async def test_so_is_that_of_a_failure(
    simulator: SimulatorControl, no_collector: None, kind: str, parameters: dict[str, int]
) -> None:
    simulator.fault(kind, "/v1/chat/completions", **parameters)
    modules = {"chat": {**MODULES["chat"], "timeout": "1s"}}
    async with prober_for(configuration(simulator.api_url, modules)) as prober:
        answer = await prober.probe(key_of("chat"))
        assert not answer.result.success
        assert _alive() == []


# Caching, sharing, waiting, spending, reloading: against a running simulator, with a clock in hand.

CHAT = key_of("chat")


class Clock:
    """Seconds that a test moves."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def modules(**more: Any) -> dict[str, dict[str, Any]]:
    """The chat module with more settings."""
    return {"chat": {**MODULES["chat"], **more}}


async def test_a_fresh_answer_has_no_age_and_is_kept_in_the_history(simulator: SimulatorControl) -> None:
    history = History(5)
    async with prober_for(configuration(simulator.api_url), history=history) as prober:
        found = await prober.probe(CHAT)
    assert ProbeAnswer(found.result) == found
    assert [found] == [entry.answer for entry in history.recent()]
    assert found.result.simulated


async def test_an_unknown_probe_is_refused() -> None:
    async with prober_for(configuration("http://127.0.0.1:1")) as prober:
        assert not prober.knows(ProbeKey("api", "chat", "x"))
        assert prober.knows(CHAT)
        with pytest.raises(ValueError, match="target='x'"):
            await prober.probe(ProbeKey("x", "chat", "x"))


async def test_scrapes_within_the_minimal_interval_share_a_probe(simulator: SimulatorControl) -> None:
    clock = Clock()
    config = configuration(simulator.api_url, modules(min_interval="30s"))
    async with prober_for(config, monotonic=clock) as prober:
        first = await prober.probe(CHAT)
        clock.now += 29
        second = await prober.probe(CHAT)
        clock.now += 1
        third = await prober.probe(CHAT)
    assert (first.cached, third.cached) == (False, False)
    assert ProbeAnswer(first.result, age=29.0, cached=True, reason="min_interval") == second
    assert third.result.request_id != first.result.request_id


async def test_scrapes_at_the_same_time_share_the_probe_in_flight(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.1)
    async with prober_for(configuration(simulator.api_url)) as prober:
        found = await asyncio.gather(*(prober.probe(CHAT) for _ in range(5)))
    assert 1 == len({each.result.request_id for each in found})
    assert {False} == {each.cached for each in found}, "each scrape has watched the API"
    assert ["", *["shared"] * 4] == [each.reason for each in found]


async def test_a_scrape_with_less_time_is_told_so_alone(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.6)
    history = History(5)
    instruments = Instruments(process=False)
    async with prober_for(configuration(simulator.api_url), history=history, instruments=instruments) as prober:
        await prober.warm()
        long = asyncio.create_task(prober.probe(CHAT, 60.0))
        await asyncio.sleep(0)
        short = await prober.probe(CHAT, 0.1)
        assert not long.done()
        assert (await long).result.success
    assert ("deadline_too_short", False, True) == (short.result.outcome, short.result.valid, short.cached)
    assert "the scrape left 0.1 s, and the probe continues for up to 9.5 s. Raise" in short.result.message
    assert ["success"] == [entry.answer.result.outcome for entry in history.recent()]
    lines = instruments.render("")[0].decode().splitlines()
    assert not [line for line in lines if "api_errors_total{" in line and not line.endswith(" 0.0")]


async def test_a_short_scrape_may_begin_a_probe_that_answers_the_next_one(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.3)
    config = configuration(simulator.api_url, modules(min_interval="30s"))
    async with prober_for(config, monotonic=Clock()) as prober:
        await prober.warm()
        short = await prober.probe(CHAT, 0.01)
        joined = await prober.probe(CHAT, 9.5)
        repeated = await prober.probe(CHAT, 9.5)
    assert ["deadline_too_short", "success", "success"] == [each.result.outcome for each in (short, joined, repeated)]
    assert ["deadline", "shared", "min_interval"] == [each.reason for each in (short, joined, repeated)]
    assert [True, False, True] == [each.cached for each in (short, joined, repeated)]


async def test_a_deadline_that_no_probe_has_kept_is_refused_without_a_call(simulator: SimulatorControl) -> None:
    clock = Clock()
    simulator.fault("latency", delay_seconds=0.3)
    history = History(9)
    async with prober_for(configuration(simulator.api_url), monotonic=clock, history=history) as prober:
        await prober.probe(CHAT)
        short = await prober.probe(CHAT, 0.1)
        enough = await prober.probe(CHAT, 5)
        clock.now += 301
        forgotten = await prober.probe(CHAT, 0.1)
        await until(lambda: len(history.recent()) >= 3)
    assert ("deadline_too_short", "deadline") == (short.result.outcome, short.reason)
    assert "the scrape left 0.1 s; the last successful probes took 0.3" in short.result.message
    assert enough.result.success
    assert "the probe continues" in forgotten.result.message, "an API that has become faster is seen again"


async def test_a_module_may_call_whatever_the_deadline(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.3)
    async with prober_for(configuration(simulator.api_url, modules(short_deadline="probe"))) as prober:
        await prober.probe(CHAT)
        short = await prober.probe(CHAT, 0.1)
    assert "the probe continues" in short.result.message


async def test_a_failure_that_no_scrape_waited_for_is_news_to_the_next_one_and_then_repeated(
    simulator: SimulatorControl,
) -> None:
    simulator.fault("hang")
    history = History(9)
    async with prober_for(configuration(simulator.api_url, within(0.5)), history=history) as prober:
        await prober.warm()
        first = await prober.probe(CHAT, 0.05)
        await until(lambda: bool(history.recent()))
        second = await prober.probe(CHAT, 0.05)
        third = await prober.probe(CHAT, 0.05)
    assert ["deadline_too_short", "timeout_headers", "timeout_headers"] == [
        each.result.outcome for each in (first, second, third)
    ]
    assert [(True, "deadline"), (False, "deadline"), (True, "deadline")] == [
        (each.cached, each.reason) for each in (first, second, third)
    ]


async def test_what_a_scrape_lost_on_its_way_does_not_make_it_a_short_one(simulator: SimulatorControl) -> None:
    simulator.fault("hang")
    async with prober_for(configuration(simulator.api_url, within(1))) as prober:
        await prober.warm()
        found = (await prober.probe(CHAT, 0.99)).result
    assert "timeout_headers" == found.outcome
    assert found.duration <= 0.99


async def test_a_scrape_that_leaves_does_not_end_the_probe(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.5)
    history = History(5)
    async with prober_for(configuration(simulator.api_url), history=history) as prober:
        leaver = asyncio.create_task(prober.probe(CHAT))
        await asyncio.sleep(0)
        leaver.cancel()
        stayer = await prober.probe(CHAT)
    assert stayer.reason == "shared"
    assert 1 == len(history.recent())


async def test_a_rate_limit_makes_the_probe_wait_as_long_as_it_says(simulator: SimulatorControl) -> None:
    clock = Clock()
    simulator.fault("rate_limit", retry_after=20)
    async with prober_for(configuration(simulator.api_url), monotonic=clock) as prober:
        first = await prober.probe(CHAT)
        simulator.clear()
        clock.now += 15
        second = await prober.probe(CHAT)
        clock.now += 5
        third = await prober.probe(CHAT)
    assert ("rate_limited_requests", False, 20.0) == (first.result.outcome, first.cached, first.backoff)
    assert ProbeAnswer(first.result, 15.0, True, 5.0, reason="backoff") == second
    assert ("success", False, 0.0) == (third.result.outcome, third.cached, third.backoff)


async def test_waits_grow_until_an_answer_comes(simulator: SimulatorControl) -> None:
    clock = Clock()
    waits = []
    simulator.fault("insufficient_quota")
    config = configuration(simulator.api_url)
    async with prober_for(config, monotonic=clock, draw=lambda low, high: high) as prober:
        for _ in range(3):
            found = await prober.probe(CHAT)
            waits.append(found.backoff)
            clock.now += found.backoff
        simulator.clear()
        assert (await prober.probe(CHAT)).result.success
        simulator.fault("insufficient_quota")
        waits.append((await prober.probe(CHAT)).backoff)
    assert waits == [60.0, 120.0, 240.0, 60.0]


async def test_a_limit_that_is_nearly_reached_makes_the_probe_wait() -> None:
    headers = "".join(
        f"x-ratelimit-{name}-requests: {value}\r\n"
        for name, value in (("limit", "1000"), ("remaining", "3"), ("reset", "41s"))
    )
    body = '{"choices": [{"message": {"content": "pong"}, "finish_reason": "stop"}]}'

    async def reply(turn: Turn) -> None:
        await turn.send(answer(body, more=headers))

    clock = Clock()
    async with raw_server(reply) as server, prober_for(configuration(server.url), monotonic=clock) as prober:
        first = await prober.probe(CHAT)
        clock.now += 40
        second = await prober.probe(CHAT)
    assert first.result.success
    assert first.backoff == 41.0
    assert (second.reason, second.backoff) == ("backoff", 1.0)
    assert 1 == len(server.requests)


async def test_failures_of_the_provider_cause_no_wait(simulator: SimulatorControl) -> None:
    simulator.fault("status", status=503, retry_after=60)
    async with prober_for(configuration(simulator.api_url)) as prober:
        found = [await prober.probe(CHAT) for _ in range(2)]
    assert [(False, 0.0)] * 2 == [(each.cached, each.backoff) for each in found]


async def test_the_daily_cost_limit_stops_a_module_until_midnight_utc(simulator: SimulatorControl) -> None:
    now = Clock(20_000 * 86_400 + 43_200)
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, now=now) as prober:
        first = await prober.probe(CHAT)
        second = await prober.probe(CHAT)
        now.now += 43_200
        third = await prober.probe(CHAT)
    assert first.result.cost_usd is not None
    assert (False, False) == (first.cached, first.cost_limited)
    assert (True, True, "cost_limit") == (second.cached, second.cost_limited, second.reason)
    assert second.result is first.result
    assert (False, False) == (third.cached, third.cost_limited)


async def test_a_probe_that_never_ran_says_that_the_cost_limit_stops_it(simulator: SimulatorControl) -> None:
    config = configuration(
        simulator.api_url,
        modules(daily_cost_limit_usd=0.000001),
        more={"probes": [{"target": "api", "module": "chat", "models": ["gpt-6-luna", "gpt-5.4-mini"]}]},
    )
    async with prober_for(config) as prober:
        await prober.probe(CHAT)
        other = await prober.probe(ProbeKey("api", "chat", "gpt-5.4-mini"))
    assert ("cost_limited", False, False) == (other.result.outcome, other.result.success, other.result.valid)
    assert (True, True) == (other.cached, other.cost_limited)


async def test_behind_the_cost_limit_an_old_result_does_not_pass_for_the_present(simulator: SimulatorControl) -> None:
    clock = Clock()
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, monotonic=clock, now=Clock(20_000 * 86_400.0)) as prober:
        await prober.probe(CHAT)
        clock.now += 299
        repeated = await prober.probe(CHAT)
        clock.now += 3600
        later = await prober.probe(CHAT)
    assert ("success", 299.0, True) == (repeated.result.outcome, repeated.age, repeated.cost_limited)
    assert ("cost_limited", False, False) == (later.result.outcome, later.result.success, later.result.valid)
    assert (True, True, 3899.0) == (later.cached, later.cost_limited, later.age)


async def test_a_restart_goes_on_with_the_days_spend(simulator: SimulatorControl, tmp_path: Path) -> None:
    now = Clock(20_000 * 86_400.0)
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, now=now, storage=tmp_path) as prober:
        assert not (await prober.probe(CHAT)).cost_limited
    async with prober_for(config, now=now, storage=tmp_path) as prober:
        limited = await prober.probe(CHAT)
    now.now += 86_400
    async with prober_for(config, now=now, storage=tmp_path) as prober:
        next_day = await prober.probe(CHAT)
    assert (True, "cost_limited") == (limited.cost_limited, limited.result.outcome)
    assert (False, "success") == (next_day.cost_limited, next_day.result.outcome)


async def test_a_restart_goes_on_waiting_as_the_api_asked(simulator: SimulatorControl, tmp_path: Path) -> None:
    now = Clock(20_000 * 86_400.0)
    config = configuration(simulator.api_url, modules())
    simulator.fault("rate_limit", retry_after=60)
    async with prober_for(config, now=now, monotonic=Clock(), storage=tmp_path) as prober:
        refused = (await prober.probe(CHAT)).result
    simulator.clear()
    now.now += 20
    async with prober_for(config, now=now, monotonic=Clock(7.0), storage=tmp_path) as prober:
        waiting = await prober.probe(CHAT)
    now.now += 60
    async with prober_for(config, now=now, monotonic=Clock(7.0), storage=tmp_path) as prober:
        after = await prober.probe(CHAT)
    assert (True, "backoff", 40.0, 20.0) == (waiting.cached, waiting.reason, waiting.backoff, waiting.age)
    assert (refused.outcome, refused.message, 429) == (
        waiting.result.outcome, waiting.result.message, waiting.result.status_code
    )  # fmt: skip
    assert ("success", False) == (after.result.outcome, after.cached)


async def test_a_wait_is_kept_whose_outcome_was_renamed_since(simulator: SimulatorControl, tmp_path: Path) -> None:
    now, config = Clock(20_000 * 86_400.0), configuration(simulator.api_url, modules())
    simulator.fault("rate_limit", retry_after=60)
    async with prober_for(config, now=now, monotonic=Clock(), storage=tmp_path) as prober:
        assert (await prober.probe(CHAT)).result.outcome == "rate_limited_requests"
    state = tmp_path / "probe-state.json"
    state.write_text(state.read_text().replace('"rate_limited_requests"', '"wrong_shape"'))
    async with prober_for(config, now=now, monotonic=Clock(7.0), storage=tmp_path) as prober:
        waiting = await prober.probe(CHAT)
    assert ("schema_mismatch", "backoff") == (waiting.result.outcome, waiting.reason)


async def test_what_a_restart_cannot_read_is_set_aside_and_told(simulator: SimulatorControl, tmp_path: Path) -> None:
    (tmp_path / "probe-state.json").write_text('{"format": "openai-exporter probes", "version": 1, "day": "x"')
    instruments = Instruments(process=False)
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, storage=tmp_path, instruments=instruments) as prober:
        assert (await prober.probe(CHAT)).result.success
    lines = instruments.render("")[0].decode().splitlines()
    assert 'openai_exporter_storage_failures_total{reason="damaged"} 1.0' in [
        line.replace('organization="",', "") for line in lines
    ]
    names = sorted(path.name.rstrip("0123456789") for path in tmp_path.iterdir())
    assert names == ["probe-state.json", "probe-state.json.damaged-", "probe-state.lock"]


async def test_state_of_a_newer_version_is_left_untouched_and_told_once(
    simulator: SimulatorControl, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = '{\n "format": "openai-exporter probes",\n "version": 99,\n "days": []\n}'
    (tmp_path / "probe-state.json").write_text(newer)
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, storage=tmp_path) as prober:
        assert (await prober.probe(CHAT)).result.success
    assert newer == (tmp_path / "probe-state.json").read_text()
    assert not list(tmp_path.glob("*.damaged-*"))
    (told,) = [each.getMessage() for each in caplog.records if "probe-state" in each.getMessage()]
    assert "a newer openai-exporter wrote it (format 99; this one knows 1); it is left untouched" in told


async def test_of_two_exporters_with_one_folder_the_second_keeps_no_spend_until_the_first_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai_exporter.probe.state.DELAY", 0)

    def spent() -> dict[str, str]:
        document = json.loads((tmp_path / "probe-state.json").read_text())
        return dict(document["spend"])

    first, second = (StateStore(tmp_path, lambda: 1e9) for _ in range(2))
    first.remember(CHAT, Decimal(1), None)
    await until((tmp_path / "probe-state.json").exists)
    second.remember(CHAT, Decimal(5), None)
    await second.close()
    assert {"chat": "1"} == spent()
    assert "probe-state.json: another exporter (process " in caplog.text
    assert "give each exporter its own --storage.path" in caplog.text

    await first.close()
    third = StateStore(tmp_path, lambda: 1e9)
    third.remember(CHAT, Decimal(2), None)
    await third.close()
    assert {"chat": "3"} == spent()


async def test_the_state_of_probes_is_for_its_owner_only(simulator: SimulatorControl, tmp_path: Path) -> None:
    config = configuration(simulator.api_url, modules(daily_cost_limit_usd=0.000001))
    async with prober_for(config, storage=tmp_path / "state") as prober:
        await prober.probe(CHAT)
    assert 0o600 == (tmp_path / "state" / "probe-state.json").stat().st_mode & 0o777


async def test_a_storage_that_cannot_be_written_in_is_told_at_the_start_and_stops_nothing(
    simulator: SimulatorControl, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file, and no folder")
    folder = tmp_path / "taken" / "state"
    instruments = Instruments(process=False)
    async with prober_for(configuration(simulator.api_url), storage=folder, instruments=instruments) as prober:
        (told,) = [each.getMessage() for each in caplog.records if "cannot be written" in each.getMessage()]
        assert (await prober.probe(CHAT)).result.success
    assert told == (
        f"{folder / 'probe-state.json'}: cannot be written: Not a directory; "
        "a restart would reset daily cost limits and backoff; "
        "set a directory with --storage.path, or none with --storage.path="
    )
    assert len([each for each in caplog.records if "cannot be" in each.getMessage()]) == 1, "and not repeated"
    lines = instruments.render("")[0].decode().splitlines()
    assert [
        line for line in lines if line.startswith("openai_exporter_storage_failures_total") and 'reason="write"' in line
    ]


async def test_a_key_file_is_read_again_at_each_probe(simulator: SimulatorControl, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-invalid-0123456789")
    config = configuration(simulator.api_url, api_key_file=str(path))
    async with prober_for(config) as prober:
        outcomes = [(await prober.probe(CHAT)).result.outcome]
        path.write_text("sk-valid-0123456789\n")
        outcomes.append((await prober.probe(CHAT)).result.outcome)
        path.unlink()
        found = await prober.probe(CHAT)
        outcomes.append(found.result.outcome)
    assert outcomes == ["auth", "success", "no_credentials"]
    assert "cannot be read: No such file or directory" in found.result.message
    assert not found.result.valid


async def test_connections_are_used_again_unless_fresh_ones_are_wanted(simulator: SimulatorControl) -> None:
    fresh = {**MODULES["models"], "connection": "fresh"}
    config = configuration(simulator.api_url, {"chat": MODULES["chat"], "models": fresh})
    async with prober_for(config) as prober:
        reused = [(await prober.probe(CHAT)).result.reused for _ in range(2)]
        fresh_results = [(await prober.probe(key_of("models"))).result for _ in range(2)]
    assert reused == [False, True]
    assert not any(each.reused for each in fresh_results)
    assert all(each.phases.connect > 0 for each in fresh_results)


async def test_a_bound_on_probes_in_flight_makes_others_wait_unmeasured(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.2)

    async def attempt() -> tuple[float, float]:
        async with prober_for(configuration(simulator.api_url), max_in_flight=1) as prober:
            await prober.warm()
            began = time.monotonic()
            found = await asyncio.gather(*(prober.probe(key_of(name)) for name in ("chat", "responses", "models")))
            elapsed = time.monotonic() - began
        assert all(each.result.success for each in found)
        return elapsed, max(each.result.duration for each in found)

    elapsed, longest = await at_best(attempt, lambda tried: tried[1] < 0.4)
    assert elapsed > 0.6
    assert longest < 0.4


async def test_a_probe_that_finds_no_place_in_time_is_not_the_apis_failure(simulator: SimulatorControl) -> None:
    simulator.fault("hang", path="/v1/models")
    async with prober_for(configuration(simulator.api_url), max_in_flight=1) as prober:
        hanging = asyncio.create_task(prober.probe(key_of("models")))
        await asyncio.sleep(0)
        found = await prober.probe(CHAT, 0.1)
        hanging.cancel()
    assert ("exporter_busy", False, False) == (found.result.outcome, found.result.success, found.result.valid)


async def test_the_scrapes_limit_and_the_modules_timeout_both_bind(simulator: SimulatorControl) -> None:
    async with prober_for(configuration(simulator.api_url, within(2))) as prober:
        found = [(await prober.probe(CHAT, limit)).result.timeout for limit in (None, 1.0, 9.0)]
    for allowed, bound in zip(found, (2.0, 1.0, 2.0), strict=True):
        assert bound - 0.9 < allowed <= bound


async def test_the_first_probe_warms_up_by_itself_and_is_not_slower_for_it(simulator: SimulatorControl) -> None:
    async def attempt() -> ProbeResult:
        async with prober_for(configuration(simulator.api_url)) as prober:
            return (await prober.probe(CHAT)).result

    first = await at_best(attempt, lambda tried: tried.duration < 0.2)
    assert first.success
    assert first.duration < 0.2


async def test_a_reload_keeps_what_did_not_change(simulator: SimulatorControl) -> None:
    clock = Clock()
    history = History(10)
    simulator.fault("rate_limit", path="/v1/responses", retry_after=100)
    config = configuration(simulator.api_url)
    changed = configuration(simulator.api_url, {**MODULES, "chat": {**MODULES["chat"], "timeout": "3s"}})
    async with prober_for(config, monotonic=clock, history=history) as old:
        await old.probe(CHAT)
        await old.probe(key_of("responses"))
        new = old.replaced_by(changed)
        await old.close()
        waiting = await new.probe(key_of("responses"))
        fresh = await new.probe(CHAT)
        await new.close()
    assert waiting.reason == "backoff"
    assert not fresh.cached
    assert fresh.result.reused, "the target did not change, so its connection was kept"
    assert 2 < fresh.result.timeout <= 3.0
    assert 3 == len(history.recent())


async def test_a_probe_in_flight_survives_a_reload(simulator: SimulatorControl) -> None:
    simulator.fault("latency", delay_seconds=0.2)
    async with prober_for(configuration(simulator.api_url)) as old:
        running = asyncio.create_task(old.probe(CHAT))
        await asyncio.sleep(0.05)
        new = old.replaced_by(configuration("http://127.0.0.1:1"))
        await old.close()
        assert (await running).result.success
        assert (await new.probe(CHAT)).result.outcome == "connect"
        await new.close()


async def test_closing_ends_what_is_in_flight(simulator: SimulatorControl) -> None:
    simulator.fault("hang")
    async with prober_for(configuration(simulator.api_url)) as prober:
        await prober.warm()
        running = asyncio.create_task(prober.probe(CHAT))
        await asyncio.sleep(0.05)
        await prober.close()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_an_internal_failure_is_an_outcome_with_a_log_and_no_traceback(
    simulator: SimulatorControl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")

    def fail(*_: object) -> None:
        raise RuntimeError(f"boom {KEY}")

    monkeypatch.setattr("openai_exporter.probe.service.judge", fail)
    async with prober_for(configuration(simulator.api_url)) as prober:
        found = await prober.probe(CHAT)
    assert ("exporter_error", False, False) == (found.result.outcome, found.result.success, found.result.valid)
    assert "RuntimeError: boom <secret> at test_service.py:" in found.result.message
    (logged,) = caplog.records
    assert logged.levelno == logging.ERROR
    assert logged.exc_info is None
    assert KEY not in caplog.text


async def test_a_certificate_bundle_that_cannot_be_loaded_is_an_outcome(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("nonsense")
    monkeypatch.setattr("openai_exporter.client.network.BUNDLES", (str(bundle),))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    async with prober_for(configuration("https://127.0.0.1:1/v1")) as prober:
        found = await prober.probe(CHAT)
    assert "exporter_error" == found.result.outcome


async def test_a_missing_audio_file_is_our_fault(simulator: SimulatorControl) -> None:
    module = {"endpoint": "transcriptions", "request": {"audio_file": "/no/such/file.wav"}}
    async with prober_for(configuration(simulator.api_url, {"transcriptions": module})) as prober:
        found = await prober.probe(ProbeKey("api", "transcriptions", "gpt-transcribe"))
    assert ("bad_request", False) == (found.result.outcome, found.result.valid)
    assert "audio_file cannot be read" in found.result.message


async def test_what_is_counted_over_probes(simulator: SimulatorControl) -> None:
    instruments = Instruments(process=False)
    config = configuration(simulator.api_url, {"chat_stream": {**MODULES["chat_stream"], "min_interval": "1h"}})
    key = key_of("chat_stream")
    async with prober_for(config, instruments=instruments) as prober:
        found = await prober.probe(key)
        await prober.probe(key)
        page, _ = instruments.render("application/openmetrics-text; version=1.0.0")
    lines = page.decode().splitlines()
    labels = 'endpoint="chat",model="gpt-6-luna",module="chat_stream",target="api"'
    assert f"openai_api_requests_total{{{labels}}} 1.0" in lines
    assert f'openai_api_tokens_total{{direction="input",{labels}}} 12.0' in lines
    (error,) = [line for line in lines if 'error_type="auth"' in line]
    assert error.endswith('module="chat_stream",status_code="401",target="api"} 0.0')
    assert 'openai_probe_cached_answers_total{model="gpt-6-luna",module="chat_stream",target="api"} 1.0' in lines
    buckets = [line for line in lines if line.startswith("openai_api_time_to_first_token_seconds_bucket")]
    assert any(f'# {{request_id="{found.result.request_id}"}}' in line for line in buckets)
    assert found.result.cost_usd is not None
    spent = 'openai_probe_cost_usd_total{model="gpt-6-luna",module="chat_stream",target="api"}'
    assert f"{spent} {float(found.result.cost_usd)}" in lines
    assert "openai_exporter_probes_in_flight 0.0" in lines


async def test_a_request_can_be_found_without_an_answer(simulator: SimulatorControl) -> None:
    simulator.fault("hang")
    async with prober_for(configuration(simulator.api_url, within(0.2))) as prober:
        found = await prober.probe(CHAT)
    assert "client_request_id=" in found.result.log[0]
    sent = found.result.log[0].rsplit("client_request_id=", 1)[1]
    assert f"x-client-request-id: {sent}" in found.result.request.lower()


async def test_failures_are_counted_by_outcome_and_status(simulator: SimulatorControl) -> None:
    instruments = Instruments(process=False)
    simulator.fault("status", status=500)
    async with prober_for(configuration(simulator.api_url), instruments=instruments) as prober:
        await prober.probe(CHAT)
        simulator.clear()
        simulator.fault("reset")
        await prober.probe(CHAT)
    lines = instruments.render("")[0].decode().splitlines()
    labels = 'endpoint="chat",error_type="{}",model="gpt-6-luna",module="chat",status_code="{}",target="api"'
    for error, status, count in (("server_error", 500, 1.0), ("connection_reset", 0, 1.0), ("overloaded", 503, 0.0)):
        assert f"openai_api_errors_total{{{labels.format(error, status)}}} {count}" in lines
    latency = "openai_api_latency_seconds_count"
    assert 1 == sum(line.startswith(latency) for line in lines), "a reset had no status, so it is no latency"


async def test_a_probe_that_never_left_is_no_error_of_the_api(simulator: SimulatorControl, tmp_path: Path) -> None:
    instruments = Instruments(process=False)
    (tmp_path / "key").write_text("sk-test-1")
    config = configuration(simulator.api_url, api_key_file=str(tmp_path / "key"))
    (tmp_path / "key").unlink()
    async with prober_for(config, instruments=instruments) as prober:
        found = await prober.probe(CHAT)
    assert ("no_credentials", False) == (found.result.outcome, found.result.called)
    lines = instruments.render("")[0].decode().splitlines()
    labels = 'model="gpt-6-luna",module="chat",target="api"}'
    assert f'openai_probe_not_sent_total{{endpoint="chat",error_type="no_credentials",{labels} 1.0' in lines
    assert f'openai_api_requests_total{{endpoint="chat",{labels} 0.0' in lines
    assert not [line for line in lines if "api_errors_total{" in line and not line.endswith(" 0.0")]


async def test_an_api_that_hangs_is_slow_in_the_histograms_not_missing(simulator: SimulatorControl) -> None:
    instruments = Instruments(process=False)
    simulator.fault("hang")
    async with prober_for(configuration(simulator.api_url, within(0.3)), instruments=instruments) as prober:
        found = await prober.probe(key_of("chat_stream"))
    assert ("timeout_headers", 0) == (found.result.outcome, found.result.status_code)
    lines = instruments.render("")[0].decode().splitlines()
    labels = 'model="gpt-6-luna",module="chat_stream",status_code="0",target="api"}'
    assert f'openai_api_latency_seconds_count{{endpoint="chat",{labels} 1.0' in lines
    first = "openai_api_time_to_first_token_seconds_"
    (total,) = [float(line.split()[1]) for line in lines if line.startswith(f"{first}sum")]
    assert total == pytest.approx(found.result.duration)
    assert total > 0


@pytest.mark.parametrize(
    ("module", "priced", "unpriced"),
    [("chat", True, False), ("embeddings", True, False), ("images", True, False), ("models", False, False),
     ("moderations", False, False), ("speech", False, True), ("transcriptions", False, True)],
)  # fmt: skip
async def test_what_is_charged_for_has_a_price_or_is_counted_as_unpriced(
    module: str, priced: bool, unpriced: bool, simulator: SimulatorControl
) -> None:
    async with prober_for(configuration(simulator.api_url)) as prober:
        found = (await prober.probe(key_of(module))).result
    assert (priced, unpriced) == (found.cost_usd is not None, found.unpriced)


@pytest.mark.parametrize("module", ["chat", "chat_stream", "embeddings", "models"])
@pytest.mark.parametrize("base", ["", "/openai/v1"])
async def test_azure_is_probed_under_its_own_paths(base: str, module: str, simulator: SimulatorControl) -> None:
    config = configuration(f"{simulator.base_url}{base}", provider="azure")
    async with prober_for(config) as prober:
        found = (await prober.probe(key_of(module))).result
    assert ("success", 200) == (found.outcome, found.status_code)
    assert "client-request-id" not in found.request
    assert found.server_processing is None, "Azure does not send it"


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses", "embeddings", "models"])
async def test_a_compatible_server_has_no_price(module: str, simulator: SimulatorControl) -> None:
    modules = {module: {**MODULES[module], "request": {}, "expect": {}}}
    async with prober_for(configuration(simulator.api_url, modules, provider="compatible")) as prober:
        found = (await prober.probe(key_of(module, modules))).result
    assert found.cost_usd is None


async def test_the_configurations_prices_count_for_probes_too(simulator: SimulatorControl) -> None:
    given = {"model": "*", "usd_per_million": {"input": 1000.0, "cached_input": 1000.0, "output": 2000.0}}
    config = configuration(simulator.api_url, provider="compatible", more={"prices": [given]})
    async with prober_for(config) as prober:
        found = (await prober.probe(key_of("chat"))).result
    assert found.tokens is not None
    assert found.cost_usd == (found.tokens.input + 2 * found.tokens.output) * Decimal("0.001")
    assert not found.unpriced


async def test_a_result_of_before_an_idle_hour_is_not_served_while_a_new_probe_runs(
    simulator: SimulatorControl,
) -> None:
    clock = Clock()
    config = configuration(simulator.api_url, modules(min_interval="30s"))
    async with prober_for(config, monotonic=clock) as prober:
        first = await prober.probe(CHAT)
        clock.now += 3600
        one, two = await asyncio.gather(prober.probe(CHAT), prober.probe(CHAT))

    assert first.result != one.result
    assert one.result == two.result
    assert [one.reason, two.reason] == ["", "shared"]


async def test_a_price_per_call_lets_the_cost_limit_stop_what_has_no_price(simulator: SimulatorControl) -> None:
    speech = {"endpoint": "speech", "daily_cost_limit_usd": 0.01, "price_per_call_usd": 0.006}
    key = ProbeKey("api", "speech", "gpt-4o-mini-tts")
    config = configuration(simulator.api_url, {"speech": speech})
    async with prober_for(config) as prober:
        answers = [await prober.probe(key) for _ in range(3)]

    assert [False, True, True] == [answer.cost_limited for answer in answers], "a second call would go over the limit"


# Spend is counted for calls whose answer is not known, and set aside before a call is made.


@pytest.mark.parametrize(
    ("module", "more", "usd"),
    [
        ("chat", {}, "0.0000108"),
        ("chat_stream", {}, "0.0000108"),
        ("responses", {}, "0.0000108"),
        ("chat", {"request": {**QUIET, "max_output_tokens": None}}, "0.0020508"),
        ("chat", {"request": {**QUIET, "extra": {"max_tokens": 1000}}}, "0.0005028"),
        ("chat", {"price_per_call_usd": 0.25}, "0.25"),
        ("embeddings", {}, "0.00000056"),
        ("images", {}, "0.01238"),
        ("images", {"request": {"quality": "high"}}, "0.18734"),
        ("speech", {"price_per_call_usd": 0.5}, "0.5"),
        ("speech", {}, None),
        ("models", {}, None),
        ("moderations", {}, None),
    ],
)  # fmt: skip
async def test_a_call_that_the_deadline_cut_counts_what_it_may_have_cost(
    module: str, more: dict[str, Any], usd: str | None, simulator: SimulatorControl
) -> None:
    simulator.fault("hang")
    config = configuration(simulator.api_url, {module: {**MODULES[module], "timeout": "100ms", **more}})
    async with prober_for(config) as prober:
        await prober.warm()
        found = (await prober.probe(key_of(module))).result
    assert ("timeout_headers", usd and Decimal(usd)) == (found.outcome, found.cost_usd)


async def test_calls_in_flight_count_against_the_limit(simulator: SimulatorControl) -> None:
    simulator.fault("hang")
    models = ["gpt-6-luna", "gpt-5.4-mini", "gpt-5.4-nano"]
    config = configuration(
        simulator.api_url,
        modules(timeout="300ms", daily_cost_limit_usd=0.25, price_per_call_usd=0.1),
        more={"probes": [{"target": "api", "module": "chat", "models": models}]},
    )
    async with prober_for(config) as prober:
        await prober.warm()
        found = await asyncio.gather(*(prober.probe(ProbeKey("api", "chat", model)) for model in models))
        after = await prober.probe(CHAT)
    assert ["timeout_headers", "timeout_headers", "cost_limited"] == [each.result.outcome for each in found]
    assert after.cost_limited


async def test_a_call_that_the_end_of_the_process_cut_has_cost_something(tmp_path: Path) -> None:
    called = asyncio.Event()

    async def hang(turn: Turn) -> None:
        called.set()
        await asyncio.Event().wait()

    async with raw_server(hang) as server:
        config = configuration(server.url, modules(daily_cost_limit_usd=0.3, price_per_call_usd=0.2))
        async with prober_for(config, storage=tmp_path) as prober:
            running = asyncio.create_task(prober.probe(CHAT))
            await called.wait()
    await asyncio.gather(running, return_exceptions=True)
    assert json.loads((tmp_path / "probe-state.json").read_text())["spend"] == {"chat": "0.2"}


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "9" * 5000])
@pytest.mark.parametrize("place", ["day", "until", "at", "strikes", "status_code", "spend"])
async def test_no_number_in_the_file_ends_the_start(place: str, number: str, tmp_path: Path) -> None:
    wait = {
        "key": {"target": "api", "module": "chat", "model": "gpt-6-luna"}, "until": 9e9, "at": 9e9, "strikes": 1,
        "outcome": "rate_limited", "status_code": 429, "message": "",
    }  # fmt: skip
    document = {
        "format": "openai-exporter probes",
        "version": 1,
        "day": 20_000,
        "spend": {"chat": 0.5},
        "waits": [wait],
    }
    found = wait if place in wait else document
    found[place] = {"chat": "NUMBER"} if place == "spend" else "NUMBER"
    (tmp_path / "probe-state.json").write_text(json.dumps(document).replace('"NUMBER"', number))
    async with prober_for(configuration("http://127.0.0.1:1"), storage=tmp_path) as prober:
        assert (await prober.probe(CHAT)).result.outcome in ("connect", "rate_limited")


def test_passwords_of_proxies_are_known_as_they_are_written_and_as_they_are_sent() -> None:
    proxies = {"https": "http://user:battery%2Fstaple@proxy:1", "no": "x", "all": "socks5://x"}
    assert list(proxy_secrets(proxies)) == ["dXNlcjpiYXR0ZXJ5L3N0YXBsZQ==", "battery%2Fstaple"]
