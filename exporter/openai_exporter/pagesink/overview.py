# SPDX-License-Identifier: Apache-2.0
"""The HTML page; loads the template engine. Nothing on it is loaded from elsewhere, and no script runs."""

import time
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from openai_exporter.pagesink.page import Page

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("openai_exporter.pagesink"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(clock=_clock, link=_link)
    return made


def overview(pages: Sequence[Page]) -> Response:
    """All pages, newest first."""
    body = _environment().get_template("pages.html").render(pages=pages)
    return Response(body, 200, _HEADERS, "text/html")


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _link(url: str) -> str:
    """The URL if it is one for a browser, else nothing: an annotation may hold any text."""
    return url if urlsplit(url).scheme in ("http", "https") else ""
