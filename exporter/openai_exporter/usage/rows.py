# SPDX-License-Identifier: Apache-2.0
"""One result of a usage or costs bucket, decoded strictly; and the usage endpoints as a table."""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from openai_exporter.metrics import Metric, usage
from openai_exporter.prices.listed import PICO
from openai_exporter.usage.ledger import Labels, Values

# The usage endpoints as a table: path, fields, and the metric that each field becomes. Pure data.


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

# JSON read while it arrives, value by value, so that a page of any size needs little memory and no long pause.
# Decoding a page of many megabytes at once would hold the interpreter lock for a noticeable time.

_BLANKS = " \t\n\r"
_BLANK = re.compile(f"[{_BLANKS}]*")
_MOST_OF_A_VALUE = 1 << 20
_ALLOWANCE = 8 << 20
_PER_VALUE = 8 << 10


class MalformedError(ValueError):
    """The answer is not what was agreed; the message names the place."""


class TooLargeError(ValueError):
    """The answer is larger than what it holds can explain."""


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} is not JSON")


# Money stays decimal from the first byte on.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=Decimal)


class JsonText:
    """A place in a JSON text that arrives in pieces of UTF-8."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._size = 0
        self._values = 0

    def value(self) -> Any:
        """The next value, whole.

        Raises:
            MalformedError: it is not JSON, or the text ends within it.
            TooLargeError: it is larger than 1 MiB, or the text is much larger than its values.
        """
        self._peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._more():
                    continue
                raise self._broken() from None
            except (RecursionError, ArithmeticError, ValueError) as error:
                raise MalformedError(f"the answer cannot be decoded: {error}") from None
            if end < len(self._text) or not self._more():
                break
        self._at = end
        self._values += 1
        return found

    def members(self, place: str) -> Iterator[str]:
        """The names of an object's members; take each value before the next name."""
        self._open("{", "an object", place)
        if self._skip("}"):
            return
        while True:
            name = self.value()
            if not isinstance(name, str) or not self._skip(":"):
                raise self._broken()
            yield name
            if self._skip("}"):
                return
            if not self._skip(","):
                raise self._broken()

    def elements(self, place: str) -> Iterator[int]:
        """The numbers of an array's elements; take each element before the next number."""
        self._open("[", "an array", place)
        if self._skip("]"):
            return
        index = 0
        while True:
            yield index
            index += 1
            if self._skip("]"):
                return
            if not self._skip(","):
                raise self._broken()

    def values(self, place: str) -> Iterator[Any]:
        """The elements of an array, whole: what `elements` and `value` give, quicker for many small ones."""
        self._open("[", "an array", place)
        if self._skip("]"):
            return
        while True:
            yield self.value()
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
                continue
            if self._skip("]"):
                return
            if not self._skip(","):
                raise self._broken()

    def end(self) -> None:
        """Read to the end, which must follow now."""
        if self._peek():
            raise MalformedError("the answer goes on after its end")

    def _open(self, bracket: str, kind: str, place: str) -> None:
        if self._skip(bracket):
            return
        found = self._text[self._at : self._at + 20]
        if not found:
            end = "ends there" if self._values else "is empty"
            raise MalformedError(f"{place}: expected {kind}, the answer {end}")
        raise MalformedError(f"{place}: expected {kind}, got {found!r}")

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        if self._at < len(self._text) and (next_one := self._text[self._at]) not in _BLANKS:
            return next_one
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Take the next piece; False when there is none."""
        rest = self._text[self._at :]
        if len(rest) > _MOST_OF_A_VALUE or self._size > _ALLOWANCE + _PER_VALUE * self._values:
            raise TooLargeError("the answer is far larger than the figures that it holds")
        piece = next(self._pieces, b"")
        self._size += len(piece)
        try:
            text = self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError:
            raise MalformedError("the answer is not UTF-8") from None
        if not piece:
            return False
        self._text, self._at = rest + text, 0
        return True

    def _broken(self) -> MalformedError:
        rest = self._text[self._at : self._at + 20]
        if not rest:
            return MalformedError("the answer ends within its JSON")
        return MalformedError(f"the answer is not JSON: unexpected {rest!r} after {self._values} values")


# One result of a usage bucket, decoded strictly: labels and whole numbers. Unknown fields are ignored.

MOST = 10**15
"""Figures beyond this are taken for a fault; it keeps sums and costs within what is exact everywhere."""

_WHOLE = {int}

Cost = Callable[[Mapping[str, Any], int], tuple[int, ...]]


class RowDecoder:
    """Turns results of one endpoint into rows.

    Args:
        group_by: dimensions, in the order of the labels.
        cost: from a result and its bucket's start to the columns that are computed.

    Attributes:
        negative: results with a figure below 0 since `begin`.
        example: the first of these, for a person.
    """

    def __init__(self, operation: Operation, group_by: tuple[str, ...], cost: Cost) -> None:
        self._group_by = group_by
        self._sources = tuple((each.source, each.required) for each in operation.sources)
        self._names = tuple(each.source for each in operation.sources)
        self._cost = cost
        self._known: dict[Labels, Labels] = {}
        self.negative = 0
        self.example = ""

    def begin(self) -> None:
        """Begin a reading."""
        self.negative, self.example = 0, ""

    def decode(self, result: Any, start: int) -> tuple[Labels, Values]:
        """Labels and values of one result.

        Raises:
            MalformedError: names the field.
        """
        if not isinstance(result, dict):
            raise MalformedError(f"expected an object, got {shown(result)}")
        # Most dimensions are text, and most figures there and sound: what is not is looked at one by one.
        get = result.get
        labels = tuple(
            [found if type(found := get(name)) is str else label(result, name) for name in self._group_by]
        )
        values: tuple[Any, ...] = tuple(map(get, self._names))
        if set(map(type, values)) != _WHOLE or min(values) < 0 or max(values) > MOST:
            values = tuple([whole(result, name, required) for name, required in self._sources])
            if values and min(values) < 0:
                self._note(start, labels, values)
        return self._known.setdefault(labels, labels), values + self._cost(result, start)

    def _note(self, start: int, labels: Labels, values: Values) -> None:
        self.negative += 1
        if not self.example:
            figures = {
                name: value for (name, _), value in zip(self._sources, values, strict=True) if value < 0
            }
            named = dict(zip(self._group_by, labels, strict=True))
            self.example = f"bucket {start} of {named}: {figures}"


def label(result: Mapping[str, Any], name: str) -> str:
    """A dimension as a label value; null and absent are empty."""
    found = result.get(name)
    if type(found) is str:
        return found
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    raise MalformedError(f"{name}: expected a string or null, got {shown(found)}")


def whole(result: Mapping[str, Any], name: str, required: bool = False) -> int:
    """A whole number; null and absent are 0 where the field is optional."""
    found = result.get(name)
    if type(found) is int and -MOST <= found <= MOST:
        return found
    if found is None and not required:
        return 0
    if found is None:
        raise MalformedError(f"{name}: is missing")
    raise MalformedError(f"{name}: expected a whole number of at most {MOST:.0e}, got {shown(found)}")


def shown(value: object) -> str:
    """A value as errors show it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# Amounts of money as the API gives them: a number by its description, a numeric string in practice.

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,40})?([eE][+-]?\d{1,2})?")
_MOST = Decimal(10) ** 12


def amount(value: object, place: str) -> Decimal:
    """An amount, exactly as written.

    Raises:
        MalformedError: not a number, or beyond 10^12.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite() and abs(value) <= _MOST:
        return value
    raise MalformedError(f"{place}: expected an amount as a number or a numeric string, got {shown(value)}")


# One result of a costs bucket, decoded strictly. Adds nothing up.

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


def decoded(result: Any, group_by: tuple[str, ...]) -> CostRow:
    """A result of a bucket.

    Raises:
        MalformedError: names the field.
    """
    if not isinstance(result, Mapping):
        raise MalformedError(f"expected an object, got {shown(result)}")
    labels = tuple([label(result, name) for name in group_by])
    given = result.get("amount")
    if given is None:
        return CostRow(labels, Decimal(0))
    if not isinstance(given, Mapping):
        raise MalformedError(f"amount: expected an object, got {shown(given)}")
    currency = label(given, "currency").lower() or CURRENCY
    usd = amount(given.get("value", 0), "amount.value")
    quantity = result.get("quantity")
    return CostRow(
        labels,
        usd if currency == CURRENCY else None,
        currency,
        None if quantity is None else amount(quantity, "quantity"),
        label(result, "quantity_unit"),
    )
