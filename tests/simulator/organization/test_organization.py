# SPDX-License-Identifier: Apache-2.0
"""The organization as a whole: identity of keys, recording, repeatability, and its control endpoints."""

import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from openai_simulator.catalogue import MODELS
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.organization import Organization, month_start
from openai_simulator.organization.seed import OrganizationSize
from openai_simulator.organization.traffic import WORKLOADS
from openai_simulator.organization.usage import Call
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.simulator.organization.conftest import ADMIN, DAY, MONTH, NOW, Get, Sandbox

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
    known = {row["api_key_id"]: row for row in organization.truth(MONTH, MONTH + DAY) if row.get("api_key_id")}
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
        assert books["billed_cost_usd"]["true"]["by_line_item"] == books["billed_cost_usd"]["arrived"]["by_line_item"]
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
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "end: expected unix seconds, got ''")


def test_models_in_use_are_models_that_are_served() -> None:
    catalogue_has_not = {"gpt-4-0613", "gpt-audio-2025-08-28", None}
    used = {workload.model for workload in WORKLOADS} - catalogue_has_not
    assert {model for model in used if model is not None and not model.startswith("ft:")} <= set(MODELS)


def test_a_plain_size_is_taken_too(sandbox: type[Sandbox]) -> None:
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.strip() == "[]"


# The true usage and bill: what the endpoints say, and parts that add up.


@pytest.fixture(scope="module")
def books() -> Any:
    return Sandbox().organization.state()


def test_arrived_usage_is_what_the_api_shows(get: Get, still: SimulatorControl) -> None:
    arrived = still.state()["books"]["arrived"]
    for name, operation in OPERATIONS.items():
        shown: dict[tuple[Any, ...], dict[str, int]] = {}
        query = {"start_time": MONTH, "limit": 31, "group_by": [*operation.dimensions]}
        for bucket in get(f"/usage/{name}", **query)["data"]:
            for row in bucket["results"]:
                sums = shown.setdefault(tuple(row[dimension] for dimension in operation.dimensions), {})
                for field in operation.fields:
                    sums[field] = row[field] if operation.level else sums.get(field, 0) + row[field]
        stated = {
            tuple(row[dimension] for dimension in operation.dimensions): {
                field: row[field] for field in operation.fields
            }
            for row in arrived[name]
        }
        assert shown == stated, name


def test_arrived_costs_are_what_the_api_shows(get: Get, still: SimulatorControl) -> None:
    by_line: dict[str, Decimal] = {}
    for bucket in get("/costs", start_time=MONTH, limit=31, group_by="line_item")["data"]:
        for row in bucket["results"]:
            name = row["line_item"]
            by_line[name] = by_line.get(name, Decimal(0)) + Decimal(row["amount"]["value"])
    billed = still.state()["books"]["billed_cost_usd"]["arrived"]
    assert by_line == {name: Decimal(usd) for name, usd in billed["by_line_item"].items()}
    assert sum(by_line.values()) == Decimal(billed["month_to_date"])


@pytest.mark.parametrize("which", ["true", "arrived"])
def test_the_parts_of_the_bill_add_up(books: Any, which: str) -> None:
    billed = books["billed_cost_usd"][which]
    total = Decimal(billed["month_to_date"])
    assert total == sum(map(Decimal, billed["by_project"].values()))
    assert total == sum(map(Decimal, billed["by_line_item"].values()))
    assert Decimal(billed["today"]) + Decimal(billed["yesterday"]) < total


def test_the_estimate_is_the_bill_of_what_is_on_a_list(books: Any) -> None:
    estimated = books["estimated_cost_usd"]["true"]["by_model"]
    billed = books["billed_cost_usd"]["true"]["by_line_item"]
    for model, usd in estimated.items():
        lines = [Decimal(cost) for line, cost in billed.items() if line.rpartition(", ")[0] == model]
        if model != "gpt-image-2-2026-04-21":  # its images are billed by the piece, beside its tokens
            assert Decimal(usd) == sum(lines)


def test_tokens_on_no_list_are_named(books: Any) -> None:
    unpriced = books["estimated_cost_usd"]["true"]["unpriced_tokens"]
    assert [*unpriced] == ["ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"]
    assert unpriced["ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"] > 1_000_000


def test_the_truth_of_days_adds_up_to_the_month(sandbox: type[Sandbox]) -> None:
    organization = sandbox().organization
    whole = organization.truth(MONTH, MONTH + 3 * DAY)
    days = [organization.truth(MONTH + n * DAY, MONTH + (n + 1) * DAY) for n in range(3)]

    def tokens(rows: list[dict[str, Any]]) -> int:
        return sum(row["output_tokens"] for row in rows if row["operation"] == "completions")

    assert tokens(whole) == sum(map(tokens, days)) > 0


def test_the_bill_of_a_period_is_by_day_and_adds_up(sandbox: type[Sandbox]) -> None:
    organization = sandbox().organization
    rows = organization.bill(MONTH, NOW)
    assert {*range(MONTH, NOW, DAY)} == {row["day"] for row in rows}
    total = sum(Decimal(row["usd"]) for row in rows)
    assert total == Decimal(organization.state()["billed_cost_usd"]["true"]["month_to_date"])


def test_at_midnight_of_the_first_the_month_is_empty(sandbox: type[Sandbox]) -> None:
    state = sandbox(now=MONTH).organization.state()
    assert state["month_start"] == MONTH
    assert state["true"]["completions"] == []
    billed = state["billed_cost_usd"]["true"]
    assert (billed["month_to_date"], billed["today"]) == ("0", "0")
    assert Decimal(billed["previous_month"]) > Decimal(billed["yesterday"]) > 0


@pytest.mark.parametrize(
    ("moment", "start"),
    [(MONTH, MONTH), (MONTH - 1, MONTH - 31 * DAY), (NOW, MONTH), (1709251199, 1706745600)],
    ids=["first", "last-second", "within", "leap-day"],
)
def test_months_begin_on_the_first_at_midnight_utc(moment: float, start: int) -> None:
    assert start == month_start(moment)
