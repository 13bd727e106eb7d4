# SPDX-License-Identifier: Apache-2.0
"""The models: what exists when, and that each one has a price."""

import pytest
from genai_prices import Usage, calc_price

from openai_simulator.catalogue import MODELS, Catalogue
from openai_simulator.clock import SimClock, parse_time
from openai_simulator.errors import ApiError
from tests.simulator.conformance import Facts


def catalogue(moment: str) -> Catalogue:
    return Catalogue(SimClock(parse_time(moment), 0))


def test_each_model_conforms_and_is_known_to_the_price_list(facts: Facts) -> None:
    for model in MODELS.values():
        assert facts.check("model", model.described()) == [], model.id
        usage = Usage(input_tokens=1_000, output_tokens=100)
        price = calc_price(usage, model.snapshot, provider_id="openai")
        assert price.total_price > 0 or model.kind not in ("chat", "embedding"), model.id


def test_each_snapshot_is_a_model_itself_with_the_same_end() -> None:
    for model in MODELS.values():
        snapshot = MODELS[model.snapshot]
        expected = (model.snapshot, model.shutdown_date)
        assert (snapshot.snapshot, snapshot.shutdown_date) == expected, model.id


def test_a_model_is_gone_from_its_shutdown_date() -> None:
    assert catalogue("2026-12-10T23:59:59Z").exists("gpt-5-mini")
    assert not catalogue("2026-12-11T00:00:00Z").exists("gpt-5-mini")
    with pytest.raises(ApiError) as caught:
        catalogue("2026-12-11").find("gpt-5-mini-2025-08-07")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_the_list_holds_what_exists_and_nothing_else() -> None:
    listed = {model.id for model in catalogue("2027-02-01").listed()}
    assert {"gpt-6-luna", "gpt-5.4-nano", "omni-moderation-latest"} <= listed
    assert not {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-5", "tts-1", "o3"} & listed


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ApiError, match="`text-embedding-3-small` is not a chat model") as caught:
        catalogue("2026-11-21").of_kind("text-embedding-3-small", "chat", "/v1/chat/completions")
    assert caught.value.status == 404
