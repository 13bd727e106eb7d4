# SPDX-License-Identifier: Apache-2.0
"""Probe results made by hand."""

from dataclasses import replace
from typing import Any

from openai_exporter.model import Endpoint, ProbeKey, ProbeResult, Provider
from openai_exporter.probe.judge import OUTCOMES

KEY = ProbeKey("api", "chat", "gpt-6-luna")


def result(outcome: str = "success", **fields: Any) -> ProbeResult:
    """A result of that outcome."""
    fact = OUTCOMES[outcome]
    made = ProbeResult(
        key=KEY,
        endpoint=Endpoint.CHAT,
        provider=Provider.OPENAI,
        started_at=1_795_251_600.0,
        outcome=outcome,
        success=fact.success,
        valid=fact.valid,
        good=fact.good,
        duration=0.5,
        timeout=9.5,
        called=True,
        status_code=200 if fact.success else 429,
    )
    return replace(made, **fields)
