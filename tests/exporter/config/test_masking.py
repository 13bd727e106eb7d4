# SPDX-License-Identifier: Apache-2.0
"""What is taken for a key, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.config.masking import looks_like_key, mask_keys, names_a_secret, shown

BODY = st.text("ABCDEFabcdef0123456789_-", min_size=12, max_size=150)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sk-proj-abcdefgh", "<secret>"),
        ("key sk-admin-abc_def-012, twice sk-abcdef0", "key <secret>, twice <secret>"),
        ("Authorization: Bearer abcdef.012", "Authorization: Bearer <secret>"),
        ('{"authorization": "Basic dXNlcjpwdw=="}', '{"authorization": "Basic <secret>"}'),
        ("sent Bearer abcdef0123456789abcdef", "sent Bearer <secret>"),
        ("https://user:password@example.com/v1", "https://<secret>@example.com/v1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "<secret>"),
        ("gsk_0123456789abc", "<secret>"),
    ],
)
def test_a_key_is_masked_within_a_text(text: str, masked: str) -> None:
    assert masked == mask_keys(text)
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "gpt-5.4-mini",
        "text-embedding-3-small",
        "ft:gpt-4o-mini-2024-07-18:acme:support:AbC123dE",
        "task-force-overview-dashboard",
        "OPENAI_API_KEY",
        "/run/secrets/openai_api_key",
        "https://api.openai.com/v1",
        "Reply with the word: pong",
        "risk-assessment-2026",
        "Solve a basic arithmetic exercise.",
        "the bearer of this letter",
        "needs authorization: ask",
    ],
)
def test_ordinary_names_are_left_alone(text: str) -> None:
    assert text == mask_keys(text)
    assert not looks_like_key(text)


def test_a_long_run_without_a_prefix_counts_as_a_key_in_messages() -> None:
    assert looks_like_key("0123456789abcdef0123456789abcdef")
    assert shown("0123456789abcdef0123456789abcdef") == "'<secret>'"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[
            (name, True)
            for name in ("api_key", "x-api-key", "Authorization", "password", "openai_api_key", "key")
        ],
        *[(name, False) for name in ("max_tokens", "prompt_cache_key", "monkey", "user")],
    ],
)
def test_some_names_say_that_their_value_is_a_secret(name: str, secret: bool) -> None:
    assert secret == names_a_secret(name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        ("word", "'word'"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 61, f"'{'x' * 57}...'"),
        ("x" * 55 + " sk-proj-abcdefgh", f"'{'x' * 55} <...'"),
    ],
)
def test_a_value_is_quoted_on_one_short_line(value: object, text: str) -> None:
    assert text == shown(value)


@given(BODY, st.text(" \n.:/xyz\"'", max_size=5000), st.text(" \n.:/xyz\"'", max_size=50))
def test_no_openai_key_survives_wherever_it_stands(body: str, before: str, after: str) -> None:
    key = f"sk-{body}"
    for text in (mask_keys(f"{before} {key} {after}"), shown(f"{before} {key} {after}")):
        assert body[:12] not in text
