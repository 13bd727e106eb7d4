# SPDX-License-Identifier: Apache-2.0
"""Which organization is read, what is said where that is not clear, and reads that are made at once."""

import threading
from pathlib import Path

import pytest

from openai_exporter.config import Config, load_config
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.report.source import Source, find_organization


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
        ((), None, "no admin key: set OPENAI_ADMIN_KEY"),
    ],
)
def test_any_other_choice_says_what_there_is(
    tmp_path: Path, names: tuple[str, ...], requested: str | None, message: str
) -> None:
    with pytest.raises(StartError, match=message):
        find_organization(config(tmp_path, *names), requested)


def failed(reason: str) -> UpstreamError:
    return UpstreamError(reason, api="costs", reason=reason)


def test_a_read_that_fails_for_good_ends_the_others_that_wait(tmp_path: Path) -> None:
    waiting = threading.Event()
    tried: list[int] = []

    def denied(source: Source) -> None:
        assert waiting.wait(60)
        raise failed("permission")

    def unreachable() -> None:
        tried.append(1)
        raise failed("connect")

    settings = config(tmp_path, "acme")
    with (
        Source(settings, settings.organizations[0], {}, on_wait=lambda *_: waiting.set()) as source,
        pytest.raises(UpstreamError, match="permission"),
    ):
        source.together([lambda other: other.retry(unreachable), denied])
    assert 2 == len(tried)


def test_reads_are_made_at_once_on_connections_of_their_own(tmp_path: Path) -> None:
    meeting = threading.Barrier(3)
    sources: list[Source] = []
    seen: list[tuple[int, int]] = []

    def read(source: Source) -> None:
        sources.append(source)
        meeting.wait(60)

    settings = config(tmp_path, "acme")
    with Source(settings, settings.organizations[0], {}) as source:
        source.together([read] * 3, lambda done, total: seen.append((done, total)))
    assert 3 == len(set(map(id, sources)))
    assert [(0, 3), (1, 3), (2, 3), (3, 3)] == seen
