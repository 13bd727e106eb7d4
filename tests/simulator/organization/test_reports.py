# SPDX-License-Identifier: Apache-2.0
"""The usage and costs endpoints on a socket: shapes, sums, paging, faults, permissions; queries and buckets."""

import json
from collections.abc import Iterator
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.datastructures import QueryParams

from openai_simulator.errors import ApiError
from openai_simulator.organization.billing import COST_DIMENSIONS
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.reports import (
    COST_LIMITS,
    USAGE_LIMITS,
    WIDTHS,
    BucketCache,
    Query,
    Rules,
    bucket_json,
    decode,
    page_json,
    plain,
)
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.simulator.conformance import Facts
from tests.simulator.organization.conftest import ADMIN, DAY, MONTH, NOW, Get

# The costs endpoint on a socket.

GROUPINGS = [(), *((name,) for name in COST_DIMENSIONS), COST_DIMENSIONS, ("project_id", "line_item")]


def amounts(page: Any) -> list[Decimal]:
    return [Decimal(str(row["amount"]["value"])) for bucket in page["data"] for row in bucket["results"]]


def total(page: Any) -> Decimal:
    return sum(amounts(page), Decimal(0))


@pytest.fixture(scope="module")
def numbers() -> Iterator[SimulatorControl]:
    """A simulator that gives amounts as JSON numbers, as described, and shows everything at once."""
    with running_simulator(seed=7, clock=NOW, speed=0, amounts="number", late_seconds=0, latency_scale=0) as control:
        yield control


def test_replies_conform_however_they_are_grouped(get: Get, facts: Facts) -> None:
    for group_by in GROUPINGS:
        page = get("/costs", start_time=MONTH, limit=20, group_by=list(group_by))
        assert facts.check("costs_page", page) == [], group_by
        rows = [row for bucket in page["data"] for row in bucket["results"]]
        assert rows, group_by
        for row in rows:
            assert {name for name in COST_DIMENSIONS if row[name] is not None} <= set(group_by), group_by
            assert (row["quantity"] is not None) == ("line_item" in group_by), group_by


def test_amounts_as_numbers_conform_too(numbers: SimulatorControl, facts: Facts) -> None:
    reply = httpx2.get(
        f"{numbers.api_url}/organization/costs", params={"start_time": MONTH}, headers=ADMIN, trust_env=False
    )
    facts.assert_conforms("costs_page", reply.json())
    values = [row["amount"]["value"] for bucket in reply.json()["data"] for row in bucket["results"]]
    assert {float} == {type(value) for value in values}


def test_amounts_are_numeric_strings_by_default(get: Get) -> None:
    page = get("/costs", start_time=MONTH)
    assert {str} == {type(row["amount"]["value"]) for bucket in page["data"] for row in bucket["results"]}


def test_every_grouping_sums_to_the_same_money(get: Get) -> None:
    span = {"start_time": MONTH - 30 * DAY, "end_time": NOW, "limit": 60}
    totals = {group_by: total(get("/costs", **span, group_by=list(group_by))) for group_by in GROUPINGS}
    assert totals == dict.fromkeys(GROUPINGS, totals[()])


def test_pages_are_together_the_whole(get: Get) -> None:
    span = {"start_time": MONTH, "end_time": NOW, "group_by": "project_id"}
    found = [get("/costs", **span, limit=6)]
    while found[-1]["has_more"]:
        found.append(get("/costs", **span, limit=6, page=found[-1]["next_page"]))
    assert len(found) == 4
    assert total(get("/costs", **span, limit=31)) == sum(map(total, found))


def test_line_items_can_be_filtered_by_their_full_name(get: Get) -> None:
    everything = get("/costs", start_time=MONTH, limit=5, group_by="line_item")
    wanted = "gpt-6-luna, output"
    only = get("/costs", start_time=MONTH, limit=5, group_by="line_item", line_items=wanted)
    rows = [row for bucket in everything["data"] for row in bucket["results"] if row["line_item"] == wanted]
    assert rows == [row for bucket in only["data"] for row in bucket["results"]]
    assert len(rows) == 5


