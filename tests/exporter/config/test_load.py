# SPDX-License-Identifier: Apache-2.0
"""What a good file becomes."""

import re
from pathlib import Path

import pytest

from openai_exporter.config import Config, load_config, zero_config
from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError
from openai_exporter.model import Endpoint, Provider

# The built-in configuration, and the file that says the same.

EXPORTER_YML = Path(__file__).parents[3] / "exporter" / "exporter.yml"
KEY = {"OPENAI_API_KEY": "sk-test-0123456789"}
ADMIN = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


def test_one_key_probes_and_the_other_reads_the_organization() -> None:
    probing, reading = zero_config(KEY), zero_config(ADMIN)
    assert (bool(probing.probes), bool(probing.organizations)) == (True, False)
    assert (bool(reading.probes), bool(reading.organizations)) == (False, True)
    assert 1 == len(probing.status_pages) == len(reading.status_pages)


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": " "}, {"OPENAI_BASE_URL": "http://localhost/v1"}])
def test_without_a_key_the_remedies_are_named(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"set OPENAI_API_KEY .* or OPENAI_ADMIN_KEY .* --config.file"):
        zero_config(env)


def test_another_base_url_has_no_status_page() -> None:
    config = zero_config(KEY | ADMIN | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert {"http://127.0.0.1:9/v1"} == {config.targets[0].base_url, config.organizations[0].base_url}
    assert config.status_pages == ()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            KEY | ADMIN | {"OPENAI_BASE_URL": "localhost:80"},
            "environment variable OPENAI_BASE_URL: 'localhost:80': "
            "must be an http:// or https:// URL without user, query or fragment",
        ),
        (
            {"OPENAI_API_KEY": "sk-a sk-b"},
            "environment variable OPENAI_API_KEY: "
            "holds more than one key, or characters that no key has; put nothing but the key there",
        ),
        (
            {"OPENAI_ADMIN_KEY": "'sk-admin'"},
            "environment variable OPENAI_ADMIN_KEY: holds a quote or NAME=; put nothing but the key there",
        ),
    ],
    ids=["base_url", "key", "admin_key"],
)
def test_a_mistake_names_the_variable(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        zero_config(env)
    assert message == str(caught.value)


def test_the_sample_file_is_equal_in_effect_to_the_built_in_configuration() -> None:
    assert zero_config(KEY | ADMIN) == load_config(EXPORTER_YML, KEY | ADMIN)


def test_every_commented_example_of_the_sample_file_loads(tmp_path: Path) -> None:
    """Prose has one space after its `#`; examples have none, or their own indentation."""
    text = EXPORTER_YML.read_text(encoding="utf-8")
    examples = re.sub(r"(?m)^#(?=\S|  )", "", text)
    assert examples != text
    for name in ("openai_api_key", "openai_admin_key", "azure_key"):
        (tmp_path / name).write_text("sk-test-0123456789")
    (tmp_path / "prices.yml").write_text("prices: []")
    examples = examples.replace("/run/secrets/", f"{tmp_path}/")
    config = parse_config(examples, "examples", KEY | ADMIN, tmp_path)
    assert {"openai", "azure", "local"} == {target.name for target in config.targets}
    assert len(config.budgets) >= 3


# What a good file becomes.

ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


def parse(text: str) -> Config:
    return parse_config(text, "f.yml", ENV, Path())


def test_a_target_has_defaults_for_all_but_name_and_key() -> None:
    target = parse("targets: [{name: a, api_key_env: OPENAI_API_KEY}]").targets[0]
    assert (target.provider, target.base_url, target.no_key) == (Provider.OPENAI, "https://api.openai.com/v1", False)


def test_a_trailing_slash_of_a_url_does_not_matter() -> None:
    text = "targets: [{name: a, base_url: 'http://[::1]:8080/v1/', api_key_env: OPENAI_API_KEY}]"
    assert parse(text).targets[0].base_url == "http://[::1]:8080/v1"


def test_an_azure_version_needs_no_quotes_although_it_is_a_date() -> None:
    text = """
targets:
- name: azure
  provider: azure
  base_url: https://example.openai.azure.com/openai
  api_version: 2024-10-21
  api_key_env: OPENAI_API_KEY
"""
    assert parse(text).targets[0].api_version == "2024-10-21"


def test_words_that_other_yaml_readers_take_for_booleans_stay_text() -> None:
    text = """
targets: [{name: a, api_key_env: OPENAI_API_KEY}]
modules: {chat: {endpoint: chat}}
probes: [{target: a, module: chat, models: [gpt-5.4-mini], labels: {country: no, tier: on}}]
organizations: [{name: main, admin_key_env: OPENAI_ADMIN_KEY, emails: off}]
"""
    config = parse(text)
    assert config.probes[0].labels == {"country": "no", "tier": "on"}
    assert config.organizations[0].emails == "off"


def test_modules_are_shared_by_anchor_and_merge_key() -> None:
    text = """
modules:
  chat: &chat
    endpoint: chat
    timeout: 20s
  chat_stream:
    <<: *chat
    stream: true
"""
    module = parse(text).modules["chat_stream"]
    assert (module.endpoint, module.timeout, module.stream) == (Endpoint.CHAT, 20.0, True)


def test_a_configuration_never_changes() -> None:
    config = parse("history: {limit: 5}")
    with pytest.raises(ValueError, match="frozen"):
        config.history = config.history  # type: ignore[misc]


def test_parts_are_found_by_name() -> None:
    config = zero_config(ENV)
    target, organization = config.target("openai"), config.organization("default")
    assert target is not None
    assert organization is not None
    assert (config.target("other"), config.organization("other")) == (None, None)


def test_each_credential_is_bound_to_its_owner(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file")
    text = """
targets:
- {name: a, api_key_file: key}
- {name: b, provider: compatible, base_url: 'http://localhost:8000/v1', no_key: true}
organizations: [{name: a, admin_key_env: OPENAI_ADMIN_KEY}]
"""
    path = tmp_path / "exporter.yml"
    path.write_text(text)
    config = load_config(path, ENV)
    found = config.target_credential("a")
    assert found is not None
    assert found.read().reveal() == "sk-from-file"
    assert config.target_credential("b") is None
    assert ENV["OPENAI_ADMIN_KEY"] == config.organization_credential("a").read().reveal()


def test_two_configurations_differ_when_a_key_does() -> None:
    assert zero_config(ENV) == zero_config(ENV)
    assert zero_config(ENV) != zero_config(ENV | {"OPENAI_API_KEY": "sk-other"})


def test_a_file_of_thousands_of_mistakes_is_answered_in_full() -> None:
    text = "modules:\n" + "".join(f"  m{i}: {{endpoint: chat, expect: {{status: [1]}}}}\n" for i in range(2700))
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert len(caught.value.problems) == 2700


# The price file: the same entries as `prices:`, after them, and refused as strictly.

PRICEFILE_ENV = {"OPENAI_API_KEY": "sk-test-0123456789"}
CONFIG = """\
targets:
- {name: openai, api_key_env: OPENAI_API_KEY}
prices:
- {model: gpt-5.4*, since: 2026-11-01, list_price_ratio: 0.9}
price_file: prices.yml
"""


def written(folder: Path, prices: str) -> Path:
    (folder / "prices.yml").write_text(prices, encoding="utf-8")
    path = folder / "exporter.yml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_the_prices_of_the_file_come_after_those_of_the_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "prices:\n- {model: mine, usd_per_million: {input: 1, output: 4}}\n")
    assert [each.model for each in load_config(path, PRICEFILE_ENV).all_prices] == ["gpt-5.4*", "mine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{file}: is no price file; start with `prices:` and a list, such as"),
        ("- model: a\n", "{file}: is no price file; start with `prices:` and a list, such as"),
        ("models: {}\n", "{file}:1: models: unknown key 'models'; a price file has only: prices"),
        ("prices: {a: 1}\n", "{file}:1: prices: must be a list, not a mapping"),
        ("prices:\n- {model: a, list_price_ratio: -1}\n", "{file}:2: prices[0].list_price_ratio: -1: must be"),
        ("prices:\n- {model: a, modle: b}\n", "{file}:2: prices[0].modle: unknown key 'modle'; did you mean"),
        ("prices: [\n", "{file}:"),
        (
            "prices:\n- {model: gpt-5.4-mini, since: 2026-11-02, list_price_ratio: 1}\n",
            "{file}:2: prices[0]: never applies, for an earlier entry matches all that it does; "
            "put this one before it; it stands at {folder}/exporter.yml:4: prices[0]",
        ),
        (
            "prices:\n- {model: a*, list_price_ratio: 1}\n- {model: ab, list_price_ratio: 1}\n",
            "{file}:3: prices[1]: never applies, for an earlier entry matches all that it does; "
            "put this one before it; it stands at {file}:2: prices[0]",
        ),
    ],
)
def test_each_mistake_is_told_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, PRICEFILE_ENV)
    assert message.format(file=tmp_path / "prices.yml", folder=tmp_path) in str(caught.value)


def test_mistakes_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "prices:\n- {model: a}\n")
    path.write_text(f"{CONFIG}probes:\n- {{target: other, module: none}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, PRICEFILE_ENV)
    assert [each.place.rpartition("/")[2] for each in caught.value.problems] == [
        "exporter.yml:7: probes[0].target",
        "exporter.yml:7: probes[0].module",
        "prices.yml:2: prices[0]",
    ]


# One mistake of form hides no mistake of sense elsewhere, and none is told that only follows from it.

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
        for words in ("unknown target", "unknown module", "unknown organization", "needs spend", "never applies"):
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
