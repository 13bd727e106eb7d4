# SPDX-License-Identifier: Apache-2.0
"""The estimated cost of usage rows at list prices; what is billed is in the costs.

A row sums many requests. Prices that depend on the length of one request (long context) are therefore
chosen by the average request of the row, never by the sum.
"""

from collections.abc import Callable, Mapping
from operator import mul
from typing import Any

from openai_exporter.prices import TOKEN_KINDS, PriceTable, Rates, Situation
from openai_exporter.usage.rows import label, whole
from openai_exporter.usage.window import day_start

_INPUTS = TOKEN_KINDS.index("output")
_MOST_KNOWN = 20_000

_CACHED, _WRITTEN = TOKEN_KINDS.index("cached_input"), TOKEN_KINDS.index("cache_write")
_OTHER_KINDS = (
    "input_audio_tokens", "input_image_tokens", "output_audio_tokens", "output_image_tokens",
    "input_cached_audio_tokens", "input_cached_image_tokens",
)  # fmt: skip
"""Fields of a result that are 0 or absent where all is text."""


class Estimator:
    """The computed columns of a row: its list price in pico-dollars, and what of it has no price.

    Args:
        pricing: as `Operation.pricing`.
        table: the price table; asked for at the first row.
    """

    def __init__(self, pricing: str, table: Callable[[], PriceTable]) -> None:
        self._pricing = pricing
        self._kinds = TOKEN_KINDS if pricing == "tokens" else (pricing,)
        self._table = table
        self._known: dict[tuple[Any, Any, Any, int], tuple[int, Rates]] = {}

    def __call__(self, result: Mapping[str, Any], start: int) -> tuple[int, ...]:
        """Price a result of a bucket that begins at `start`."""
        if self._pricing == "tokens":
            return self._tokens(result, start)
        if not self._pricing:
            return ()
        count = whole(result, "input_tokens" if self._pricing == "input" else self._pricing)
        rates = self._rates(result, start)
        return (count * rates[0], 0) if rates else (0, count)

    def _tokens(self, result: Mapping[str, Any], start: int) -> tuple[int, ...]:
        if any(map(result.get, _OTHER_KINDS)):
            return self._split(result, start)
        # All of it is text, as most is: the same sums as below, without what is 0.
        get = result.get
        tokens, output = result["input_tokens"], result["output_tokens"]
        cached, written = get("input_cached_tokens") or 0, get("input_cache_write_tokens") or 0
        uncached = tokens - cached - written
        if uncached < 0 or cached < 0 or output < 0:
            return self._split(result, start)
        rates = self._rates(result, start, tokens // max(1, result["num_model_requests"]))
        if not rates:
            return 0, tokens + output
        cost = uncached * rates[0] + output * rates[_INPUTS]
        if cached or written:
            cost += cached * rates[_CACHED] + written * rates[_WRITTEN]
        return cost, 0

    def _split(self, result: Mapping[str, Any], start: int) -> tuple[int, ...]:
        counts = split(result)
        average = sum(counts[:_INPUTS]) // max(1, result["num_model_requests"])
        rates = self._rates(result, start, average)
        return (sum(map(mul, counts, rates)), 0) if rates else (0, sum(counts))

    def _rates(self, result: Mapping[str, Any], start: int, average: int = 0) -> Rates:
        """The rates of a row; those of requests of usual length are kept at hand."""
        get = result.get
        key = (get("model"), get("batch"), get("service_tier"), start)
        try:
            known = self._known.get(key)
        except TypeError:  # one of them is no text: label() says which
            known = None
        if known is None:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            model = label(result, "model")
            limit, rates = self._table().long_context(model), self._looked_up(result, start, 0)
            known = self._known[key] = (limit, rates)
        return known[1] if average <= known[0] else self._looked_up(result, start, average)

    def _looked_up(self, result: Mapping[str, Any], start: int, average: int) -> Rates:
        situation = Situation(result.get("batch") is True, label(result, "service_tier"), day_start(start), average)
        return self._table().rates(label(result, "model"), self._kinds, situation)


def split(result: Mapping[str, Any]) -> tuple[int, ...]:
    """Tokens by kind, in the order of `TOKEN_KINDS`; each token is in one kind only.

    input_tokens includes cached and cache-write tokens of every modality; input_audio_tokens and
    input_image_tokens are uncached only (official OpenAPI description). What is left over is text.

    Args:
        result: of which the columns of its operation are decoded, and so known to be whole numbers.

    Raises:
        MalformedError: one of the other fields is no whole number.
    """
    # Absent and null are 0; the check of each field that is a column is made once, when the row is decoded.
    get = result.get
    cached_audio = whole(result, "input_cached_audio_tokens")
    cached_image = whole(result, "input_cached_image_tokens")
    cached, written = get("input_cached_tokens") or 0, get("input_cache_write_tokens") or 0
    audio, image = get("input_audio_tokens") or 0, get("input_image_tokens") or 0
    output_audio, output_image = get("output_audio_tokens") or 0, get("output_image_tokens") or 0
    return (
        max(0, result["input_tokens"] - cached - written - audio - image),
        max(0, cached - cached_audio - cached_image),
        written,
        audio,
        cached_audio,
        image,
        cached_image,
        max(0, result["output_tokens"] - output_audio - output_image),
        output_audio,
        output_image,
    )
