# SPDX-License-Identifier: Apache-2.0
"""Endpoint `models`: GET /models, with shutdown dates; free of charge."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.model import ModelCard
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting
from openai_exporter.probe.redact import MAX_LABEL

MAX_MODELS = 10_000
"""Models kept of a list; each is a few series."""


def build(setting: Setting) -> ApiCall:
    """The call."""
    return ApiCall("GET", "/models")


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    document = r.load_object(exchange)
    error = r.error_of(document)
    if error is not None:
        return Reading(error=error)
    data = r.child(document, "data", list)
    if not data:
        raise ReplyError("empty", "the list has no models")
    cards: dict[str, ModelCard] = {}
    for entry in data[:MAX_MODELS]:
        if not isinstance(entry, dict):
            raise ReplyError("wrong_shape", f"a model is {r.kind(entry)}, not an object")
        card = _card(entry)
        # Label values are bounded: two names that are the same up to there would be one series twice.
        cards.setdefault(card.id[: MAX_LABEL - 1], card)
    return Reading(text="\n".join(cards), models=tuple(cards.values()))


METHOD = Method(build, read)


def _card(entry: Mapping[str, Any]) -> ModelCard:
    name = r.child(entry, "id", str)
    if not name:
        raise ReplyError("wrong_shape", "a model has an empty id")
    created = r.count_of(entry, "created")
    if created is None:
        created = r.count_of(entry, "created_at")  # Azure
    return ModelCard(name, r.text_of(entry, "owned_by"), created, _shutdown(entry))


def _shutdown(entry: Mapping[str, Any]) -> float | None:
    given = entry.get("shutdown_date")
    if isinstance(given, str):
        try:
            day = date.fromisoformat(given)
        except ValueError:
            return None
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    # Azure says it in Unix seconds, and apart for inference and fine-tuning.
    return r.count_of(r.mapping_of(entry, "deprecation"), "inference")