def test_costs_come_later_than_usage(get: Get, still: SimulatorControl) -> None:
    still.clock(now=NOW - NOW % DAY + 3000)
    day = NOW - NOW % DAY
    assert get("/usage/completions", start_time=day)["data"][0]["results"]
    assert get("/costs", start_time=day)["data"][0]["results"] == []


def test_settled_costs_are_the_bill_of_the_books(get: Get, still: SimulatorControl) -> None:
    day = NOW - NOW % DAY
    still.clock(now=day + 3 * DAY)
    page = get("/costs", start_time=day, limit=1, group_by=list(COST_DIMENSIONS))
    reply = httpx2.get(
        f"{still.base_url}/_simulator/organization/bill", params={"start": day, "end": day + DAY},
        trust_env=False,
    )  # fmt: skip
    bill = {tuple(row[name] for name in COST_DIMENSIONS): row["usd"] for row in reply.json()["data"]}
    shown = {tuple(row[name] for name in COST_DIMENSIONS): row["amount"]["value"] for row in page["data"][0]["results"]}
    assert {key: usd for key, usd in bill.items() if key[-1] != "credit"} == {
        key: usd for key, usd in shown.items() if key[-1] != "credit"
    }


def test_a_credit_is_a_negative_amount(get: Get) -> None:
    page = get("/costs", start_time=NOW - 120 * DAY, limit=121, group_by="line_item")
    credits = [row for bucket in page["data"] for row in bucket["results"] if row["line_item"] == "credit"]
    assert len(credits) >= 3
    assert all(Decimal(row["amount"]["value"]) < 0 for row in credits)


def test_a_credit_shows_also_when_its_day_was_read_before(numbers: SimulatorControl) -> None:
    def lines(day: int, now: int) -> set[str]:
        numbers.clock(now=now)
        url = f"{numbers.api_url}/organization/costs?start_time={day}&limit=1&group_by=line_item"
        reply = httpx2.get(url, headers=ADMIN, trust_env=False).json()
        return {row["line_item"] for row in reply["data"][0]["results"]}

    days = range(NOW - NOW % DAY - 61 * DAY, NOW - DAY, DAY)
    credited = next(day for day in days if "credit" in lines(day, day + 9 * DAY))
    assert "credit" not in lines(credited, credited + DAY + 60)
    assert "credit" in lines(credited, credited + DAY + 11 * 3600)


def test_costs_are_revised_down_too(get: Get, still: SimulatorControl) -> None:
    span = {"start_time": MONTH, "end_time": MONTH + DAY}
    before = total(get("/costs", **span))
    still.fault("revise_down", "/v1/organization/costs", factor=0.5)
    assert total(get("/costs", **span)) < before


def test_a_paging_loop_goes_on_for_ever(get: Get, still: SimulatorControl) -> None:
    still.fault("page_loop", "/v1/organization/costs")
    first = get("/costs", start_time=MONTH)
    second = get("/costs", start_time=MONTH, page=first["next_page"])
    assert (True, first["next_page"]) == (second["has_more"], second["next_page"])


def test_a_project_key_may_not_read(still: SimulatorControl) -> None:
    headers = {"authorization": "Bearer sk-proj-0123456789"}
    reply = httpx2.get(f"{still.api_url}/organization/costs?start_time=1", headers=headers, trust_env=False)
    assert reply.status_code == 403
    assert "api.usage.read" in reply.json()["error"]["message"]


def test_decimals_are_written_plainly() -> None:
    texts = {"0": "0", "1.500": "1.5", "-2.00": "-2", "1E-12": "0.000000000001", "1E+3": "1000", "100": "100"}
    assert {number: plain(Decimal(number)) for number in texts} == texts


# The usage endpoints on a socket: shapes, sums, paging, faults, permissions.

USAGE_GROUPINGS = [
    (name, group_by)
    for name, entry in OPERATIONS.items()
    for group_by in dict.fromkeys([(), *((dimension,) for dimension in entry.dimensions), entry.dimensions])
]
REUSED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows(page: Any) -> list[dict[str, Any]]:
    return [row for bucket in page["data"] for row in bucket["results"]]


def summed(found: list[dict[str, Any]], name: str) -> dict[str, int]:
    return {field: sum(row[field] for row in found) for field in OPERATIONS[name].fields}


