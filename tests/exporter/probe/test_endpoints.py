# SPDX-License-Identifier: Apache-2.0
"""Shutdown dates of OpenAI and Azure, and lists that are too long."""

from typing import Any

import pytest

from openai_exporter.model import Endpoint, ModelCard
from openai_exporter.probe.endpoints import MAX_MODELS, read_reply
from tests.exporter.probe.exchanges import exchange, setting

ABOUT = setting(Endpoint.MODELS, model="")


def cards(*entries: dict[str, Any]) -> tuple[ModelCard, ...]:
    return read_reply(exchange({"object": "list", "data": list(entries)}), ABOUT).models


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"shutdown_date": "2026-12-11"}, 1_796_947_200.0),
        ({"shutdown_date": None}, None),
        ({"shutdown_date": "soon"}, None),
        ({"shutdown_date": 5}, None),
        ({}, None),
        ({"deprecation": {"fine_tune": 1, "inference": 1_796_947_200}}, 1_796_947_200.0),
        ({"deprecation": "never"}, None),
    ],
)
def test_the_shutdown_is_midnight_utc_of_its_date(entry: dict[str, Any], expected: float | None) -> None:
    (card,) = cards({"id": "a", **entry})
    assert expected == card.shutdown_timestamp


def test_azure_names_the_time_of_creation_otherwise() -> None:
    assert cards({"id": "a", "created_at": 7}) == (ModelCard("a", "", 7),)
    assert cards({"id": "a", "created": 5, "owned_by": "me"}) == (ModelCard("a", "me", 5),)


def test_a_model_that_is_listed_twice_counts_once() -> None:
    assert 1 == len(cards({"id": "a"}, {"id": "a"}))


def test_a_list_is_cut_at_its_bound() -> None:
    assert MAX_MODELS == len(cards(*({"id": f"m{number}"} for number in range(MAX_MODELS + 5))))
