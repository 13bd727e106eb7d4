# SPDX-License-Identifier: Apache-2.0
"""Which organization is read, and what is said where that is not clear."""

from pathlib import Path

import pytest

from openai_exporter.config import Config, load_config
from openai_exporter.errors import StartError
from openai_exporter.report.source import find_organization


def config(folder: Path, *names: str) -> Config:
    path = folder / "exporter.yml"
    listed = ", ".join(f"{{name: {name}, admin_key_env: KEY}}" for name in names)
    path.write_text(
        f"targets: [{{name: openai, api_key_env: KEY}}]\norganizations: [{listed}]\n"
        "modules: {models: {endpoint: models}}\nprobes: [{target: openai, module: models}]\n"
    )
    return load_config(path, {"KEY": "sk-admin-0123456789abcdef"})


@pytest.mark.parametrize(
    ("names", "requested", "expected"), [(("acme",), None, "acme"), (("acme", "umbrella"), "umbrella", "umbrella")]
)
def test_the_only_one_needs_no_name(
    tmp_path: Path, names: tuple[str, ...], requested: str | None, expected: str
) -> None:
    assert expected == find_organization(config(tmp_path, *names), requested).name


@pytest.mark.parametrize(
    ("names", "requested", "message"),
    [
        (("acme", "umbrella"), None, "several organizations are configured; give --organization with one of: acme"),
        (("acme",), "umbrella", "unknown organization 'umbrella'; give --organization with one of: acme"),
        ((), None, "no organization is configured; set OPENAI_ADMIN_KEY"),
    ],
)
def test_any_other_choice_says_what_there_is(
    tmp_path: Path, names: tuple[str, ...], requested: str | None, message: str
) -> None:
    with pytest.raises(StartError, match=message):
        find_organization(config(tmp_path, *names), requested)
