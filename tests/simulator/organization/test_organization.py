# SPDX-License-Identifier: Apache-2.0
"""The organization as a whole: identity of keys, recording, repeatability, and its control endpoints."""

import subprocess
import sys
import time
from typing import Any

import httpx2
import pytest

from openai_simulator.catalogue import MODELS
from openai_simulator.exchange import Call, OrganizationSize
from openai_simulator.organization.streams import PURPOSES
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.simulator.organization.conftest import ADMIN, DAY, MONTH, NOW, Sandbox

REPEATED = (
    "/usage/completions?start_time={month}&limit=31&group_by=model&group_by=api_key_id",
    "/usage/embeddings?start_time={now}&bucket_width=1m",
    "/costs?start_time={month}&limit=31&group_by=line_item&group_by=project_id",
    "/projects",
    "/users",
)


def replies() -> list[bytes]:
    with (
        running_simulator(seed=11, clock=NOW, speed=0, latency_scale=0) as control,
        httpx2.Client(headers=ADMIN, trust_env=False, timeout=20) as client,
    ):
        base = f"{control.api_url}/organization"
        urls = [base + path.format(month=MONTH, now=NOW - 3600) for path in REPEATED]
        return [client.get(url).content for url in urls]


def test_a_restart_changes_nothing() -> None:
    assert replies() == replies()


def test_a_key_that_is_named_is_that_key(sandbox: type[Sandbox]) -> None:
    organization = sandbox().organization
    known = {
        row["api_key_id"]: row for row in organization.truth(MONTH, MONTH + DAY) if row.get("api_key_id")
    }
    for key_id, row in known.items():
        identity = organization.identify(f"sk-{key_id}")
        assert identity is not None
        assert (row["project_id"], key_id, row["user_id"]) == (
            identity.project_id, identity.api_key_id, identity.user_id,
        )  # fmt: skip


def test_any_other_key_is_always_the_same_key_of_the_default_project(sandbox: type[Sandbox]) -> None:
    first, second = sandbox().organization, sandbox().organization
    identity = first.identify("sk-proj-whatever")
    assert identity is not None
    assert identity == second.identify("sk-proj-whatever")
    projects = {one.project_id for one in map(first.identify, (f"sk-{n}" for n in range(50))) if one}
    assert projects == {identity.project_id}


@pytest.mark.parametrize("bearer", ["", "gibberish", "sk-admin-123", "sk-invalid"])
def test_what_is_no_api_key_is_nobody(sandbox: type[Sandbox], bearer: str) -> None:
    assert sandbox().organization.identify(bearer) is None


def test_a_recorded_call_is_true_at_once_and_arrives_later(sandbox: type[Sandbox]) -> None:
    box = sandbox(streams=0)
    identity = box.organization.identify("sk-me")
    assert identity is not None
    call = Call(NOW - 1, "completions", "gpt-6-luna", identity, input_tokens=70, output_tokens=30)
    for _ in range(64):
        box.organization.record_call(call)

    def counted(which: str) -> int:
        rows = box.organization.state()[which]["completions"]
        return sum(row["num_model_requests"] for row in rows)

    assert (counted("true"), counted("arrived")) == (64, 0)
    box.clock.advance(300)
    assert 0 < counted("arrived") < 64
    box.clock.advance(4 * 3600 + 60)
    assert (counted("true"), counted("arrived")) == (64, 64)


def test_recorded_calls_are_billed_at_list_prices(sandbox: type[Sandbox]) -> None:
    box = sandbox(streams=0, late=0)
    identity = box.organization.identify("sk-me")
    assert identity is not None
    box.organization.record_call(
        Call(
            NOW - 1, "completions", "gpt-6-luna", identity, input_tokens=1_000, input_cached_tokens=400,
            output_tokens=100,
        )
    )  # fmt: skip
    state = box.organization.state()
    expected = str((600 * 100 + 400 * 10 + 100 * 500) / 10**9)  # USD 0.10, 0.01 and 0.50 per million tokens
    assert expected == state["estimated_cost_usd"]["arrived"]["total"]
    assert expected == state["billed_cost_usd"]["arrived"]["month_to_date"]
    assert {identity.project_id: expected} == state["billed_cost_usd"]["true"]["by_project"]


def test_without_streams_only_real_calls_are_in_the_books(sandbox: type[Sandbox]) -> None:
    assert sandbox(streams=0).organization.truth(MONTH, NOW) == []


