# SPDX-License-Identifier: Apache-2.0
"""The usage endpoints as a table: path, fields, and the metric that each field becomes. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass

from openai_exporter.metrics import Metric, usage

PICO = 10**12
"""Estimated cost is kept in whole pico-dollars: a list price per million tokens of up to six decimals is exact."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a series.

    Attributes:
        name: its name in label `field` of the corrections.
        metric: the counter.
        source: field of the API's result; empty for what is computed from the price.
        required: whether the official description requires the field; what is optional may be absent: 0.
        unit: how many of it make one of the metric's unit.
        more: values of the metric's labels after the dimensions.
    """

    name: str
    metric: Metric
    source: str = ""
    required: bool = False
    unit: int = 1
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One usage endpoint.

    Attributes:
        name: the last part of its path, and the value of label `operation`.
        columns: its figures; those without a source come last.
        pricing: which prices apply: `tokens`, `input`, `characters`, `seconds`, `images` or none. What they do
            not know is in the last column.
    """

    name: str
    columns: tuple[Column, ...]
    pricing: str = ""

    @property
    def path(self) -> str:
        """The path below the API's root."""
        return f"/organization/usage/{self.name}"

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns that the API gives."""
        return tuple(each for each in self.columns if each.source)


_REQUESTS = Column("requests", usage.REQUESTS, "num_model_requests", required=True)
_INPUT = Column("input_tokens", usage.INPUT_TOKENS, "input_tokens", required=True)
_COST = Column("estimated_cost_usd", usage.ESTIMATED_COST, unit=PICO)
_UNPRICED = Column("unpriced_tokens", usage.UNPRICED_TOKENS)

_TOKENS = (
    _REQUESTS,
    _INPUT,
    Column("output_tokens", usage.OUTPUT_TOKENS, "output_tokens", required=True),
    Column("input_cached_tokens", usage.INPUT_CACHED_TOKENS, "input_cached_tokens"),
    Column("input_cache_write_tokens", usage.INPUT_CACHE_WRITE_TOKENS, "input_cache_write_tokens"),
    Column("audio_input_tokens", usage.AUDIO_INPUT_TOKENS, "input_audio_tokens"),
    Column("audio_output_tokens", usage.AUDIO_OUTPUT_TOKENS, "output_audio_tokens"),
    Column("image_input_tokens", usage.IMAGE_INPUT_TOKENS, "input_image_tokens"),
    Column("image_output_tokens", usage.IMAGE_OUTPUT_TOKENS, "output_image_tokens"),
    _COST,
    _UNPRICED,
)
_ONLY_INPUT = (_REQUESTS, _INPUT, _COST, _UNPRICED)


def _by_count(name: str, counted: Column, unpriced: Metric) -> Operation:
    """An endpoint that is priced by one figure: its field names the price."""
    columns = (_REQUESTS, counted, _COST, Column(f"unpriced_{counted.name}", unpriced))
    return Operation(name, columns, counted.source)


def _tool(name: str) -> Column:
    return Column("tool_calls", usage.TOOL_CALLS, "num_requests", required=True, more=(name,))


OPERATIONS: Mapping[str, Operation] = {
    each.name: each
    for each in (
        Operation("completions", _TOKENS, "tokens"),
        Operation("decisions", _TOKENS, "tokens"),
        Operation("embeddings", _ONLY_INPUT, "input"),
        Operation("moderations", _ONLY_INPUT, "input"),
        # No list has a price per image: prices of the configuration may.
        _by_count("images", Column("images", usage.IMAGES, "images", required=True), usage.UNPRICED_IMAGES),
        _by_count(
            "audio_speeches",
            Column("characters", usage.CHARACTERS, "characters", required=True),
            usage.UNPRICED_CHARACTERS,
        ),
        _by_count(
            "audio_transcriptions",
            Column("audio_seconds", usage.AUDIO_SECONDS, "seconds", required=True),
            usage.UNPRICED_AUDIO_SECONDS,
        ),
        Operation(
            "code_interpreter_sessions",
            (Column("sessions", usage.SESSIONS, "num_sessions", required=True),),
        ),
        Operation("file_search_calls", (_tool("file_search"),)),
        # num_model_requests of web searches are requests that completions count already.
        Operation("web_search_calls", (_tool("web_search"),)),
    )
}

VECTOR_STORES = "vector_stores"
"""A level and not a flow: it has no counter, see `levels.py`."""
