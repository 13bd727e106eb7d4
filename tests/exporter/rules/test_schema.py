# SPDX-License-Identifier: Apache-2.0
"""Names and patterns to label matchers."""

import re

import promql_parser
import pytest
from hypothesis import given, strategies as st

from openai_exporter.rules.promql import check
from openai_exporter.rules.thresholds import an_instance, matcher, pattern


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["gpt-6-luna"], 'model="gpt-6-luna"'),
        (["gpt-5.4-mini"], 'model="gpt-5.4-mini"'),
        (["gpt-5.4*"], r'model=~"gpt-5\\.4.*"'),
        (["*"], 'model!=""'),
        (["*mini", "o5"], 'model=~".*mini|o5"'),
        (['a"b'], r'model="a\"b"'),
        (["ft:gpt-6:acme::x1"], 'model="ft:gpt-6:acme::x1"'),
    ],
)
def test_a_scope_becomes_a_matcher(patterns: list[str], expected: str) -> None:
    assert expected == matcher("model", patterns)


@pytest.mark.parametrize(
    "value",
    ["", "two words", "gpt-6.*", "gpt-6.+", "a|b", "(a)", "^a", "a$", "a\\b", "[ab]", "é", "a\n", "x" * 201],
)
def test_a_regular_expression_is_no_pattern(value: str) -> None:
    with pytest.raises(ValueError, match="must be a name or a pattern with"):
        pattern(value)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_matcher_is_promql_and_matches_what_its_patterns_stand_for(patterns: list[str]) -> None:
    try:
        patterns = [pattern(each) for each in patterns]
    except ValueError:
        return
    written = matcher("model", patterns)
    assert check(f"up{{{written}}}") == "instant vector"
    selector = promql_parser.parse(f"up{{{written}}}")
    assert isinstance(selector, promql_parser.VectorSelector)
    (read,) = selector.matchers.matchers
    regex = read.value if "=~" in written else None
    for each in patterns:
        name = an_instance(each)
        if regex is not None:
            assert re.fullmatch(regex, name)
            assert not re.fullmatch(regex, "\n")
