# SPDX-License-Identifier: Apache-2.0
"""The field types that the sections of the configuration share, each with the words that errors use for it."""

import difflib
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from openai_exporter.config.secret import looks_like_key, shown

# Prometheus durations: `1h30m`, `15s`, `500ms`; a bare number is seconds.

_UNITS = {"y": 31536000.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WRITTEN = r"(?=[0-9])" + "".join(rf"(?:[0-9]{{1,9}}{unit})?" for unit in _UNITS)
_WHOLE = re.compile(_WRITTEN)
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_LONGEST = 100 * _UNITS["y"]

ALLOWED = "a duration such as 15s, 500ms or 1h30m"
PATTERN = f"^(?:{_WRITTEN}|0)$"
"""Written form, units from the largest to the smallest; for JSON Schema."""


def parse_duration(value: object) -> float:
    """Seconds of a duration, to the millisecond.

    Raises:
        ValueError: not a duration, negative, or longer than 100 years; the message says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be {ALLOWED}")
    seconds = _written(value) if isinstance(value, str) else value
    if seconds < 0:
        raise ValueError(f"must not be negative; give {ALLOWED}")
    if not seconds <= _LONGEST:
        raise ValueError(f"must be {ALLOWED}, at most 100y")
    return round(float(seconds), 3)


def _written(text: str) -> float:
    if text == "0":
        return 0.0
    if text.startswith("-"):
        return -1.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"must be {ALLOWED}")
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """The shortest exact Prometheus duration of a number of seconds, to the millisecond."""
    rest = round(seconds * 1000)
    if rest == 0:
        return "0s"
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text


# Regular expressions of the user, in RE2's syntax: matching takes time linear in the text, whatever the pattern.
# Python's own `re` backtracks: a pattern such as `(a+)+$` would stop the whole exporter for hours on a short reply.
# blackbox_exporter matches with RE2 too (Go's regexp), so patterns can be moved over as they are.
# https://github.com/google/re2/wiki/Syntax


class PatternError(ValueError):
    """RE2 does not take a pattern; the message says why."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Callable[[str], bool]:
    """Whether some part of a text matches the pattern, as a function; compiled once.

    Raises:
        PatternError: RE2 does not take it.
    """
    # Imported late: it takes 3 MiB, and not every configuration has a pattern.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(_utf8(pattern), options).search
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason) from None
    return lambda text: search(_utf8(text)) is not None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # JSON can hold half a surrogate pair


_Value = TypeVar("_Value", bound=Hashable)

RESERVED_LABELS = {
    # What Prometheus and /sd set, then what the metrics of /probe carry.
    *("job", "instance", "target", "module", "model", "endpoint", "provider", "organization"),
    *("le", "quantile"),
    *("phase", "outcome", "direction", "limit_type", "requested_model", "served_model", "service_tier"),
    *("owned_by", "listed_model", "result_source"),
    *("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber", "version", "cipher"),
}

_LONGEST_LABEL = 256
_LABEL = r"^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_MODEL = r"^[\x21-\x7e]{1,200}$"
_TOKEN = r"^[\x21-\x7e]{1,256}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_URL = r"""^https?://[^\s/?#@\\"<>^`{|}]+(/[^\s?#\\"<>^`{|}]*)?$"""
_FILE = r"^[^\x00]+$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_SIZE = r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$"

WORDS = {
    _NAME: "a name of 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit",
    _MODEL: "a model name of 1 to 200 printable ASCII characters without spaces",
    _TOKEN: "1 to 256 printable ASCII characters without spaces",
    _VARIABLE: "the name of an environment variable, such as OPENAI_API_KEY",
    _URL: "an http:// or https:// URL without user, query or fragment",
    _FILE: "the path of a file",
    _DATE: "a day such as '2026-11-01'",
    _SIZE: "auto or width x height, such as 1024x1024",
    _LABEL: "a label name of letters, digits and underscores, no leading digit and no leading __",
    PATTERN: ALLOWED,
}
"""What each pattern of the JSON Schema means, as a noun."""


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class FieldError(ValueError):
    """A mistake that a check of a whole section finds in one of its fields.

    Attributes:
        path: from the section to the field.
        others: mistakes that the same check found.
    """

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path
        self.others: tuple[FieldError, ...] = ()


def raise_all(errors: Sequence[FieldError]) -> None:
    """Raise the first with the others, so that all are named; nothing without any."""
    if errors:
        errors[0].others = tuple(errors[1:])
        raise errors[0]


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than zero, at least 1ms")
    return seconds


def _regular_expression(value: str) -> str:
    try:
        compiled(value)
    except PatternError as error:
        raise ValueError(
            "must be a regular expression in RE2's syntax, as blackbox_exporter takes it (no look-around, "
            f"no back-references): {error}"
        ) from None
    return value


def has_host(value: str) -> bool:
    """Whether a URL has a host, and a port that there is if it has one."""
    try:
        return bool(urlsplit(value).hostname) and urlsplit(value).port != 0
    except ValueError:
        return False


def _base_url(value: str) -> str:
    if not has_host(value) or not value.isascii() or not value.isprintable():
        raise ValueError(f"must be {WORDS[_URL]}, such as https://api.openai.com/v1; host or port is wrong")
    return value.rstrip("/")


