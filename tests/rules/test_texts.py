# SPDX-License-Identifier: Apache-2.0
"""What alerts say beyond their fixed words: the time to exhaustion by their own ratio, and what fails now."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.mixin.bundle import PROMTOOLS, run, version
from tests.rules.case import Case
from tests.rules.harness import promtool_files

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed"),
    pytest.mark.parametrize("promtool", PROMTOOLS or [""], ids=version),
]
MODELS = tuple(f"m{number}" for number in range(8))


def described(folder: Path, promtool: str, alert: str, at: str, series: dict[str, str]) -> list[str]:
    """Descriptions of the alert's firing instances: promtool expects none and prints what it got."""
    data: dict[str, Any] = {"name": "texts", "alert": alert, "series": series, "silent": [at]}
    (path,) = promtool_files(folder, [Case("texts", {}, data)]).values()
    done = run(promtool, "test", "rules", path)
    return re.findall(r'description="((?:[^"\\]|\\.)*)"', done.stdout + done.stderr)


def probe(model: str) -> str:
    return f'job="openai",instance="a",target="openai",provider="openai",module="chat",endpoint="chat",model="{model}"'


def failing(model: str, good: str, outcome: str = "overloaded") -> dict[str, str]:
    """A probe that is good for two hours, then as `good` says."""
    labels = probe(model)
    return {
        f"openai_probe_availability_valid{{{labels}}}": "1x400",
        f"openai_probe_availability_good{{{labels}}}": f"1x119 {good}",
        f'openai_probe_outcome{{{labels},outcome="success"}}': f"1x119 {good}",
        f'openai_probe_outcome{{{labels},outcome="{outcome}"}}': "0x119 1x280",
        f"probe_http_status_code{{{labels}}}": "200x119 503x280",
        f'up{{{labels}}}': "1x400",
        f'openai_probe_last_result_timestamp_seconds{{{labels}}}': "0+60x400",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("good", "least", "most"),
    [("0x280", "3h 36m", "3h 36m"), ("(0 1 1 1)*70", "14h 0m", "14h 59m")],
    ids=["all fail: 30 d x 0.5 %", "a quarter fails: 14.4 hours"],
)
def test_a_burn_alert_says_how_long_the_budget_lasts_at_the_ratio_that_it_reports(
    good: str, least: str, most: str, promtool: str, tmp_path: Path
) -> None:
    texts = described(tmp_path, promtool, "OpenAIAvailabilityBudgetBurn", "239m", failing("m", good))
    lasts = re.findall(r"the error budget of 30d lasts (\d+h \d+m)\.", " ".join(texts))

    assert any(minutes(least) <= minutes(each) <= minutes(most) for each in lasts), texts


def minutes(text: str) -> int:
    hours, rest = text.removesuffix("m").split("h ")
    return 60 * int(hours) + int(rest)


def test_an_outage_names_its_cause_its_extent_its_start_and_the_provider(promtool: str, tmp_path: Path) -> None:
    series = {name: values for model in MODELS for name, values in failing(model, "0x280").items()}
    series['openai_status_incident{job="openai",instance="a",status_page="openai",impact="major"}'] = "0x119 1x280"
    texts = described(tmp_path, promtool, "OpenAITargetDown", "140m", series)

    assert texts
    for text in texts:
        assert text.endswith(
            " Now: overloaded (HTTP 503), 8 of 8 probes, last success at 01:59 UTC; the provider reports an incident."
        )


def test_an_outage_without_an_answer_has_no_status_and_no_incident(promtool: str, tmp_path: Path) -> None:
    series = failing("m", "0x280", "timeout_total") | {f"probe_http_status_code{{{probe('m')}}}": "200x119 0x280"}
    texts = described(tmp_path, promtool, "OpenAITargetDown", "140m", series)

    assert texts
    assert all(text.endswith(" Now: timeout_total, 1 of 1 probes, last success at 01:59 UTC.") for text in texts)


@pytest.mark.parametrize(
    ("spent", "share"),
    [("80.4", "80%"), ("104", "104%"), ("1234.5", "1234%"), ("55000", "55000%"), ("5.5e7", "55000000%")],
)
def test_a_share_is_readable_at_any_size(spent: str, share: str, promtool: str, tmp_path: Path) -> None:
    labels = 'job="openai",instance="a",organization="acme",budget="all",scope="organization",period="month"'
    texts = described(
        tmp_path, promtool, "OpenAIBudgetSpent", "60m",
        {
            f"openai_budget_limit_usd{{{labels}}}": "100x100",
            f"openai_budget_warn_ratio{{{labels}}}": "0.8x100",
            f'openai_budget_spent_usd{{{labels},basis="billed"}}': f"1x10 {spent}x90",
        },
    )  # fmt: skip

    assert texts
    assert all(f" {share} of " in text for text in texts), texts