def test_a_call_of_the_past_reaches_buckets_that_were_shown_before(still: SimulatorControl) -> None:
    when = NOW + 70 * DAY
    path = f"{still.api_url}/organization/usage/moderations"
    hour: dict[str, Any] = {"start_time": when, "end_time": when + 3600, "bucket_width": "1h"}

    def shown() -> Any:
        still.clock(now=when + DAY)
        return httpx2.get(path, params=hour, headers=ADMIN, trust_env=False).json()["data"]

    before = shown()
    still.clock(now=when + 60)
    headers = {"authorization": "Bearer sk-test-0123456789"}
    httpx2.post(f"{still.api_url}/moderations", json={"input": "hello"}, headers=headers, trust_env=False)
    assert shown()[0]["results"][0]["num_model_requests"] == before[0]["results"][0]["num_model_requests"] + 1


def test_new_calls_show_also_when_the_same_bucket_was_read_at_the_same_time(still: SimulatorControl) -> None:
    when = NOW + 80 * DAY
    path = f"{still.api_url}/organization/usage/moderations"

    def shown() -> int:
        still.clock(now=when + 700)
        found = httpx2.get(path, params={"start_time": when}, headers=ADMIN, trust_env=False).json()["data"]
        return sum(row["num_model_requests"] for row in found[0]["results"])

    before = shown()
    still.clock(now=when)
    headers = {"authorization": "Bearer sk-test-0123456789"}
    for _ in range(8):
        httpx2.post(f"{still.api_url}/moderations", json={"input": "hello"}, headers=headers, trust_env=False)
    assert before < shown() <= before + 8


def test_seeded_usage_can_be_stopped_so_that_the_books_settle(still: SimulatorControl) -> None:
    url = f"{still.base_url}/_simulator/organization/stop"
    httpx2.post(url, json={"at": NOW}, trust_env=False)
    try:
        still.clock(now=NOW + 3 * DAY)
        books = still.state()["books"]
        assert books["true"] == books["arrived"]
        assert (
            books["billed_cost_usd"]["true"]["by_line_item"]
            == books["billed_cost_usd"]["arrived"]["by_line_item"]
        )
        assert books["true"]["completions"]
    finally:
        httpx2.post(url, json={"at": None}, trust_env=False)
    assert still.state()["books"]["true"] != books["true"]


@pytest.mark.parametrize("body", [[], {}, {"at": "now"}, {"at": True}])
def test_a_wrong_stop_is_refused(still: SimulatorControl, body: Any) -> None:
    reply = httpx2.post(f"{still.base_url}/_simulator/organization/stop", json=body, trust_env=False)
    assert reply.status_code == 400
    assert "stop" in reply.json()["error"]["message"]


@pytest.mark.parametrize("what", ["usage", "bill"])
def test_a_truth_without_a_time_is_refused(still: SimulatorControl, what: str) -> None:
    url = f"{still.base_url}/_simulator/organization/{what}?start=1"
    reply = httpx2.get(url, trust_env=False)
    assert (
        reply.status_code,
        reply.json()["error"]["message"],
    ) == (400, "end: expected unix seconds, got ''")


def test_models_in_use_are_models_that_are_served() -> None:
    catalogue_has_not = {"gpt-4-0613", "gpt-audio-2025-08-28", None}
    used = {purpose.model for purpose in PURPOSES} - catalogue_has_not
    assert {model for model in used if model is not None and not model.startswith("ft:")} <= set(MODELS)


def test_a_plain_size_is_taken_too(sandbox: type[Sandbox]) -> None:
    from openai_simulator.organization import Organization

    box = sandbox()
    small = Organization(clock=box.clock, seed=1, faults=box.faults, size=OrganizationSize(2, 3, 2))
    assert len({row["project_id"] for row in small.truth(MONTH, NOW)}) == 2


def test_a_month_of_days_fully_grouped_is_answered_quickly(still: SimulatorControl) -> None:
    five = ["project_id", "user_id", "api_key_id", "model", "batch"]
    params: dict[str, Any] = {"start_time": NOW - 200 * DAY, "limit": 31, "group_by": five}
    with httpx2.Client(base_url=still.api_url, headers=ADMIN, timeout=20, trust_env=False) as client:
        client.get("/organization/projects")
        times = []
        for _ in range(4):
            began = time.perf_counter()
            assert client.get("/organization/usage/completions", params=params).status_code == 200
            times.append(time.perf_counter() - began)
    assert times[0] < 1.0  # about 0.05 s on an idle machine
    assert min(times[1:]) < 0.1


def test_importing_the_organization_pulls_in_nothing_of_the_exporter() -> None:
    code = (
        "import sys; import openai_simulator.organization;"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('openai_exporter.')};"
        "print(sorted(ours - {'errors', 'simulator'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
