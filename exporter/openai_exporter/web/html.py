# SPDX-License-Identifier: Apache-2.0
"""HTML responses: the template engine, values as people read them, charts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

from jinja2 import Environment
from starlette.responses import Response

from openai_exporter import __version__
from openai_exporter.files import template_environment
from openai_exporter.model import StreamTiming, Tokens

# Figures as people read them; each takes None as unknown and says so.

UNKNOWN = "\N{EN DASH}"


def seconds(value: float | None) -> str:
    """`0.3 ms`, `412 ms`, `1.24 s`, `2 min 5 s`."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    return span(value)


def first_token(stream: StreamTiming, tokens: Tokens | None) -> str:
    """The time to the first visible token, or why there is none."""
    if stream.first_token is None and tokens is not None and tokens.output == tokens.reasoning > 0:
        return f"none: all {tokens.output} output tokens went into reasoning"
    return seconds(stream.first_token)


def span(value: float | None) -> str:
    """A duration in its two largest units: `45 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`."""
    if value is None:
        return UNKNOWN
    rest = max(0, round(value))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (size == 1 and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(timestamp: float | None, now: float) -> str:
    """`12 s ago`, `just now`, or that it never happened."""
    if timestamp is None:
        return "never"
    age = now - timestamp
    return "just now" if age < 1 else f"{span(age)} ago"


def clock(timestamp: float | None) -> str:
    """`2026-11-21 09:30:05 UTC`."""
    if timestamp is None:
        return UNKNOWN
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def dollars(amount: Decimal | float | None) -> str:
    """`$1,234.56`; small amounts keep the digits that matter."""
    if amount is None:
        return UNKNOWN
    value = float(amount)
    size = abs(value)
    digits = 2 if size >= 1 or size == 0 else 4 if size >= 0.001 else 6
    return f"{'-' if value < 0 else ''}${size:,.{digits}f}"


def count(value: float | None) -> str:
    """`843`, `12.3 k`, `4.56 M`, `1.20 G`."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g} {unit}" if scaled < 999.5 else f"{scaled:,.0f} {unit}"
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A ratio as `79.7 %`; a tenth more or less decides what is over a limit."""
    return UNKNOWN if value is None else f"{value * 100:.1f} %"


# The template engine and the headers of HTML answers; loaded when the first person looks.

_HEADERS = {
    # Nothing is loaded from anywhere, and no script runs, whatever an upstream error message holds.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "sameorigin",
    "referrer-policy": "no-referrer",
}


@cache
def _environment() -> Environment:
    made = template_environment("openai_exporter.web")
    made.globals.update(version=__version__)
    made.filters.update(
        seconds=seconds,
        span=span,
        clock=clock,
        dollars=dollars,
        count=count,
        percent=percent,
    )
    return made


def page(name: str, prefix: str, view: Mapping[str, object], status: int = 200) -> Response:
    """The template `name` filled with `view`; links start with `prefix`."""
    body = _environment().get_template(name).render(prefix=prefix, **view)
    return Response(body, status, _HEADERS, "text/html")
