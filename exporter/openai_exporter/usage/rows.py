# SPDX-License-Identifier: Apache-2.0
"""The usage endpoints as a table; a result of a bucket decoded strictly, and its estimated cost."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from openai_exporter.config.sections import GROUPABLE
from openai_exporter.metrics import Metric, usage
from openai_exporter.prices import PICO, TOKEN_KINDS, PriceTable, Rates, Situation, priced
from openai_exporter.usage.ledger import Labels, Row, Values, day_start

PRICED_BY = ("model", "batch", "service_tier")


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
    def priced_by(self) -> tuple[str, ...]:
        """The dimensions that its price depends on: it is always read by them, whatever is shown."""
        return tuple(name for name in PRICED_BY if name in GROUPABLE[self.name]) if self.pricing else ()

    def read_by(self, shown: tuple[str, ...]) -> tuple[str, ...]:
        """The dimensions to ask the API for, so that rows have the labels shown and one price each."""
        return tuple(dict.fromkeys((*shown, *self.priced_by)))

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns that the API gives."""
        return tuple(column for column in self.columns if column.source)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The places of tokens among the columns; none where it counts something else."""
        kinds = (usage.INPUT_TOKENS, usage.OUTPUT_TOKENS)
        return tuple(place for place, column in enumerate(self.columns) if column.metric in kinds)

    def place(self, metric: Metric) -> int:
        """The place of a metric among the columns."""
        return [column.metric for column in self.columns].index(metric)


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


def _by_count(name: str, figure: str, metric: Metric, source: str, unpriced: Metric) -> Operation:
    """An endpoint that is priced by one figure: its field names the price."""
    counted = Column(figure, metric, source, required=True)
    return Operation(name, (_REQUESTS, counted, _COST, Column(f"unpriced_{figure}", unpriced)), source)


def _tool(name: str) -> Column:
    return Column("tool_calls", usage.TOOL_CALLS, "num_requests", required=True, more=(name,))


OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("completions", _TOKENS, "tokens"),
        Operation("decisions", _TOKENS, "tokens"),
        Operation("embeddings", _ONLY_INPUT, "input"),
        Operation("moderations", _ONLY_INPUT, "input"),
        # No list has a price per image: prices of the configuration may.
        _by_count("images", "images", usage.IMAGES, "images", usage.UNPRICED_IMAGES),
        _by_count("audio_speeches", "characters", usage.CHARACTERS, "characters", usage.UNPRICED_CHARACTERS),
        _by_count(
            "audio_transcriptions", "audio_seconds", usage.AUDIO_SECONDS, "seconds", usage.UNPRICED_AUDIO_SECONDS
        ),
        Operation("code_interpreter_sessions", (Column("sessions", usage.SESSIONS, "num_sessions", required=True),)),
        Operation("file_search_calls", (_tool("file_search"),)),
        # num_model_requests of web searches are requests that completions count already.
        Operation("web_search_calls", (_tool("web_search"),)),
    )
}

VECTOR_STORES = "vector_stores"
"""A level and no counter, so it is not in the table."""


class MalformedError(ValueError):
    """The answer is not what was agreed; the message names the place."""


MOST = 10**15
"""Figures beyond this are taken for a fault; it keeps sums and costs within what is exact everywhere."""

_WHOLE = {int}
_USUAL = {int, type(None)}

Cost = Callable[[Mapping[str, Any], int], tuple[int, ...]]


class RowDecoder:
    """Turns results of one endpoint into rows: labels and whole numbers. Unknown fields are ignored.

    Args:
        group_by: dimensions, in the order of the labels.
        cost: from a result and its bucket's start to the columns that are computed.

    Attributes:
        negative: results with a figure below 0 since `begin`.
        example: the first of these, for a person.
    """

    def __init__(self, operation: Operation, group_by: tuple[str, ...], cost: Cost) -> None:
        self._group_by = group_by
        self._sources = tuple((column.source, column.required) for column in operation.sources)
        self._names = tuple(column.source for column in operation.sources)
        self._cost = cost
        self._known: dict[Labels, Labels] = {}
        self.negative = 0
        self.example = ""

    def begin(self) -> None:
        """Forget the negative results of the reading before."""
        self.negative, self.example = 0, ""

    def decode(self, result: Any, start: int) -> Row:
        """Labels and values of one result.

        Raises:
            MalformedError: names the field.
        """
        if not isinstance(result, dict):
            raise MalformedError(f"expected an object, got {abbreviated(result)}")
        # Most dimensions are text, and most figures there and sound: what is not is looked at one by one.
        get = result.get
        labels = tuple([value if type(value := get(name)) is str else label(result, name) for name in self._group_by])
        values: tuple[Any, ...] = tuple(map(get, self._names))
        types = set(map(type, values))
        if types != _WHOLE or min(values) < 0 or max(values) > MOST:
            values = tuple([whole(result, name, required) for name, required in self._sources])
            if not types <= _USUAL:
                result = {**result, **dict(zip(self._names, values, strict=True))}
            if values and min(values) < 0:
                self._note(start, labels, values)
        return self._known.setdefault(labels, labels), values + self._cost(result, start)

    def _note(self, start: int, labels: Labels, values: Values) -> None:
        self.negative += 1
        if not self.example:
            figures = {name: value for (name, _), value in zip(self._sources, values, strict=True) if value < 0}
            named = dict(zip(self._group_by, labels, strict=True))
            self.example = f"bucket {start} of {named}: {figures}"


def decode_bytes(result: Any, group_by: tuple[str, ...]) -> tuple[str, int]:
    """Project, where grouped so, and stored bytes of one result of vector stores.

    Raises:
        MalformedError: names the field.
    """
    if not isinstance(result, dict):
        raise MalformedError(f"expected an object, got {abbreviated(result)}")
    return "".join(label(result, name) for name in group_by), whole(result, "usage_bytes", required=True)


def label(result: Mapping[str, Any], name: str) -> str:
    """A dimension as a label value; null and absent are empty."""
    value = result.get(name)
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise MalformedError(f"{name}: expected a string or null, got {abbreviated(value)}")


def whole(result: Mapping[str, Any], name: str, required: bool = False) -> int:
    """A whole number, however it is written; null and absent are 0 where the field is optional."""
    value = result.get(name)
    if value is None and not required:
        return 0
    if value is None:
        raise MalformedError(f"{name}: is missing")
    return counted(value, name)


def counted(value: object, place: str, what: str = f"a whole number of at most {MOST:.0e}") -> int:
    """A whole number: `1000`, `1000.0` and `"1000"` are the same.

    Raises:
        MalformedError: not a number, not whole, or beyond 10^15.
    """
    if type(value) is not int:
        exact = _exact(value)
        value = int(exact) if exact is not None and abs(exact) <= MOST and exact == int(exact) else value
    if type(value) is int and -MOST <= value <= MOST:
        return value
    raise MalformedError(f"{place}: expected {what}, got {abbreviated(value)}")


def abbreviated(value: object) -> str:
    """A value as errors show it."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,40})?([eE][+-]?\d{1,4})?", re.ASCII)
