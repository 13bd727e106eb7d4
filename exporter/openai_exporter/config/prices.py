# SPDX-License-Identifier: Apache-2.0
"""Prices of your own, over the list prices: negotiated ones, and those of models that are on no list."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from openai_exporter.config.base import Day, ModelName, Section, Token

_DEAREST = 1_000_000


Usd = Annotated[float, Field(ge=0, le=_DEAREST, allow_inf_nan=False)]


class PerMillion(Section):
    """USD per million tokens, or characters, of each kind. What is left out is as on the list."""

    input: Usd | None = Field(None, description="Uncached text input tokens.")
    cached_input: Usd | None = Field(None, description="Input tokens read from the cache.")
    cache_write: Usd | None = Field(None, description="Input tokens written to the cache.")
    audio_input: Usd | None = Field(None, description="Uncached audio input tokens.")
    cached_audio_input: Usd | None = Field(None, description="Audio input tokens read from the cache.")
    image_input: Usd | None = Field(None, description="Uncached image input tokens.")
    cached_image_input: Usd | None = Field(None, description="Image input tokens read from the cache.")
    output: Usd | None = Field(None, description="Text output tokens, reasoning included.")
    audio_output: Usd | None = Field(None, description="Audio output tokens.")
    image_output: Usd | None = Field(None, description="Image output tokens.")
    characters: Usd | None = Field(None, description="Characters turned into speech.")


class Price(Section):
    """What a model costs you. The first entry that matches counts; what none matches is priced by the list."""

    model: ModelName = Field(description="Model as usage names it; `*` stands for any characters, as in `gpt-5.4*`.")
    batch: bool | None = Field(None, description="Only usage of the Batch API, or only other usage; default is both.")
    service_tier: Token | None = Field(None, description="Only this service tier, such as `priority`; default is all.")
    since: Day | None = Field(None, description="Only usage from this UTC day on, such as 2026-11-01; default is all.")
    usd_per_million: PerMillion | None = Field(None, description="USD per million tokens or characters, by kind.")
    usd_per_minute: Usd | None = Field(None, description="USD per minute of audio transcribed.")
    usd_per_image: Usd | None = Field(
        None, description="USD per image, of usage endpoint images grouped by model; no list has one."
    )
    list_price_ratio: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None, description="What you pay of the list price: 0.85 is a discount of 15 %."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        own = any(each is not None for each in (self.usd_per_million, self.usd_per_minute, self.usd_per_image))
        if own and self.list_price_ratio is not None:
            raise ValueError("gives prices and list_price_ratio; keep one of them")
        if self.list_price_ratio is None and not own:
            raise ValueError("has no price; give usd_per_million, usd_per_minute, usd_per_image or list_price_ratio")
        if self.usd_per_million is not None and self.usd_per_million == PerMillion():
            raise ValueError("usd_per_million is empty; give a price such as input: 0.25")
        return self

    @property
    def since_seconds(self) -> int:
        """The start of day `since` in Unix seconds; 0 when it is not given."""
        if self.since is None:
            return 0
        return int(datetime.combine(date.fromisoformat(self.since), datetime.min.time(), UTC).timestamp())

    def matches(self, model: str, *, batch: bool, service_tier: str, day: int) -> bool:
        """Whether it prices usage of a model; `day` in Unix seconds."""
        return (
            self.batch in (None, batch)
            and self.service_tier in (None, service_tier)
            and self.since_seconds <= day
            and named(self.model, model)
        )

    def covers(self, other: "Price") -> bool:
        """Whether it matches everything that the other one matches."""
        return (
            self.batch in (None, other.batch)
            and self.service_tier in (None, other.service_tier)
            and self.since_seconds <= other.since_seconds
            and named(self.model, other.model)
        )


class PriceFile(Section):
    """The content of a price file."""

    prices: tuple[Price, ...] = Field(strict=False)


def named(pattern: str, model: str) -> bool:
    """Whether a model, or every model of another pattern, is named by a pattern."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model) is not None