def pages(get: Get, path: str, **params: Any) -> list[Any]:
    found = [get(path, **params)]
    while found[-1]["has_more"]:
        found.append(get(path, **params, page=found[-1]["next_page"]))
    return found


def test_usage_replies_conform_however_they_are_grouped(get: Get, facts: Facts) -> None:
    for name, group_by in USAGE_GROUPINGS:
        page = get(f"/usage/{name}", start_time=MONTH, limit=21, group_by=list(group_by))
        assert facts.check(f"usage_{name}_page", page) == [], (name, group_by)
        assert rows(page), f"{name} by {group_by}: nothing was used, the check is void"
        for row in rows(page):
            grouped = {dimension for dimension in OPERATIONS[name].dimensions if row[dimension] is not None}
            assert grouped <= set(group_by), (name, group_by)


def test_an_ungrouped_query_has_one_row_for_each_bucket(get: Get) -> None:
    for name in OPERATIONS:
        page = get(f"/usage/{name}", start_time=MONTH, limit=20)
        assert {1} == {len(bucket["results"]) for bucket in page["data"]}, name


def test_minutes_hours_and_days_agree(get: Get) -> None:
    yesterday = NOW - NOW % DAY - DAY
    span = {"start_time": yesterday, "end_time": yesterday + DAY}
    widths = [("1m", 1440), ("1h", 24), ("1d", 1)]
    for name in (name for name, entry in OPERATIONS.items() if not entry.level):
        sums = [
            summed(rows(get(f"/usage/{name}", **span, bucket_width=width, limit=limit)), name)
            for width, limit in widths
        ]
        assert sums[0] == sums[1] == sums[2], name


@REUSED
@given(
    first=st.lists(st.sampled_from(OPERATIONS["completions"].dimensions), unique=True),
    limits=st.tuples(st.integers(1, 31), st.integers(1, 31)),
    days=st.integers(1, 60),
)
def test_groupings_and_page_sizes_agree(get: Get, first: list[str], limits: tuple[int, int], days: int) -> None:
    span = {"start_time": MONTH - days * DAY, "end_time": MONTH}
    one, other = (
        [row for page in pages(get, "/usage/completions", **span, limit=limit, group_by=by) for row in rows(page)]
        for limit, by in zip(limits, (first, []), strict=True)
    )
    assert summed(one, "completions") == summed(other, "completions")
    assert len(other) == days


def test_no_row_appears_twice(get: Get) -> None:
    group_by = [*OPERATIONS["completions"].dimensions]
    for bucket in get("/usage/completions", start_time=MONTH, group_by=group_by)["data"]:
        keys = [tuple(row[name] for name in group_by) for row in bucket["results"]]
        assert len(set(keys)) == len(keys)


def test_a_filter_chooses_the_rows_of_the_grouping(get: Get) -> None:
    everything = rows(get("/usage/completions", start_time=MONTH, limit=1, group_by="project_id"))
    chosen = everything[0]["project_id"]
    only = rows(get("/usage/completions", start_time=MONTH, limit=1, project_ids=chosen))
    assert summed(only, "completions") == summed([everything[0]], "completions")


@pytest.mark.parametrize("form", ["models", "models[]"])
def test_filters_take_both_forms_of_lists(get: Get, form: str) -> None:
    wanted = ["gpt-6-luna", "gpt-6-sol"]
    found = rows(get("/usage/completions", start_time=MONTH, limit=1, group_by="model", **{form: wanted}))
    assert set(wanted) == {row["model"] for row in found}


def test_batch_can_be_asked_for_alone(get: Get) -> None:
    asked: list[dict[str, str]] = [{}, {"batch": "true"}, {"batch": "false"}]
    both, batches, others = (
        summed(rows(get("/usage/completions", start_time=MONTH, limit=1, **batch)), "completions") for batch in asked
    )
    assert batches["num_model_requests"] > 0
    assert both == {field: batches[field] + others[field] for field in both}


def test_a_period_without_usage_has_empty_buckets(get: Get) -> None:
    page = get("/usage/completions", start_time=1_600_000_000, limit=3)
    assert [bucket["results"] for bucket in page["data"]] == [[], [], []]


