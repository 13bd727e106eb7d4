# SPDX-License-Identifier: Apache-2.0
"""Snapshots and line items are joined to their models; what cannot be told is left alone."""

import pytest

from openai_exporter.usage.lineitems import model_of
from openai_exporter.usage.snapshots import limited_as, undated


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.4", "gpt-5.4"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("text-embedding-3-small", "text-embedding-3-small"),
    ],
)
def test_the_alias_of_a_snapshot_is_its_name_without_the_date(model: str, alias: str) -> None:
    assert undated(model) == alias


@pytest.mark.parametrize(
    ("model", "known", "limit"),
    [
        ("gpt-5.4-2026-03-05", {"gpt-5.4"}, "gpt-5.4"),
        ("gpt-5.4-2026-03-05", {"gpt-5.4", "gpt-5.4-2026-03-05"}, "gpt-5.4-2026-03-05"),
        ("gpt-5.4-2026-03-05", (), "gpt-5.4"),
        ("gpt-4-0613", {"gpt-4"}, "gpt-4"),
        ("gpt-4-0613", (), "gpt-4-0613"),
        ("omni-moderation-2024-09-26", {"omni-moderation-latest"}, "omni-moderation-latest"),
        ("ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7", {"gpt-5.4-nano"}, "gpt-5.4-nano"),
        ("ft:gpt-5.4-nano-2026-03-17:acme::Bq7", (), "gpt-5.4-nano"),
        ("", (), ""),
    ],
)
def test_a_model_is_held_to_the_limit_of_what_it_is_made_of(model: str, known: set[str], limit: str) -> None:
    assert limited_as(model, known) == limit


MODELS = (
    "gpt-5.4-2026-03-05",
    "gpt-5-mini-2025-08-07",
    "gpt-5-mini-2026-01-01",
    "gpt-6-luna",
    "ft:x:acme::1",
)


@pytest.mark.parametrize(
    ("line_item", "model"),
    [
        ("gpt-5.4-2026-03-05, cached input", "gpt-5.4-2026-03-05"),
        ("gpt-6-luna, input_tokens", "gpt-6-luna"),
        ("gpt-6-luna, output, priority", "gpt-6-luna"),
        ("ft:x:acme::1, output", "ft:x:acme::1"),
        ("gpt-5.4, input", "gpt-5.4-2026-03-05"),
        ("gpt-5-mini, input", None),
        ("gpt-6-luna", None),
        ("gpt-6-luna, images", "gpt-6-luna"),
        ("web search tool calls", None),
        ("", None),
    ],
)
def test_a_line_item_is_for_the_model_that_it_begins_with(line_item: str, model: str | None) -> None:
    assert model_of(line_item, MODELS) == model
