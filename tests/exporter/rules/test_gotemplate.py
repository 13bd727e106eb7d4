# SPDX-License-Identifier: Apache-2.0
"""Whether Go parses a template: tables, and promtool as the judge."""

import random
from pathlib import Path

import pytest

from openai_exporter.rules.gotemplate import problem_of

from .prometheus import needs_promtool, refused

GOOD = [
    "", "plain } text", "{{ $value }}", "{{ $value | humanize }}", "{{- $labels.model -}}", "{{ .Value }}", "{{ . }}",
    "{{ with $labels.x }} ({{ . }}){{ end }}", "{{ if gt $value 5.0 }}a{{ else }}b{{ end }}", '{{ printf "%.2f" $value }}',
    "{{ range query `up` }}{{ .Labels.job }}{{ end }}", "{{/* note */}}", "{{- /* note */ -}}", '{{ "a" | printf "%s" }}',
    "{{ len (query `up`) }}", "{{ $externalLabels.cluster }}", "{{ (printf `x`) | toUpper }}", "{{ true }}", "}}",
]  # fmt: skip
BAD = [
    "{{ /* note */ }}",
    "{{ $value", "{{ }}", "{{ $value | nofunc }}", "{{ $nosuch }}", "{{ if }}x{{ end }}", "{{ if $value }}x",
    "{{ end }}", "{{ else }}", "{{ if . }}{{ else }}{{ else }}{{ end }}", "{{ ( }}", "{{ $value | }}", '{{ "a }}',
    "{{ | humanize }}", "{{ $value | 5 }}", "{{ $value) }}", "{{ $labels.a$value }}", "{{ nofunc }}", "{{ $value ! }}",
    '{{ "a\\q" }}', "{{ () }}", "{{ with }}{{ end }}",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_go_parses_is_taken(text: str) -> None:
    assert problem_of(text) is None


@pytest.mark.parametrize("text", BAD)
def test_what_go_does_not_parse_is_refused(text: str) -> None:
    assert problem_of(text)


@needs_promtool
@pytest.mark.stack
def test_no_template_is_taken_that_promtool_refuses(tmp_path: Path) -> None:
    draw = random.Random(7)
    taken = [text for text in (*GOOD, *(_broken(draw) for _ in range(2500))) if problem_of(text) is None]

    rules = [{"alert": "A", "expr": "up", "annotations": {"a": text}} for text in taken]

    assert len(taken) > 200
    found = refused(tmp_path, rules)
    assert [text for text, bad in zip(taken, found, strict=True) if bad] == []


def _broken(draw: random.Random) -> str:
    text = draw.choice(GOOD + BAD)
    for _ in range(draw.randint(1, 3)):
        start = draw.randint(0, len(text))
        piece = draw.choice(
            ["", "{{", "}}", "|", "(", ")", "$", "end", " if ", '"', "`", ".", " ", "x", "-", "5"]
        )
        text = text[:start] + piece + text[min(len(text), start + draw.randint(0, 2)) :]
    return text
