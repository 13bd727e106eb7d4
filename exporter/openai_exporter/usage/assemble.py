# SPDX-License-Identifier: Apache-2.0
"""The families of several datasets in the catalogue's order, those of one metric next to each other."""

from collections.abc import Iterable

from openai_exporter.exposition import Family
from openai_exporter.metrics import CATALOGUE

_ORDER = {name: place for place, name in enumerate(CATALOGUE)}


def assembled(families: Iterable[Family]) -> list[Family]:
    """The families that have samples."""
    return sorted((each for each in families if each.samples), key=lambda each: _ORDER[each.metric.name])