def test_the_future_is_left_out(get: Get) -> None:
    page = get("/usage/completions", start_time=NOW - 3600, end_time=NOW + 9 * 3600, bucket_width="1h")
    assert [bucket["start_time"] for bucket in page["data"]] == [NOW - 3600, NOW]
    assert page["has_more"] is False


def test_the_running_day_grows_and_ends_at_the_truth(get: Get, still: SimulatorControl) -> None:
    day = NOW - NOW % DAY
    shown = []
    for hours in (0, 1, 3, 20, 24):
        still.clock(now=NOW + hours * 3600)
        shown.append(rows(get("/usage/completions", start_time=day, limit=1))[0]["input_tokens"])
    true = still_truth(still, day, day + DAY, "completions")
    assert shown == sorted(shown)
    assert shown[0] < shown[-1] == sum(row["input_tokens"] for row in true)


def still_truth(still: SimulatorControl, start: int, end: int, operation: str) -> list[dict[str, Any]]:
    reply = httpx2.get(
        f"{still.base_url}/_simulator/organization/usage", params={"start": start, "end": end}, trust_env=False
    )
    return [row for row in reply.json()["data"] if row["operation"] == operation]


def test_usage_a_paging_loop_goes_on_for_ever(get: Get, still: SimulatorControl) -> None:
    still.fault("page_loop", "/v1/organization/usage/completions")
    first = get("/usage/completions", start_time=MONTH, limit=5)
    second = get("/usage/completions", start_time=MONTH, limit=5, page=first["next_page"])
    third = get("/usage/completions", start_time=MONTH, limit=5, page=second["next_page"])
    assert first["next_page"] == second["next_page"] == third["next_page"]
    assert second == third
    assert get("/usage/embeddings", start_time=MONTH, limit=31)["has_more"] is False


def test_a_paging_loop_also_catches_a_query_of_one_page(get: Get, still: SimulatorControl) -> None:
    still.fault("page_loop", "/v1/organization/usage/completions")
    only = get("/usage/completions", start_time=NOW, limit=5)
    assert only["has_more"] is True
    assert get("/usage/completions", start_time=NOW, limit=5, page=only["next_page"]) == only


COMPLETIONS = "/v1/organization/usage/completions"


def starts(page: Any) -> list[int]:
    return [bucket["start_time"] for bucket in page["data"]]


def test_short_pages_lead_to_the_same_buckets(get: Get, still: SimulatorControl) -> None:
    whole = get("/usage/completions", start_time=MONTH, limit=8)
    still.fault("short_pages", COMPLETIONS, buckets=3)
    first, second = pages(get, "/usage/completions", start_time=MONTH, end_time=MONTH + 6 * DAY, limit=8)
    assert whole["data"][:6] == first["data"] + second["data"]


def test_a_repeated_page_has_another_cursor_and_the_buckets_before(get: Get, still: SimulatorControl) -> None:
    still.fault("repeated_buckets", COMPLETIONS)
    span = {"start_time": MONTH, "end_time": MONTH + 4 * DAY}
    one, again, *more = pages(get, "/usage/completions", **span, limit=2)
    assert (one["data"], []) == (again["data"], more)
    only, twin = pages(get, "/usage/completions", **span, limit=4)
    assert only["data"] == twin["data"]
    assert only["next_page"] != twin["next_page"] is None


def test_a_bucket_twice_in_a_page_is_the_last_one(get: Get, still: SimulatorControl) -> None:
    still.fault("repeated_buckets", COMPLETIONS, where="page")
    page = get("/usage/completions", start_time=MONTH, end_time=MONTH + 2 * DAY)
    assert [MONTH, MONTH + DAY, MONTH + DAY] == starts(page)


@pytest.mark.parametrize(
    ("fault", "left", "used"),
    [
        ({"seconds_ago": DAY}, 2, [True, True]),
        ({"seconds_ago": DAY, "shape": "empty"}, 3, [True, False, True]),
        ({"shape": "empty"}, 3, [False, False, False]),
        ({}, 0, []),
    ],
    ids=["one", "one empty", "all empty", "all"],
)
def test_lost_buckets_are_absent_or_empty_and_return(
    get: Get, still: SimulatorControl, fault: dict[str, Any], left: int, used: list[bool]
) -> None:
    span = {"start_time": NOW - NOW % DAY - 2 * DAY, "limit": 3}
    before = get("/usage/completions", **span)
    still.fault("lost_buckets", COMPLETIONS, **fault)
    page = get("/usage/completions", **span)
    assert (left, used) == (len(page["data"]), [bool(bucket["results"]) for bucket in page["data"]])
    still.clear()
    assert before == get("/usage/completions", **span)


