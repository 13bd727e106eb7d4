# SPDX-License-Identifier: Apache-2.0
"""One probe and the turns that it takes, so that many that end at once hold up nothing else."""

from dataclasses import dataclass

import pytest

from openai_exporter.client.pool import Terms
from openai_exporter.client.trace import ApiCall, Exchange, Failure, FailureKind, Step, WireError
from openai_exporter.config import Secret
from openai_exporter.model import Endpoint, ProbeKey
from openai_exporter.probe.redact import Redactor
from openai_exporter.probe.result import Frame
from openai_exporter.probe.run import run_probe
from tests.exporter.probe.exchanges import exchange, setting, timeout

RESET = Failure(FailureKind.RESET, Step.TRANSFER, "reset")


@dataclass(frozen=True)
class Caller:
    """Ends every call with one exchange."""

    found: Exchange

    async def call(self, call: ApiCall, terms: Terms, key: Secret | None) -> Exchange:
        if self.found.failure is not None:
            raise WireError(self.found)
        return self.found


@pytest.mark.parametrize(
    ("failure", "outcome", "turns"),
    [
        pytest.param(None, "success", 2, id="an answer is judged in a turn of its own"),
        pytest.param(RESET, "reset", 2, id="so is a broken one"),
        pytest.param(timeout(), "timeout_total", 1, id="one that was cut had its turn for that"),
    ],
)
async def test_each_piece_of_computing_has_one_turn(
    failure: Failure | None, outcome: str, turns: int
) -> None:
    taken = 0

    async def turn() -> None:
        nonlocal taken
        taken += 1

    frame = Frame(ProbeKey("api", "models", ""), setting(Endpoint.MODELS), 0.0, 5.0, Redactor())
    caller = Caller(exchange({"object": "list", "data": [{"id": "m", "object": "model"}]}, failure=failure))
    result = await run_probe(frame, caller, Terms(5.0), None, turn)
    assert (outcome, turns) == (result.outcome, taken)
