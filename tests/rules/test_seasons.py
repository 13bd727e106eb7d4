# SPDX-License-Identifier: Apache-2.0
"""Weeks as they are (nights, weekends, noise, growth, the turn of a month) make no anomaly; a break makes one."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tests.mixin.bundle import PROMTOOLS
from tests.rules.case import Case
from tests.rules.test_rules import failures

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")]

DAYS, PER_DAY = 15, 48
"""Half hours from Thursday, 1970-01-01 on."""
MONTH = 9 * PER_DAY
"""Where counters begin anew, as on the first of a month."""
WEDNESDAY = (13 * 24 + 10) * 2
THURSDAY = WEDNESDAY + PER_DAY
"""Ten o'clock of the second Wednesday and of the day after, as half hours."""
HIGH = ("OpenAICostAnomaly", "OpenAITokenUsageAnomaly", "OpenAILatencyAnomaly")
LOW = "OpenAITokenUsageDrop"
LABELS = {
    "usage": {"job": "openai", "instance": "a", "organization": "acme", "operation": "completions", "model": "m"},
    "data": {"job": "openai", "instance": "a", "organization": "acme", "dataset": "completions"},
    "chat": {"job": "openai", "target": "openai", "provider": "openai", "module": "chat", "model": "m"},
}


def activity(step: int) -> float:
    """How much is going on, 1 in a working afternoon; a third on weekends, a fifth at night, 5 % more each week."""
    day, hour = divmod(step, PER_DAY)
    weekend = 0.33 if (day + 4) % 7 in (0, 6) else 1.0
    return weekend * (0.2 + 0.8 * max(0.0, math.sin(math.pi * (hour / 2 - 6) / 14))) * math.pow(1.05, day / 7)


def change(step: int) -> float:
    """Two hours of the second Wednesday are four times as busy and slow, two of the day after nearly idle."""
    if WEDNESDAY <= step < WEDNESDAY + 4:
        return 4.0
    return 0.05 if THURSDAY <= step < THURSDAY + 4 else 1.0


def counter(scale: float, seed: int) -> str:
    """A counter of usage since the first of the month, in promtool's notation."""
    noise = random.Random(seed)
    total, values = 0.0, []
    for step in range(DAYS * PER_DAY):
        total = 0.0 if step == MONTH else total
        total += scale * activity(step) * change(step) * math.exp(noise.gauss(0, 0.15))
        values.append(f"{total:.3f}")
    return " ".join(values)


def duration(seed: int) -> str:
    """Latency in seconds, slower while much is going on."""
    noise = random.Random(seed)
    steps = range(DAYS * PER_DAY)
    return " ".join(f"{(0.8 + 0.7 * activity(s)) * change(s) * math.exp(noise.gauss(0, 0.2)):.3f}" for s in steps)


def fired(alert: str, at: str, over: str, *, expected: bool) -> dict[str, Any]:
    """Whether the alert fired at any time of a range."""
    expr = f'count_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[{over}]) > bool 0'
    return {"at": at, "expr": expr, **({"value": 1} if expected else {})}


def test_ordinary_weeks_are_no_anomaly_and_a_break_is_one(tmp_path: Path) -> None:
    steps = DAYS * PER_DAY
    series = {
        "openai_usage_up{$data}": f"1x{steps}",
        "openai_usage_last_success_timestamp_seconds{$data}": f"0+1800x{steps}",
        "openai_usage_input_tokens_total{$usage}": counter(2_000_000, 1),
        "openai_usage_estimated_cost_usd_total{$usage}": counter(12, 2),
        "probe_duration_seconds{$chat}": duration(3),
        "openai_probe_availability_valid{$chat}": f"1x{steps}",
        "openai_probe_availability_good{$chat}": f"1x{steps}",
    }
    values = [
        *(fired(alert, "13d9h", "13d", expected=False) for alert in (*HIGH, LOW)),
        *(fired(alert, "13d13h", "4h", expected=True) for alert in HIGH),
        fired(LOW, "14d9h", "14d", expected=False),
        fired(LOW, "14d13h", "4h", expected=True),
    ]
    data = {"name": "two weeks", "rules": [*HIGH, LOW], "interval": "30m", "series": series, "values": values}

    found = failures(tmp_path, [Case("seasons", LABELS, data)])

    assert not found, "\n".join(found.values())
