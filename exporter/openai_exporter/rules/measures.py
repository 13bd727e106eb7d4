# SPDX-License-Identifier: Apache-2.0
"""Every measure by its name, in the order in which documents and messages list them."""

from collections.abc import Mapping
from types import MappingProxyType

from openai_exporter.rules import probe_measures, usage_measures
from openai_exporter.rules.measure import Measure

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {each.name: each for each in (*probe_measures.MEASURES, *usage_measures.MEASURES)}
)
NAMES = tuple(MEASURES)