def test_null_labels_keep_the_sums(get: Get, still: SimulatorControl) -> None:
    query = {"start_time": MONTH, "end_time": MONTH + DAY, "group_by": ["project_id", "model"]}
    before = rows(get("/usage/completions", **query))
    still.fault("null_labels", COMPLETIONS, names=["project_id"])
    after = rows(get("/usage/completions", **query))
    assert summed(before, "completions") == summed(after, "completions")
    assert {None} == {row["project_id"] for row in after} != {row["project_id"] for row in before}
    assert {row["model"] for row in before} == {row["model"] for row in after}


@pytest.mark.parametrize(
    ("path", "name"), [("/usage/completions", "has_more"), ("/usage/completions", "results"), ("/costs", "amount")]
)
def test_missing_fields_are_left_out_wherever_they_are(get: Get, still: SimulatorControl, path: str, name: str) -> None:
    query = {"start_time": MONTH, "limit": 3}
    assert f'"{name}":' in json.dumps(before := get(path, **query))
    still.fault("missing_fields", f"/v1/organization{path}", fields=[name])
    after = get(path, **query)
    assert f'"{name}":' not in json.dumps(after)
    assert before["next_page"] == after["next_page"]


def test_replicas_differ_in_every_hour(get: Get, still: SimulatorControl) -> None:
    still.fault("revise_down", COMPLETIONS, factor=0.9, running=True, probability=0.5)
    still.clock(advance=1800)
    query = {"start_time": NOW - 3600, "bucket_width": "1h"}
    answers = [get("/usage/completions", **query) for _ in range(20)]
    for hour in (0, 1):
        tokens = {sum(row["input_tokens"] for row in page["data"][hour]["results"]) for page in answers}
        assert len(tokens) == 2
        assert 0.7 < min(tokens) / max(tokens) < 1


def test_a_late_daily_view_leaves_the_hours_as_they_are(get: Get, still: SimulatorControl) -> None:
    day = NOW - NOW % DAY

    def shown(width: str) -> int:
        page = get("/usage/completions", start_time=day, bucket_width=width)
        return sum(row["input_tokens"] for row in rows(page))

    still.fault("late_buckets", COMPLETIONS, by_seconds=DAY / 2, width="1d")
    before = shown("1d")
    still.clock(advance=6 * 3600)
    assert before == shown("1d") < shown("1h")
    still.clear()
    assert shown("1d") == shown("1h")


def test_an_odd_date_is_away_from_the_time(still: SimulatorControl) -> None:
    still.fault("odd_date", "/v1/organization", offset_seconds=-40 * DAY)
    url = f"{still.api_url}/organization/users"
    replies = [httpx2.get(url, headers=ADMIN, trust_env=False)]
    still.clear()
    replies.append(httpx2.get(url, headers=ADMIN, trust_env=False))
    dates = [parsedate_to_datetime(reply.headers["date"]).timestamp() - still.clock() for reply in replies]
    assert dates == pytest.approx([-40 * DAY, 0], abs=2)


def test_late_buckets_hold_back_the_new_and_take_nothing_away(get: Get, still: SimulatorControl) -> None:
    day = NOW - NOW % DAY

    def shown() -> int:
        tokens: int = rows(get("/usage/completions", start_time=day, limit=1))[0]["input_tokens"]
        return tokens

    before = shown()
    still.fault("late_buckets", "/v1/organization/usage", by_seconds=7200)
    assert before == shown()
    still.clock(advance=3600)
    assert before == shown()
    still.clock(advance=3 * 3600)
    assert before < (late := shown())
    still.clear()
    assert late < shown()


