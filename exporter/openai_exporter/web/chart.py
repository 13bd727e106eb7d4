# SPDX-License-Identifier: Apache-2.0
"""A probe's recent course as numbers for an inline SVG: one bar per result, as high as it took long."""

from collections.abc import Sequence
from dataclasses import dataclass

from openai_exporter.web import words
from openai_exporter.web.board import COURSE, Point

STEP, BAR, HEIGHT = 4, 3, 22
WIDTH = COURSE * STEP
SIZES = {"STEP": STEP, "BAR": BAR, "HEIGHT": HEIGHT, "WIDTH": WIDTH}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in pixels from the top left; `title` says what it stands for."""

    x: int
    y: float
    height: float
    success: bool
    title: str


def bars(points: Sequence[Point]) -> tuple[Bar, ...]:
    """Bars, newest at the right edge; a failure takes the full height, so that shape tells it too."""
    longest = max((each.duration for each in points if each.success), default=0.0) or 1.0
    first = COURSE - len(points)
    return tuple(_bar(first + index, each, longest) for index, each in enumerate(points))


def _bar(place: int, point: Point, longest: float) -> Bar:
    share = min(1.0, point.duration / longest) if point.success else 1.0
    height = round(max(2.0, share * HEIGHT), 1)
    word = "succeeded" if point.success else "failed"
    title = f"{words.clock(point.at)}: {word} after {words.seconds(point.duration)}"
    return Bar(place * STEP, round(HEIGHT - height, 1), height, point.success, title)
