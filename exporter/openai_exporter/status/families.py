# SPDX-License-Identifier: Apache-2.0
"""From a reading to metric families."""

from collections import Counter
from collections.abc import Sequence

from openai_exporter.exposition import Family, family
from openai_exporter.metrics import status
from openai_exporter.status.reading import IMPACTS, STATES, Component, Incident


def families(
    up: bool, read_at: float | None, components: Sequence[Component], incidents: Sequence[Incident]
) -> list[Family]:
    """What `/status` exposes; without any read so far, `up` alone."""
    found = [family(status.UP, int(up)), family(status.FETCHED, read_at)]
    if read_at is None:
        return found
    states = Family(status.COMPONENT)
    for each in components:
        for state in STATES:
            states.add(int(each.state == state), each.id, each.name, state)
    impacts = Family(status.INCIDENT)
    counts = Counter(each.impact for each in incidents)
    for impact in IMPACTS:
        impacts.add(counts[impact], impact)
    return [*found, states, impacts]
