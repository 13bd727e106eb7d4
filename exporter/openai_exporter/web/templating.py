# SPDX-License-Identifier: Apache-2.0
"""The template engine and the headers of HTML answers; loaded when the first person looks."""

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from openai_exporter import __version__
from openai_exporter.web import words

_HEADERS = {
    # Nothing is loaded from anywhere, and no script runs, whatever an upstream error message holds.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "sameorigin",
    "referrer-policy": "no-referrer",
}


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("openai_exporter.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(version=__version__)
    made.filters.update(
        seconds=words.seconds,
        span=words.span,
        clock=words.clock,
        dollars=words.dollars,
        count=words.count,
        percent=words.percent,
    )
    return made


def page(name: str, prefix: str, view: Mapping[str, object], status: int = 200) -> Response:
    """The template `name` filled with `view`; links start with `prefix`."""
    body = _environment().get_template(name).render(prefix=prefix, **view)
    return Response(body, status, _HEADERS, "text/html")
