# SPDX-License-Identifier: Apache-2.0
"""One mistake of form hides no mistake of sense elsewhere, and none is told that only follows from it."""

from pathlib import Path

import pytest

from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError

ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}
ORGANIZATION = """
organizations:
- name: main
  admin_key_env: OPENAI_ADMIN_KEY
  usage: {completions: {group_by: [project_id, model]}}
"""


def messages(text: str, base: Path = Path()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.yml", ENV, base)
    return str(caught.value).splitlines()


def test_an_ungrouped_budget_is_told_beside_a_misspelt_key_of_its_organization() -> None:
    text = f"{ORGANIZATION}  refresh_intervall: 60s\nbudgets: [{{name: each, each: user_id, limit_usd: 5}}]\n"
    found = messages(text)
    assert len(found) == 2, found
    assert "refresh_intervall" in found[0]
    assert "needs spend by user_id" in found[1]


def test_a_dimension_that_an_endpoint_lacks_is_told_beside_an_unknown_one() -> None:
    found = messages("""
organizations:
- name: main
  admin_key_env: OPENAI_ADMIN_KEY
  usage: {completions: {group_by: [projekt]}, embeddings: {group_by: [batch]}}
""")
    assert len(found) == 2, found
    assert "usage.completions.group_by[0]: 'projekt'" in found[0]
    assert "usage.embeddings.group_by[0]: 'batch': embeddings cannot be grouped by it" in found[1]


def test_places_are_those_of_the_file_although_an_entry_before_them_is_ill_typed() -> None:
    text = f"""{ORGANIZATION}
budgets:
- {{name: a, limit_usd: much}}
- {{name: b, each: user_id, limit_usd: 5}}
- {{name: b, limit_usd: 5}}
"""
    found = messages(text)
    assert len(found) == 3, found
    assert "f.yml:8: budgets[0].limit_usd: 'much'" in found[0]
    assert "f.yml:9: budgets[1].each: needs spend by user_id" in found[1]
    duplicate = "f.yml:10: budgets[2].name: 'b': duplicate name; names are unique"
    assert found[2] == f"{duplicate}; first on line 9 (budgets[1].name)"


@pytest.mark.parametrize(
    "text",
    [
        # The target, the module and the organization are there; only their own mistakes are told.
        """
targets: [{name: a, api_key_env: OPENAI_API_KEY, base_url: 5}, {name: b}]
modules: {chat: {endpoint: chatt}}
probes: [{target: b, module: chat, models: [m]}]
""",
        """
organizations: [{name: main}]
budgets: [{name: a, organization: main, limit_usd: 5}, {name: b, each: user_id, limit_usd: 5}]
""",
        """
organizations:
- {name: main, admin_key_env: OPENAI_ADMIN_KEY, usage: {completions: {group_by: [usr_id]}}}
budgets: [{name: b, each: user_id, limit_usd: 5}]
""",
        """
prices:
- {model: gpt*, since: 2026-13-01, list_price_ratio: 0.5}
- {model: gpt-5*, list_price_ratio: 0.6}
""",
    ],
)
def test_nothing_is_told_that_only_follows_from_another_mistake(text: str) -> None:
    for line in messages(text):
        for words in (
            "unknown target",
            "unknown module",
            "unknown organization",
            "needs spend",
            "never applies",
        ):
            assert words not in line


def test_a_missing_price_file_is_told_beside_a_mistake_of_form(tmp_path: Path) -> None:
    found = messages("price_file: absent.yml\nhistory: {limit: none}\n", tmp_path)
    assert len(found) == 2, found
    assert any("absent.yml" in each for each in found)


def test_keys_wait_until_the_file_is_right() -> None:
    assert len(messages("targets: [{name: a, api_key_env: ABSENT}]\nhistory: {limit: none}\n")) == 1


def test_sections_of_a_wrong_kind_leave_nothing_to_check() -> None:
    (found,) = messages("organizations: 5\nbudgets: [{name: b, each: user_id, limit_usd: 5}]\n")
    assert "organizations: 5" in found
