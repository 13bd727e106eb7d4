# SPDX-License-Identifier: Apache-2.0
"""The documents that are held to the code, and what they mention."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / name / "README.md" for name in ("exporter", "alerting", "dashboards")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    }
    - {ROOT / "CHANGELOG.md"}
)
ALL = sorted(
    {*DOCUMENTS, ROOT / "CHANGELOG.md", *(ROOT / "alerting").rglob("*.md"), *(ROOT / "prometheus").rglob("*.md")}
)
"""With those whose names are held to the code elsewhere, or that speak of the past."""

# Not in a path, a URL, a recorded series or a longer word; `openai_usage_*` names a group.
_NAME = re.compile(r"(?<![\w/.:$-])(?:openai|probe)_[a-z0-9_]*[a-z0-9](?![\w*/:-]|\.\w|_\*)")
_SERIES = re.compile(r"(?<![\w/.:$-])((?:openai|probe)_[a-z0-9_]*[a-z0-9])\{([^{}]*)\}")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*\"")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]")
_PROGRAM = re.compile(
    r"\b(?:openai-exporter|promtool|amtool|prometheus|alertmanager|docker|cosign|curl|pip|pytest|git|kubectl|helm|jsonnet|systemctl|python|npm)\b"
)
_YAML = re.compile(r"^```ya?ml\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:[a-z_]+(?:\[\d*\]|\.<\w+>)?\.)+[a-z_]+(?:\[\d*\])?")


def metric_names(text: str) -> Iterator[str]:
    """Whatever has the form of a metric's name."""
    yield from (match[0] for match in _NAME.finditer(text))


def label_names(text: str) -> Iterator[tuple[str, str]]:
    """(metric, label) of every matcher of a selector."""
    for series in _SERIES.finditer(text):
        for matcher in _MATCHER.finditer(series[2]):
            yield series[1], matcher[1]


def flags(text: str) -> Iterator[str]:
    """Flags, except those that follow the name of another program."""
    for line in text.replace("\\\n", " ").splitlines():
        for match in _FLAG.finditer(line):
            programs = _PROGRAM.findall(line[: match.start()])
            if not programs or programs[-1] == "openai-exporter":
                yield match[0]


def yaml_blocks(text: str) -> Iterator[str]:
    """The content of fenced YAML blocks."""
    yield from (match[1] for match in _YAML.finditer(text))


def dotted_paths(text: str) -> Iterator[str]:
    """Inline code of the form `targets[].name`."""
    found = (match[1] for match in _CODE.finditer(text) if _PATH.fullmatch(match[1]))
    yield from (each for each in found if not each.endswith((".json", ".yml", ".md", ".parts")))
