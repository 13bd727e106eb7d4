# SPDX-License-Identifier: Apache-2.0
"""The price file: the same entries as `prices:`, after them, and refused as strictly."""

from pathlib import Path

import pytest

from openai_exporter.config import load_config
from openai_exporter.errors import ConfigError

ENV = {"OPENAI_API_KEY": "sk-test-0123456789"}
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
    assert [each.model for each in load_config(path, ENV).all_prices] == ["gpt-5.4*", "mine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{file}: is no price file; start with `prices:` and a list, such as"),
        ("- model: a\n", "{file}: is no price file; start with `prices:` and a list, such as"),
        ("models: {}\n", "{file}:1: models: unknown key 'models'; a price file has only: prices"),
        ("prices: {a: 1}\n", "{file}:1: prices: must be a list, not a mapping"),
        (
            "prices:\n- {model: a, list_price_ratio: -1}\n",
            "{file}:2: prices[0].list_price_ratio: -1: must be",
        ),
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
        load_config(path, ENV)
    assert message.format(file=tmp_path / "prices.yml", folder=tmp_path) in str(caught.value)


def test_mistakes_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "prices:\n- {model: a}\n")
    path.write_text(f"{CONFIG}probes:\n- {{target: other, module: none}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENV)
    assert [each.place.rpartition("/")[2] for each in caught.value.problems] == [
        "exporter.yml:7: probes[0].target",
        "exporter.yml:7: probes[0].module",
        "prices.yml:2: prices[0]",
    ]
