# SPDX-License-Identifier: Apache-2.0
"""List prices per unit, from the genai-prices package, for one model, tier and day. Knows no line items.

Long-context rates are left out on purpose: every simulated request is far below their threshold, and a sum
of many requests must not be priced like one long request.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

_SAMPLE = 1000
_EXACT_TO = Decimal("1e-18")  # prices per hour do not always divide evenly into seconds
_SAMPLES: Mapping[str, Mapping[str, int]] = {
    "input": {"input_tokens": _SAMPLE},
    "cached input": {"input_tokens": _SAMPLE, "cache_read_tokens": _SAMPLE},
    "cache write": {"input_tokens": _SAMPLE, "cache_write_tokens": _SAMPLE},
    "output": {"output_tokens": _SAMPLE},
    "audio input": {"input_tokens": _SAMPLE, "input_audio_tokens": _SAMPLE},
    "cached audio input": {
        "input_tokens": _SAMPLE,
        "cache_read_tokens": _SAMPLE,
        "input_audio_tokens": _SAMPLE,
        "cache_audio_read_tokens": _SAMPLE,
    },
    "audio output": {"output_tokens": _SAMPLE, "output_audio_tokens": _SAMPLE},
    "image input": {"input_tokens": _SAMPLE, "input_image_tokens": _SAMPLE},
    "cached image input": {
        "input_tokens": _SAMPLE,
        "cache_read_tokens": _SAMPLE,
        "input_image_tokens": _SAMPLE,
        "cache_image_read_tokens": _SAMPLE,
    },
    "image output": {"output_tokens": _SAMPLE, "output_image_tokens": _SAMPLE},
    "characters": {"input_characters": _SAMPLE},
    "transcription": {"audio_seconds": _SAMPLE, "input_audio_seconds": _SAMPLE},
}
KINDS = tuple(_SAMPLES)
_units: dict[tuple[str, str], Decimal] = {}


def unit_price(model: str, kind: str, batch: bool, service_tier: str | None, day: int) -> Decimal | None:
    """USD per unit (token, character or second) on the UTC day that starts at `day`; None when not listed.

    `kind` is one of KINDS.
    """
    found = _price(model, batch, service_tier, day)
    if found is None:
        return None
    name, price = found
    if (name, kind) not in _units:
        total: Decimal = price.calc_price(Usage(**_SAMPLES[kind]))["total_price"] / _SAMPLE
        _units[name, kind] = total if total == total.quantize(_EXACT_TO) else total.quantize(_EXACT_TO)
    return _units[name, kind]


@lru_cache(maxsize=65_536)
def _price(model: str, batch: bool, service_tier: str | None, day: int) -> tuple[str, ModelPrice] | None:
    """The model's price table on a day, and a name that equal tables share."""
    context = {"processing": "batch"} if batch else {"service_tier": service_tier} if service_tier else None
    try:
        _, info = get_snapshot().find_provider_model(model, None, "openai", None)
    except LookupError:
        return None
    price = info.get_prices(datetime.fromtimestamp(day, UTC), context)
    return repr(price), price
