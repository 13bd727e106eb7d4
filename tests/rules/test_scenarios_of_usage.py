# SPDX-License-Identifier: Apache-2.0
"""The scenarios of all files but that of test_scenarios.py: a file of its own, so that two processes share them."""

import pytest

from tests.mixin.bundle import PROMTOOLS
from tests.rules.scenarios import Scenario, batches, played, scenarios
from tests.rules.test_scenarios import fault_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")]
BATCHES = batches(*{title for title, _ in scenarios()} - {"Probes"})


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_scenarios_end_as_they_should(batch: list[Scenario]) -> None:
    wrong = [fault for each in played(batch) if (fault := fault_of(each))]

    assert not wrong, "\n".join(wrong)