def _file(value: str) -> str:
    if looks_like_key(value.rpartition("/")[2]):
        raise ValueError("must be the path of a file that holds the key, not the key")
    return value


def _label_name(name: str) -> str:
    if not re.search(_LABEL, name) or name.endswith("\n"):
        raise ValueError(f"must be {WORDS[_LABEL]}")
    if name in RESERVED_LABELS:
        raise ValueError("the exporter sets this label itself; choose another name")
    return name


def _label_text(text: str) -> str:
    if len(text) > _LONGEST_LABEL or not text.isprintable():
        raise ValueError(f"must be text of at most {_LONGEST_LABEL} printable characters")
    return text


def repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """The index of each value that stood before, and the index where it stood first."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            yield index, first[value]


def _distinct(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    twice = dict.fromkeys(values[index] for index, _ in repeated(values))
    if twice:
        raise ValueError(f"has {' and '.join(map(shown, twice))} twice; remove one")
    return values


def _day(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day of the calendar, such as 2026-11-01") from None
    return value


def day_seconds(day: str) -> int:
    """The start of a day such as 2026-11-01, in Unix seconds (UTC)."""
    return int(datetime.combine(date.fromisoformat(day), time.min, UTC).timestamp())


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not hold .inf or .nan; JSON has no such numbers")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _json(each)
    return value


DURATION_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": PATTERN}]}
_POSITIVE_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "number", "minimum": 0.001}, DURATION_SCHEMA["anyOf"][1]]}
Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=Any),
    PlainSerializer(format_duration, return_type=str),
    Field(json_schema_extra=DURATION_SCHEMA),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive), Field(json_schema_extra=_POSITIVE_SCHEMA)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
Url = Annotated[str, Field(pattern=_URL), AfterValidator(_base_url)]
Name = Annotated[str, Field(pattern=_NAME)]
ModelName = Annotated[str, Field(pattern=_MODEL)]
Token = Annotated[str, Field(pattern=_TOKEN)]
Day = Annotated[str, Field(pattern=_DATE), AfterValidator(_day)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]
FileName = Annotated[str, Field(pattern=_FILE, max_length=4096), AfterValidator(_file)]
ImageSize = Annotated[str, Field(pattern=_SIZE)]


def _named(schema: dict[str, Any]) -> None:
    """In JSON Schema, names that do not match are refused rather than left unchecked."""
    pattern, value = schema.pop("patternProperties").popitem()
    schema |= {"propertyNames": {"pattern": pattern}, "additionalProperties": value}


BY_NAME = Field(json_schema_extra=_named)
"""Put on a mapping from `Name`."""
_LABELS_SCHEMA: dict[str, Any] = {
    "propertyNames": {"pattern": _LABEL, "not": {"enum": sorted(RESERVED_LABELS)}},
    "additionalProperties": {"type": "string", "maxLength": _LONGEST_LABEL},
}
LabelName = Annotated[str, AfterValidator(_label_name)]
LabelText = Annotated[str, AfterValidator(_label_text)]
Labels = Annotated[dict[LabelName, LabelText], Field(json_schema_extra=_LABELS_SCHEMA)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_json)]
Money = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LIST = Field(strict=False, json_schema_extra={"uniqueItems": True})
"""Put on a tuple: it is written as a list, and its entries differ (with `DISTINCT` after it)."""
DISTINCT = AfterValidator(_distinct)

_MOST = 20
"""Names that a message lists."""


def nearest(name: str, allowed: Sequence[str]) -> str:
    """`did you mean 'x'? `, or nothing when no name is near."""
    words = sorted(name.lower().split("_"))
    near = [known for known in allowed if sorted(known.split("_")) == words]
    if not near and len(name) <= 100:
        near = difflib.get_close_matches(name, allowed, n=1)
    if not near:
        word = name.lower()
        near = [known for known in allowed if len(word) > 2 and (word in known.lower() or known.lower() in word)]
    return f"did you mean {shown(near[0])}? " if near else ""


def listing(names: Sequence[str]) -> str:
    """The names, at most twenty of them; `none` when there are none."""
    more = f", ... ({len(names)} in all)" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more if names else "none"


def unknown(kind: str, name: str, configured: Iterable[str]) -> str:
    """`'x': unknown target; did you mean 'y'? configured: y, z`."""
    names = list(dict.fromkeys(configured))
    return f"{shown(name)}: unknown {kind}; {nearest(name, names)}configured: {listing(names)}"


RENAMED_KEYS = {"settle": "finalize_after", "audit_interval": "full_refresh_interval", "peak_minute": "peak_usage"}
"""Earlier spelling of a key -> its name."""
FOR_SECONDS = ("duration_seconds", "for_seconds")
"""Other names of the key `for`, with a number of seconds."""


def unknown_key(key: str, allowed: Sequence[str], hint: str = "") -> str:
    """`unknown key 'x'; did you mean 'y'? allowed: y, z`; the hint stands where no key is near."""
    if RENAMED_KEYS.get(key) in allowed:
        return f"unknown key {shown(key)}; it was renamed to {RENAMED_KEYS[key]}"
    if key in FOR_SECONDS and "for" in allowed:
        return f"unknown key {shown(key)}; write only a duration with its unit: for: 5m"
    return f"unknown key {shown(key)}; {nearest(key, allowed) or hint}allowed: {listing(allowed)}"
