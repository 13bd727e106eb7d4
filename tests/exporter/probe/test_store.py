# SPDX-License-Identifier: Apache-2.0
"""Spend per module and UTC day."""

from decimal import Decimal

from openai_exporter.probe.store import DAY, Spend


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_spend_adds_up_per_module_and_starts_over_at_midnight_utc() -> None:
    clock = Clock(20_000 * DAY + DAY - 1)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    spend.add("other", Decimal(5))
    assert spend.today()[1] == {"chat": Decimal("0.3"), "other": Decimal(5)}
    clock.now += 1
    assert spend.today()[1] == {}


def test_a_restart_goes_on_from_the_same_day_only() -> None:
    clock = Clock(20_000 * DAY)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.25"))
    day, sums = spend.today()
    restarted = Spend(clock)
    restarted.restore(day, sums)
    assert restarted.today()[1] == {"chat": Decimal("0.25")}
    clock.now += DAY
    tomorrow = Spend(clock)
    tomorrow.restore(day, sums)
    assert tomorrow.today()[1] == {}


def test_a_limit_is_reached_when_it_is_met_exactly() -> None:
    spend = Spend(Clock(0))
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    assert spend.reached("chat", 0.3)
    assert not spend.reached("chat", 0.31)
    assert not spend.reached("chat", None)
    assert not spend.reached("other", 0.3)
