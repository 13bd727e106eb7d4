# SPDX-License-Identifier: Apache-2.0
"""Figures of a group of usage over some days, and their ratios. Exact: whole numbers and Decimal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from openai_exporter.usage.operations import PICO

COUNTS = (
    "requests", "input_tokens", "input_cached_tokens", "output_tokens",
    "images", "characters", "audio_seconds", "tool_calls", "sessions",
    "unpriced_tokens", "unpriced_images", "unpriced_characters", "unpriced_audio_seconds",
)  # fmt: skip
"""The counts that are reported, by the names of the usage columns."""

UNPRICED = {
    "unpriced_tokens": "tokens", "unpriced_images": "images", "unpriced_characters": "characters",
    "unpriced_audio_seconds": "seconds of audio",
}  # fmt: skip
"""Counts of what is of models without a price, and what they count."""
_WITHOUT_PRICE = (*UNPRICED, "tool_calls", "sessions")
"""Counts of what has no list price."""


@dataclass(slots=True)
class Tally:
    """Figures that are being added up; `pico` is the list price in pico-dollars."""

    usd: Decimal = Decimal(0)
    pico: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add another one."""
        self.usd += other.usd
        self.pico += other.pico
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures that are complete.

    Attributes:
        billed: USD of the costs endpoint; None where it cannot tell.
        listed: USD at list prices, from usage.
        counts: by the names in `COUNTS`; what is missing is 0.
    """

    billed: Decimal | None
    listed: Decimal
    counts: Mapping[str, int]

    @classmethod
    def of(cls, tally: Tally, *, billed: bool) -> "Figures":
        """From a tally; `billed` says whether costs were read."""
        return cls(tally.usd if billed else None, Decimal(tally.pico) / PICO, dict(tally.counts))

    def count(self, name: str) -> int:
        """One of the counts."""
        return self.counts.get(name, 0)

    @property
    def money(self) -> Decimal:
        """What it cost: as billed where that is known, else at list prices."""
        return self.listed if self.billed is None else self.billed

    @property
    def list_price(self) -> Decimal | None:
        """USD at list prices; None where nothing of what was used or billed has a price on the list."""
        unknown = not self.listed and (self.billed or any(map(self.count, _WITHOUT_PRICE)))
        return None if unknown else self.listed

    @property
    def output_per_input(self) -> float | None:
        """Output tokens per input token."""
        return _ratio(self.count("output_tokens"), self.count("input_tokens"))

    @property
    def cached_share(self) -> float | None:
        """The part of the input tokens that came from the cache."""
        return _ratio(self.count("input_cached_tokens"), self.count("input_tokens"))

    @property
    def tokens_per_request(self) -> float | None:
        """Input and output tokens per request; None where what is used has no tokens, such as speech."""
        tokens = self.count("input_tokens") + self.count("output_tokens")
        return _ratio(tokens, self.count("requests")) if tokens else None


def change(now: Decimal, before: Decimal) -> float | None:
    """How much more it is, as a ratio; None where there was nothing before."""
    return None if before <= 0 else float(now / before - 1)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
