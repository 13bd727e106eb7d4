# SPDX-License-Identifier: Apache-2.0
"""Faults in force: strict decoding, matching, probability and expiry."""

import random
from typing import Any

import pytest

from openai_simulator.faults import KINDS, Faults, InvalidFaultError, LateBuckets, Outage, Status

CHAT = "/v1/chat/completions"


class Real:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def real() -> Real:
    return Real()


@pytest.fixture
def faults(real: Real) -> Faults:
    return Faults(random.Random(1), real)


def test_each_kind_needs_no_more_than_its_name(faults: Faults) -> None:
    for kind, cls in KINDS.items():
        fault_id = faults.add({"kind": kind})
        fault = faults.first(CHAT, cls)
        assert fault is not None, kind
        assert (fault.id, fault.kind, fault.path, fault.model) == (fault_id, kind, "*", None)


def test_all_documented_kinds_are_there() -> None:
    documented = (
        "latency first_token_latency status insufficient_quota rate_limit drip hang reset truncate "
        "malformed_json html wrong_types empty stream_error no_usage reasoning_only huge missing_headers "
        "page_loop late_buckets revise_down outage missing_fields odd_date short_pages repeated_buckets lost_buckets "
        "null_labels"
    )
    assert set(KINDS) == set(documented.split())


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "kind: None is not a kind of fault; allowed: drip, "),
        ({"kind": "explode"}, "kind: 'explode' is not a kind of fault; allowed: drip, "),
        (
            {"kind": "drip", "speed": 1},
            "drip: 'speed' not known; allowed: kind, path, model, probability, seconds, interval_seconds, bytes, part",
        ),
        ({"kind": "drip", "id": "x"}, "drip: 'id' not known; allowed: kind, "),
        ({"kind": "status", "status": 200}, "status.status: Input should be greater than or equal to 400"),
        ({"kind": "status", "probability": 2}, "status.probability: Input should be less than or equal to 1"),
        ({"kind": "hang", "when": "later"}, "hang.when: Input should be 'before_headers' or 'mid_body'"),
        ({"kind": "latency", "seconds": 0}, "latency.seconds: Input should be greater than 0, got 0"),
        ({"kind": "insufficient_quota", "code": "broke"}, "insufficient_quota.code: Input should be "),
    ],
)
def test_a_wrong_description_names_the_place_and_what_is_allowed(
    faults: Faults, description: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidFaultError) as caught:
        faults.add(description)
    assert str(caught.value).startswith(message)
    assert faults.all() == []


def test_a_path_is_itself_a_prefix_of_segments_or_a_glob(faults: Faults) -> None:
    for pattern, path, matches in (
        ("*", CHAT, True),
        (CHAT, CHAT, True),
        ("/v1/chat", CHAT, True),
        ("/v1/chat/", CHAT, True),
        ("/v1/ch", CHAT, False),
        ("/v1/chat/completions/more", CHAT, False),
        ("/v1/*/completions", CHAT, True),
        ("*/embeddings", CHAT, False),
        ("/v1/organization", "/v1/organization/usage/completions", True),
    ):
        faults.clear()
        faults.add({"kind": "empty", "path": pattern})
        assert bool(faults.matching(path)) is matches, (pattern, path)


@pytest.mark.parametrize(
    ("scope", "struck"),
    [
        ("all", {"/v1/models", "/v1/organization/costs", "/status/api/v2/summary.json", "/openai/models"}),
        ("api", {"/v1/models", "/v1/organization/costs", "/openai/models"}),
        ("inference", {"/v1/models", "/openai/models"}),
        ("organization", {"/v1/organization/costs"}),
    ],
)
def test_an_outage_has_a_scope(faults: Faults, scope: str, struck: set[str]) -> None:
    faults.add({"kind": "outage", "scope": scope})
    paths = ("/v1/models", "/v1/organization/costs", "/status/api/v2/summary.json", "/openai/models")
    assert {path for path in paths if faults.first(path, Outage)} == struck


def test_a_fault_for_a_model_strikes_that_model_only(faults: Faults) -> None:
    faults.add({"kind": "status", "model": "gpt-6-*"})
    assert [fault.kind for fault in faults.struck(CHAT, "gpt-6-luna")] == ["status"]
    assert faults.struck(CHAT, "gpt-4o-mini") == []
    assert faults.struck(CHAT, None) == []


def test_a_fault_ends_after_its_seconds(faults: Faults, real: Real) -> None:
    faults.add({"kind": "status", "seconds": 10})
    real.now = 9.9
    assert len(faults.all()) == 1
    real.now = 10
    assert faults.all() == []


def test_the_probability_is_drawn_from_the_seeded_generator(real: Real) -> None:
    def strikes() -> list[bool]:
        faults = Faults(random.Random(42), real)
        faults.add({"kind": "status", "probability": 0.25})
        return [bool(faults.struck(CHAT, None)) for _ in range(400)]

    first = strikes()
    assert first == strikes()
    assert 70 <= sum(first) <= 130


def test_the_newest_fault_of_a_kind_wins_with_its_parameters(faults: Faults) -> None:
    faults.add({"kind": "late_buckets", "by_seconds": 10})
    faults.add({"kind": "late_buckets", "by_seconds": 20})
    found = faults.first("/v1/organization/costs", LateBuckets)
    assert found is not None
    assert found.by_seconds == 20
    assert faults.first(CHAT, Status) is None


def test_one_or_all_can_be_ended(faults: Faults) -> None:
    first = faults.add({"kind": "status"})
    faults.add({"kind": "empty"})
    faults.add({"kind": "html"})
    assert faults.remove(first)
    assert not faults.remove(first)
    assert faults.clear() == 2
    assert faults.all() == []