def test_a_downward_revision_shrinks_closed_buckets_alike_at_every_width(get: Get, still: SimulatorControl) -> None:
    span = {"start_time": MONTH, "end_time": MONTH + DAY}
    before = summed(rows(get("/usage/completions", **span)), "completions")
    still.fault("revise_down", "/v1/organization/usage/completions", factor=0.5)
    after = summed(rows(get("/usage/completions", **span)), "completions")
    hourly = summed(rows(get("/usage/completions", **span, bucket_width="1h")), "completions")
    assert 0.4 < after["input_tokens"] / before["input_tokens"] < 0.6
    assert after == hourly
    still.clear()
    assert before == summed(rows(get("/usage/completions", **span)), "completions")


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 401, "You didn't provide an API key"),
        ({"authorization": "Bearer sk-invalid"}, 401, "Incorrect API key provided"),
        ({"authorization": "Bearer sk-proj-0123456789"}, 403, "Missing scopes: api.usage.read"),
    ],
    ids=["no-key", "invalid-key", "project-key"],
)
def test_only_an_admin_key_may_read(
    still: SimulatorControl, facts: Facts, headers: dict[str, str], status: int, words: str
) -> None:
    reply = httpx2.get(
        f"{still.api_url}/organization/usage/completions", params={"start_time": MONTH}, headers=headers,
        trust_env=False,
    )  # fmt: skip
    assert status == reply.status_code
    assert words in reply.json()["error"]["message"]


def test_a_wrong_query_is_answered_with_the_apis_error(admin: httpx2.Client) -> None:
    reply = admin.get("/usage/completions", params={"start_time": MONTH, "limit": 99})
    expected = {
        "message": "Invalid 'limit': expected a value <= 31, but got 99 instead.",
        "type": "invalid_request_error",
        "param": "limit",
        "code": "integer_above_max_value",
    }
    assert (400, {"error": expected}) == (reply.status_code, reply.json())


def test_calls_that_were_really_made_are_counted(get: Get, still: SimulatorControl) -> None:
    still.clock(now=NOW + 40 * DAY)  # a time that no other test reads
    at = NOW + 40 * DAY
    for _ in range(3):
        body = {"model": "text-embedding-3-small", "input": "count me"}
        headers = {"authorization": "Bearer sk-test-0123456789"}
        reply = httpx2.post(f"{still.api_url}/embeddings", json=body, headers=headers, trust_env=False)
        assert reply.status_code == 200
    tokens = reply.json()["usage"]["prompt_tokens"]
    still.clock(advance=DAY)
    minute = {"start_time": at - at % 60, "end_time": at - at % 60 + 60}
    truth = still_truth(still, at - at % 60, at - at % 60 + 60, "embeddings")
    shown = rows(
        get("/usage/embeddings", **minute, bucket_width="1m", group_by=["project_id", "api_key_id", "user_id", "model"])
    )
    figures = ("api_key_id", "model", "input_tokens", "num_model_requests")
    assert sorted([row[f] for f in figures] for row in truth) == sorted([row[f] for f in figures] for row in shown)
    counted = [row for row in shown if row["model"] == "text-embedding-3-small"]
    assert sum(row["input_tokens"] for row in counted) >= 3 * tokens


def test_replies_say_that_they_are_simulated(still: SimulatorControl) -> None:
    reply = httpx2.get(f"{still.api_url}/organization/projects", headers=ADMIN, trust_env=False)
    assert reply.headers["x-simulated"] == "true"


# The cache of encoded buckets.


