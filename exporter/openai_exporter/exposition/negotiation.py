# SPDX-License-Identifier: Apache-2.0
"""Which exposition format a scraper gets for its Accept header."""

from dataclasses import dataclass

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Names here are plain ASCII, which these schemes leave as they are; `dots` would rewrite them, so it is not offered.
_ESCAPING = ("allow-utf-8", "underscores", "values")
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """An exposition format.

    Attributes:
        openmetrics: OpenMetrics 1.0.0, else the text format 0.0.4.
        content_type: header of the answer; made of fixed words only, never of what the client sent.
    """

    openmetrics: bool
    content_type: str


def negotiate(accept: str) -> Format:
    """OpenMetrics when the header prefers it (Prometheus since 2.5 does), else text; any header is answered."""
    text, openmetrics, escaping = 0.0, 0.0, ""
    for item in accept[:_LONGEST].split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        weight = _weight(given.get("q", "1"))
        if name == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            if weight > openmetrics:
                openmetrics, escaping = weight, given.get("escaping", "")
        elif name in ("text/plain", "text/*", "*/*"):
            text = max(text, weight)
    if openmetrics == 0 or openmetrics < text:
        return Format(False, TEXT)
    return Format(True, f"{OPENMETRICS}; escaping={escaping}" if escaping in _ESCAPING else OPENMETRICS)


def _weight(written: str) -> float:
    try:
        weight = float(written)
    except ValueError:
        return 1.0
    return min(weight, 1.0) if weight >= 0 else 0.0


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics."""
    return negotiate(accept).openmetrics


def content_type(openmetrics: bool) -> str:
    """The Content-Type that goes with `encode`."""
    return OPENMETRICS if openmetrics else TEXT
