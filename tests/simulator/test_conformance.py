# SPDX-License-Identifier: Apache-2.0
"""The checker itself must be able to fail."""

from pathlib import Path
from typing import Any

import pytest

from tests.simulator.conformance import Facts, split

DESCRIPTION = """
thing:
  id: string
  count: integer>=0<=10
  kind: '"a thing"|other'
  day?: date|null
  parts: '[part;1;2]'
  labels?: '{string}'
  amount?: number|numeric
part:
  name: string|null
  ok: boolean
"""
GOOD: dict[str, Any] = {"id": "x", "count": 3, "kind": "other", "parts": [{"name": None, "ok": True}]}


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    (tmp_path / "things.yml").write_text(DESCRIPTION)
    return Facts("things", folder=tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="only what is required"),
        pytest.param({"day": None}, id="null where null is allowed"),
        pytest.param({"day": "2026-11-21", "kind": "a thing"}, id="a date and a quoted word"),
        pytest.param({"labels": {"a": "b"}, "amount": "0.5"}, id="a map and a numeric string"),
        pytest.param({"amount": 0.5, "count": 10}, id="a number and the range's end"),
    ],
)
def test_a_conforming_object_has_no_problems(facts: Facts, more: dict[str, Any]) -> None:
    assert facts.check("thing", GOOD | more) == []


DEVIATIONS: list[tuple[dict[str, Any], str]] = [
    ({"id": 1}, "thing.id: expected string, got 1"),
    ({"count": True}, "thing.count: expected integer>=0<=10, got true"),
    ({"count": 11}, "thing.count: expected integer>=0<=10, got 11"),
    ({"count": 1.0}, "thing.count: expected integer>=0<=10, got 1.0"),
    ({"kind": "a"}, 'thing.kind: expected "a thing"|other, got "a"'),
    ({"day": "2026-13-01"}, 'thing.day: expected date|null, got "2026-13-01"'),
    ({"parts": []}, "thing.parts: 0 items, allowed 1 to 2"),
    ({"parts": [{"name": 1, "ok": True}]}, "thing.parts[0].name: expected string|null, got 1"),
    ({"parts": [{"ok": True}]}, "thing.parts[0].name: missing"),
    ({"labels": {"a": 1}}, "thing.labels.a: expected string, got 1"),
    ({"amount": "x"}, 'thing.amount: expected number|numeric, got "x"'),
    ({"more": 1}, "thing.more: not described for thing"),
]


def test_every_deviation_is_named_with_its_place(facts: Facts) -> None:
    for change, problem in DEVIATIONS:
        assert facts.check("thing", GOOD | change) == [problem]


def test_a_missing_member_and_a_wrong_shape_are_told(facts: Facts) -> None:
    assert facts.check("thing", []) == ["thing: expected an object (thing), got []"]
    assert "thing.id: missing" in facts.check("thing", {})
    with pytest.raises(AssertionError, match=r"thing\.id: missing"):
        facts.assert_conforms("thing", {})


def test_alternatives_are_split_outside_of_brackets_and_quotes_only() -> None:
    assert split('[a|b;1]|"c|d"|null') == ["[a|b;1]", '"c|d"', "null"]