class Kitchen:
    """Makes buckets of ten bytes and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> bytes:
        self.made += 1
        return b"0123456789"


def test_a_bucket_is_made_once_for_each_stamp() -> None:
    cache, make = BucketCache(), Kitchen()
    for stamp in (1, 1, 2, 2, 1):
        cache.get("day", stamp, make)
    assert make.made == 3


def test_the_least_recently_used_goes_first_when_room_is_short() -> None:
    cache, make = BucketCache(most_bytes=25), Kitchen()
    for key in ("a", "b", "a", "c"):
        cache.get(key, 0, make)
    assert make.made == 3
    cache.get("a", 0, make)
    assert make.made == 3
    cache.get("b", 0, make)
    assert make.made == 4


def test_a_bucket_that_is_made_anew_takes_no_more_room() -> None:
    cache, make = BucketCache(most_bytes=25), Kitchen()
    cache.get("other", 0, make)
    for stamp in range(9):
        cache.get("day", stamp, make)
    cache.get("other", 0, make)
    assert make.made == 10


def test_a_bucket_larger_than_the_room_is_still_served() -> None:
    assert BucketCache(most_bytes=3).get("day", 0, Kitchen()) == b"0123456789"


def test_what_was_cleared_is_made_again() -> None:
    cache, make = BucketCache(), Kitchen()
    cache.get("day", 0, make)
    cache.clear()
    cache.get("day", 0, make)
    assert make.made == 2


# Decoding of usage and cost queries, and pages as JSON.

QUERY_NOW = 1795251600.0
MIDNIGHT = 1795219200
_COMPLETIONS, _IMAGES = OPERATIONS["completions"], OPERATIONS["images"]
RULES = Rules(USAGE_LIMITS, _COMPLETIONS.dimensions, _COMPLETIONS.filters, _COMPLETIONS.allowed)
IMAGES = Rules(USAGE_LIMITS, _IMAGES.dimensions, _IMAGES.filters, _IMAGES.allowed)
COSTS = Rules(COST_LIMITS, ("project_id",), {"project_ids": "project_id"}, {})


def ask(text: str, rules: Rules = RULES, now: float = QUERY_NOW) -> Query:
    return decode(QueryParams(text), rules, now)


BUCKETS = [
    (f"start_time={MIDNIGHT}", MIDNIGHT, 1),
    (f"start_time={MIDNIGHT - 86400 * 30}", MIDNIGHT - 86400 * 30, 7),
    (f"start_time={MIDNIGHT - 1}", MIDNIGHT - 86400, 2),
    (f"start_time={MIDNIGHT}&bucket_width=1h", MIDNIGHT, 10),
    (f"start_time={MIDNIGHT}&bucket_width=1m", MIDNIGHT, 60),
    (f"start_time={MIDNIGHT}&end_time={MIDNIGHT + 86400}", MIDNIGHT, 1),
    (f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT}", MIDNIGHT - 86400, 1),
    (f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT + 1}", MIDNIGHT - 86400, 2),
    (f"start_time={MIDNIGHT}&end_time={MIDNIGHT + 900 * 86400}&limit=31", MIDNIGHT, 1),
    (f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT}&bucket_width=1h&limit=168", MIDNIGHT - 86400, 24),
]


def test_buckets_lie_on_the_utc_grid() -> None:
    for text, first, count in BUCKETS:
        starts = ask(text).starts()
        assert (first, count) == (starts[0], len(starts)), text


def test_a_start_in_the_future_has_no_buckets() -> None:
    query = ask(f"start_time={MIDNIGHT + 40 * 86400}")
    assert list(query.starts()) == []
    assert query.next_page() is None


@pytest.mark.parametrize("name", ["group_by", "group_by[]"])
def test_lists_are_taken_with_and_without_brackets(name: str) -> None:
    assert ask(f"start_time=1&{name}=model&{name}=batch").group_by == {"model", "batch"}


def test_filters_are_decoded_by_their_dimension() -> None:
    query = ask("start_time=1&models=a&models[]=b&batch=true&project_ids=p")
    assert query.filters == {"model": {"a", "b"}, "batch": {True}, "project_id": {"p"}}


REFUSED = [
    ("", RULES, "start_time", "missing_required_parameter", "Missing required parameter: 'start_time'."),
    ("start_time=x", RULES, "start_time", "invalid_type", "expected an integer"),
    ("start_time=1.5", RULES, "start_time", "invalid_type", "expected an integer"),
    ("start_time=-5", RULES, "start_time", "invalid_value", "unix seconds"),
    ("start_time=1&start_time=2", RULES, "start_time", "invalid_value", "one value"),
    ("start_time=5&end_time=5", RULES, "end_time", "invalid_value", "after start_time"),
    ("start_time=5&end_time=", RULES, "end_time", "invalid_type", "expected an integer"),
    ("start_time=5&bucket_width=1w", RULES, "bucket_width", "invalid_value", "'1m', '1h', '1d'"),
    ("start_time=5&bucket_width=1h", COSTS, "bucket_width", "invalid_value", "'1d'"),
    ("start_time=5&limit=0", RULES, "limit", "integer_below_min_value", ">= 1"),
    ("start_time=5&limit=32", RULES, "limit", "integer_above_max_value", "<= 31"),
    ("start_time=5&limit=169&bucket_width=1h", RULES, "limit", "integer_above_max_value", "<= 168"),
    ("start_time=5&limit=1441&bucket_width=1m", RULES, "limit", "integer_above_max_value", "<= 1440"),
    ("start_time=5&limit=181", COSTS, "limit", "integer_above_max_value", "<= 180"),
    ("start_time=5&limit=many", RULES, "limit", "invalid_type", "expected an integer"),
    ("start_time=5&group_by=size", RULES, "group_by", "invalid_value", "'project_id'"),
    ("start_time=5&group_by=model,batch", RULES, "group_by", "invalid_value", "'model,batch'"),
    ("start_time=5&batch=yes", RULES, "batch", "invalid_value", "'true', 'false'"),
    ("start_time=5&sizes=1x1", IMAGES, "sizes", "invalid_value", "'1024x1024'"),
    ("start_time=5&models=a", COSTS, "models", "unknown_parameter", "Unknown parameter: 'models'."),
    ("start_time=5&page=page_xyz", RULES, "page", "invalid_value", "cursor"),
    ("start_time=5&page=", RULES, "page", "invalid_value", "cursor"),
    ("start_time=5&page=page_é", RULES, "page", "invalid_value", "cursor"),
]  # fmt: skip


def test_what_the_api_would_not_take_is_refused() -> None:
    for text, rules, param, code, words in REFUSED:
        with pytest.raises(ApiError) as caught:
            ask(text, rules)
        error: Any = caught.value
        expected = (400, "invalid_request_error", param, code)
        assert expected == (error.status, error.type, error.param, error.code), text
        assert words in error.message, text


@given(
    width=st.sampled_from(sorted(WIDTHS)),
    back=st.integers(1, 3_000_000),
    limit=st.integers(1, 31),
    late=st.integers(0, 100_000),
)
def test_pages_are_together_the_whole_range_once(width: str, back: int, limit: int, late: int) -> None:
    text = f"start_time={int(QUERY_NOW) - back * WIDTHS[width] // 86400}&bucket_width={width}&limit={limit}"
    query = ask(text)
    starts, cursor = [*query.starts()], query.next_page()
    expected = range(query.start, query.end, WIDTHS[width])
    for _ in range(len(expected)):
        if cursor is None:
            break
        page = ask(f"{text}&page={cursor}", now=QUERY_NOW + late)  # time goes on between pages
        starts += page.starts()
        cursor = page.next_page()
    assert cursor is None
    assert starts == [*expected]


def test_a_range_that_fills_its_page_exactly_has_no_next_page() -> None:
    text = f"start_time={MIDNIGHT - 7 * 86400}&end_time={MIDNIGHT}"
    assert ask(text).next_page() is None
    assert ask(f"{text}&limit=6").next_page() is not None


def test_a_cursor_looks_like_the_real_ones() -> None:
    cursor = ask(f"start_time={MIDNIGHT - 86400 * 30}").next_page()
    assert cursor is not None
    assert cursor.startswith("page_AAAAA")
    assert len(cursor) == 33


@pytest.mark.parametrize("change", ["&limit=3", "&group_by=model", "&bucket_width=1h", "&models=x"])
def test_a_cursor_is_good_for_its_own_query_only(change: str) -> None:
    text = f"start_time={MIDNIGHT - 86400 * 30}"
    with pytest.raises(ApiError, match="other parameters"):
        ask(f"{text}{change}&page={ask(text).next_page()}")


@given(page=st.text(max_size=60))
def test_no_cursor_breaks_the_decoder(page: str) -> None:
    with pytest.raises(ApiError):
        decode(QueryParams({"start_time": "5", "page": page}), RULES, QUERY_NOW)


def test_pages_are_joined_as_json() -> None:
    assert page_json([bucket_json(0, 60, []), bucket_json(60, 120, ["{}"])], None) == (
        b'{"object":"page","data":[{"object":"bucket","start_time":0,"end_time":60,"results":[]},'
        b'{"object":"bucket","start_time":60,"end_time":120,"results":[{}]}],"has_more":false,"next_page":null}'
    )