_MOST = Decimal(10) ** 12


def _exact(value: object) -> Decimal | None:
    """The number that is written, as a number or as text; None where none is."""
    if isinstance(value, str):
        value = Decimal(value.strip()) if _NUMBER.fullmatch(value.strip()) else None
    elif isinstance(value, float):
        value = Decimal(repr(value))
    elif type(value) is int:
        value = Decimal(value)
    return value if isinstance(value, Decimal) and value.is_finite() else None


def amount(value: object, place: str) -> Decimal:
    """An amount, exactly as written: a number by the API's description, a numeric string in practice.

    Raises:
        MalformedError: not a number, or beyond 10^12.
    """
    exact = _exact(value)
    if exact is not None and abs(exact) <= _MOST:
        return exact
    raise MalformedError(f"{place}: expected an amount as a number or a numeric string, got {abbreviated(value)}")


CURRENCY = "usd"


@dataclass(frozen=True, slots=True)
class CostRow:
    """A billed amount.

    Attributes:
        labels: in the order of the dimensions asked for.
        usd: None when the amount is in another currency.
        currency: in lower case.
        quantity, unit: what was billed, where the API says so.
    """

    labels: Labels
    usd: Decimal | None
    currency: str = CURRENCY
    quantity: Decimal | None = None
    unit: str = ""


def decoded(result: Any, group_by: tuple[str, ...], *, quantities: bool = False) -> CostRow:
    """A result of a bucket; `quantities` asks for what was billed, too.

    Raises:
        MalformedError: names the field.
    """
    if not isinstance(result, Mapping):
        raise MalformedError(f"expected an object, got {abbreviated(result)}")
    labels = tuple([label(result, name) for name in group_by])
    money = result.get("amount")
    if not isinstance(money, Mapping):
        raise MalformedError(f"amount: expected an object, got {abbreviated(money)}")
    currency = label(money, "currency").lower() or CURRENCY
    value = amount(money.get("value"), "amount.value")
    row = CostRow(labels, value if currency == CURRENCY else None, currency)
    if not quantities or result.get("quantity") is None:
        return row
    return replace(row, quantity=amount(result["quantity"], "quantity"), unit=label(result, "quantity_unit"))


# A row sums many requests. Prices that depend on the length of one request (long context) are therefore
# chosen by the average request of the row, never by the sum.

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
        return priced((count,), rates) if rates else (0, count)

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
        rates: Any = self._rates(result, start, tokens // max(1, result["num_model_requests"]))
        if not rates:
            return 0, tokens + output
        try:
            cost = uncached * rates[0] + output * rates[_INPUTS]
            if cached or written:
                cost += cached * rates[_CACHED] + written * rates[_WRITTEN]
        except TypeError:  # one of the kinds has no price
            return self._split(result, start)
        return cost, 0

    def _split(self, result: Mapping[str, Any], start: int) -> tuple[int, ...]:
        counts = split(result)
        average = sum(counts[:_INPUTS]) // max(1, result["num_model_requests"])
        rates = self._rates(result, start, average)
        return priced(counts, rates) if rates else (0, sum(counts))

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
