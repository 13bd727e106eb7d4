# SPDX-License-Identifier: Apache-2.0
"""What Grafana does between a panel and Prometheus: variables, steps and intervals."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.dashboards.data.tsdb import Server
from tests.dashboards.pages import Json, Page, Panel

SCRAPE = 60.0
"""`timeInterval` of the provisioned data source, in seconds."""
WIDTH = 700
"""Pixels of a chart, hence points that are asked for."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_REGEX = re.compile(r"[$^*{}\[\]'+?.()|]")
_NAMED = re.compile(r"^/(.*)/$")

Values = Mapping[str, str | Sequence[str]]
"""Variable name to what is chosen: a text, or several values; `$__all` for All."""
ALL = "$__all"


def seconds(duration: str) -> float:
    """`5m` in seconds."""
    return float(duration[:-1]) * _UNITS[duration[-1]]


def _duration(number: float) -> str:
    return f"{round(number)}s"


def _round(step: float) -> float:
    return next((float(each) for each in _STEPS if step <= each * 1.25), 86400.0)


def _escaped(value: str) -> str:
    return _REGEX.sub(r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))


def _put(text: str, name: str, value: str) -> str:
    return re.sub(rf"\$\{{{name}\}}|\${name}(?![A-Za-z0-9_])", lambda _: value, text)


def interpolated(text: str, page: Page, values: Values) -> str:
    """The text with the page's variables filled in, several values as a regular expression."""
    for name in sorted(page.variables, key=len, reverse=True):
        chosen = values.get(name, ALL)
        if chosen == ALL:
            put = page.variables[name].get("allValue") or str(page.variables[name]["current"].get("value", ""))
        elif isinstance(chosen, str):
            put = chosen
        else:
            put = _escaped(chosen[0]) if len(chosen) == 1 else f"({'|'.join(map(_escaped, chosen))})"
        text = _put(text, name, put)
    return text


@dataclass(frozen=True)
class Range:
    """A time range in Unix seconds.

    Attributes:
        hurried: seconds that stand for every least step, where data is only seconds old; 0 for the panel's own.
    """

    start: float
    end: float
    hurried: float = 0.0

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


def step_of(panel: Panel, target: Json, when: Range) -> tuple[float, float]:
    """Step and `$__rate_interval` of a query, in seconds."""
    least = seconds(target["interval"]) if target.get("interval") else SCRAPE
    scrape = when.hurried or least
    wanted = _round(when.length / panel.json.get("maxDataPoints", WIDTH))
    step = max(scrape, wanted, _round(when.length / 11000))
    return step, max(step + scrape, 4 * scrape)


def expression(page: Page, panel: Panel, target: Json, when: Range, values: Values) -> str:
    """What Prometheus is asked: intervals and variables filled in."""
    step, rate = step_of(panel, target, when)
    text = target["expr"].replace("$__interval_ms", f"{1000 * step:.0f}")
    text = text.replace("$__range_s", f"{when.length:.0f}")
    for name, value in (("rate_interval", rate), ("interval", step), ("range", when.length)):
        text = text.replace(f"$__{name}", _duration(value))
    # Hidden intervals grow with the range: a hundredth of it, and their least.
    for name, each in page.variables.items():
        if each["type"] == "interval":
            text = text.replace(f"${name}", _duration(max(seconds(each["auto_min"]), when.length / each["auto_count"])))
    return interpolated(text, page, values)


def ask(server: Server, page: Page, panel: Panel, target: Json, when: Range, values: Values) -> Json:
    """The answer to one query of a panel: Prometheus' own JSON."""
    text, (step, _) = expression(page, panel, target, when, values), step_of(panel, target, when)
    if target["instant"]:
        return server.ask("/api/v1/query", query=text, time=when.end)
    start, end = math.floor(when.start / step) * step, math.floor(when.end / step) * step
    return server.ask("/api/v1/query_range", query=text, start=start, end=end, step=step)


def choices(server: Server, page: Page, when: Range) -> dict[str, list[str]]:
    """Values that each query variable offers while All is chosen everywhere."""
    return {
        name: _offered(server, interpolated(variable["query"], page, {}), variable["regex"], when)
        for name, variable in page.variables.items()
        if variable["type"] == "query"
    }


def _offered(server: Server, query: str, regex: str, when: Range) -> list[str]:
    labels = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    if labels:
        answer = server.ask("/api/v1/series", **{"match[]": labels[1], "start": when.start, "end": when.end})
        return sorted({row[labels[2]] for row in answer["data"] if labels[2] in row})
    inner = query.removeprefix("query_result(").removesuffix(")")
    answer = server.ask("/api/v1/query", query=inner, time=when.end)
    assert answer["status"] == "success", answer
    return _by_regex(answer["data"]["result"], regex)


def _by_regex(rows: list[dict[str, Any]], regex: str) -> list[str]:
    """Values that the variable's pattern finds in the texts that Grafana makes of a result."""
    wrapped = _NAMED.match(regex)
    assert wrapped
    pattern = re.compile(wrapped[1].replace("(?<", "(?P<"))
    texts = [
        "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(row["metric"].items())) + "}" for row in rows
    ]
    return [found["value"] for text in texts if (found := pattern.search(text))]
